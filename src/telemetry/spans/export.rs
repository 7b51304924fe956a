//! Export: spans wait in a bounded queue for a thread that brings them to the collector in batches.
//!
//! Guarantees: the sender of a span never waits; what the collector does not take is counted, and logged once when that
//! begins and ends. Not guaranteed: that a batch whose answer was lost does not arrive twice.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SpanData;

use super::Exporting;
use super::collector::Collector;
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;

/// Most spans of one request, and how long the first of them waits for others.
const BATCH_MAX: usize = 512;
const LINGER: Duration = Duration::from_secs(1);

/// How often a batch is sent, and the pauses in between, doubled each time.
const TRIES_MAX: u32 = 5;
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// How long an idle thread waits before it checks again.
const IDLE: Duration = Duration::from_secs(60);

/// What the thread receives.
enum ExportCommand {
    Export(Box<SpanData>),
    /// It should check whether it has to end.
    Wake,
}

/// Where spans wait.
pub(super) struct SpanQueue(SyncSender<ExportCommand>);

impl SpanQueue {
    /// Puts a span behind the others, or drops it if there is no room.
    pub(super) fn put(&self, span: SpanData) {
        if self.0.try_send(ExportCommand::Export(Box::new(span))).is_err() {
            facts::spans_dropped("queue_full", 1);
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

/// How the thread is ended.
pub(super) struct Handle {
    stop: Arc<StopSignal>,
    orders: SyncSender<ExportCommand>,
    done: Receiver<()>,
}

impl Handle {
    /// Lets the thread export what waits, once, and waits for it.
    pub(super) fn stop(self, limit: Duration) {
        self.stop.set();
        // Without room the thread is at work, and checks by itself.
        let _ = self.orders.try_send(ExportCommand::Wake);
        if let Err(RecvTimeoutError::Timeout) = self.done.recv_timeout(limit) {
            facts::spans_left(limit);
        }
    }
}

/// The thread's state.
pub(super) struct Worker {
    orders: Receiver<ExportCommand>,
    collector: Collector,
    exporting: Condition,
    stop: Arc<StopSignal>,
}

impl Worker {
    /// Starts the thread, with room for `queue` spans that wait.
    pub(super) fn start(collector: Collector, queue: usize) -> io::Result<(SpanQueue, Exporting)> {
        let ((sender, orders), (end, done)) = (sync_channel(queue), sync_channel(1));
        let stop = Arc::<StopSignal>::default();
        let worker = Self { orders, collector, exporting: Condition::new("exporting spans"), stop: stop.clone() };
        thread::Builder::new().name("spans".to_owned()).spawn(move || {
            worker.run();
            // Nobody may wait any more.
            let _ = end.send(());
        })?;
        Ok((SpanQueue(sender.clone()), Exporting(Handle { stop, orders: sender, done })))
    }

    fn run(&self) {
        while let Some(batch) = self.next_batch() {
            self.deliver(batch);
        }
    }

    /// The spans that wait, and those that come soon after the first; `None` at the end.
    fn next_batch(&self) -> Option<Vec<SpanData>> {
        let mut batch = Vec::new();
        let mut deadline: Option<Instant> = None;
        while batch.len() < BATCH_MAX {
            let left = match deadline {
                _ if self.stop.is_set() => Duration::ZERO,
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => IDLE,
            };
            match self.orders.recv_timeout(left) {
                Ok(ExportCommand::Export(span)) => {
                    deadline.get_or_insert(Instant::now() + LINGER);
                    batch.push(*span);
                }
                Ok(ExportCommand::Wake) => {}
                Err(RecvTimeoutError::Timeout) if batch.is_empty() && !self.stop.is_set() => {}
                Err(_) => break,
            }
        }
        (!batch.is_empty()).then_some(batch)
    }

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
                    if !error.may_pass() || tries == TRIES_MAX || self.stop.is_set() {
                        break;
                    }
                    self.stop.rest(error.retry_after().unwrap_or(pause).min(PAUSE_MAX));
                    pause *= 2;
                }
            }
        }
        facts::spans_dropped("not_taken", spans);
    }
}
