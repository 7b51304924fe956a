//! Export: the SDK's batch processor keeps spans that have ended, and its thread brings them to the collector.
//!
//! Guarantees: the sender of a span never waits; what the collector does not take is counted, and logged once when that
//! begins and ends. Not guaranteed: that a batch whose answer was lost does not arrive twice.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor};

use super::collector::Collector;
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;

/// Most spans of one request, and how long spans wait for that many.
const BATCH_MAX: usize = 512;
const LINGER: Duration = Duration::from_secs(1);

/// How often a batch is sent, and the pauses in between, doubled each time.
const TRIES_MAX: u32 = 5;
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Where spans wait.
pub(super) struct SpanQueue {
    processor: BatchSpanProcessor,
    room: usize,
    shared: Arc<Shared>,
}

/// What the queue and the thread both know.
#[derive(Default)]
struct Shared {
    /// Spans that wait. The processor reports to nobody what it drops, so it is never given more than it has room for.
    waiting: AtomicUsize,
    stop: StopSignal,
}

impl SpanQueue {
    /// With room for so many spans that wait.
    pub(super) fn start(collector: Collector, room: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let exporting = Condition::new("exporting spans");
        let delivery = Delivery { collector, exporting, shared: Arc::clone(&shared) };
        // Without these it would ask the environment.
        let config = BatchConfigBuilder::default()
            .with_max_queue_size(room)
            .with_max_export_batch_size(BATCH_MAX)
            .with_scheduled_delay(LINGER);
        Self { processor: BatchSpanProcessor::new(delivery, config.build()), room, shared }
    }

    /// Puts a span behind the others, or drops it if there is no room.
    pub(super) fn put(&self, span: SpanData) {
        if self.shared.waiting.fetch_add(1, Ordering::Relaxed) < self.room {
            self.processor.on_end(span);
        } else {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            facts::spans_dropped("queue_full", 1);
        }
    }

    /// Has what waits exported, once, and waits for that.
    pub(super) fn stop(&self, limit: Duration) {
        self.shared.stop.set();
        if self.processor.shutdown_with_timeout(limit).is_err() {
            facts::spans_left(limit);
        }
    }
}

/// The end, as the thread learns of it.
#[derive(Default)]
struct StopSignal {
    is_set: Mutex<bool>,
    news: Condvar,
}

impl StopSignal {
    fn is_set(&self) -> bool {
        *self.lock()
    }

    fn set(&self) {
        *self.lock() = true;
        self.news.notify_all();
    }

    /// Rests for so long, or until the end.
    fn rest(&self, pause: Duration) {
        // Woken early or by mistake it only tries earlier.
        let _ = self.news.wait_timeout_while(self.lock(), pause, |is_set| !*is_set);
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread does with each batch.
struct Delivery {
    collector: Collector,
    exporting: Condition,
    shared: Arc<Shared>,
}

/// Without the collector: its headers may hold a secret.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

impl SpanExporter for Delivery {
    /// On the processor's thread, which may block. Whatever comes of it is counted here.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.shared.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        self.deliver(batch);
        Ok(())
    }
}

impl Delivery {
    /// Sends a batch until it is taken, or cannot be, or was tried often enough.
    fn deliver(&self, batch: Vec<SpanData>) {
        let spans = batch.len();
        let body = self.collector.encode(batch);
        let mut pause = PAUSE_MIN;
        for tries in 1..=TRIES_MAX {
            match self.collector.send(&body) {
                Ok(rejected) => {
                    self.exporting.succeeded();
                    facts::spans_exported(spans.saturating_sub(rejected));
                    return facts::spans_dropped("rejected", rejected);
                }
                Err(error) => {
                    self.exporting.failed(&error);
                    if !error.may_pass() || tries == TRIES_MAX || self.shared.stop.is_set() {
                        break;
                    }
                    self.shared.stop.rest(error.retry_after().unwrap_or(pause).min(PAUSE_MAX));
                    pause *= 2;
                }
            }
        }
        facts::spans_dropped("not_taken", spans);
    }
}
