//! What one actor counts and shows about itself, read by the pools and the Supervisor.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The figures of one actor; its replacement has gauges of its own.
#[derive(Default)]
pub(super) struct Gauges {
    mailbox: AtomicUsize,
    events: AtomicU64,
    panics: AtomicU64,
    busy_us: AtomicU64,
    /// When the work in hand began, in milliseconds since the process's first look at the clock, plus one; 0 = idle.
    working_since_ms: AtomicU64,
    /// When each thing began that the actor waits for.
    waits: Mutex<Vec<Instant>>,
    is_retired: AtomicBool,
}

/// A reading of [`Gauges`].
#[derive(Clone, Copy, Default)]
pub(super) struct GaugeReading {
    pub mailbox: usize,
    pub events: u64,
    pub panics: u64,
    pub busy_us: u64,
}

impl GaugeReading {
    /// These figures on top of those of an actor that is gone.
    pub fn after(self, gone: Self) -> Self {
        Self {
            mailbox: self.mailbox,
            events: self.events + gone.events,
            panics: self.panics + gone.panics,
            busy_us: self.busy_us + gone.busy_us,
        }
    }
}

/// Something that the actor waits for, until this is dropped.
pub(super) struct Wait {
    gauges: Arc<Gauges>,
    began: Instant,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut waits = self.gauges.waits.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = waits.iter().position(|began| *began == self.began) {
            waits.swap_remove(place);
        }
    }
}

impl Gauges {
    /// Notes that the actor has worked since `began` on `events` events; returns how long that was.
    pub fn worked(&self, events: usize, began: Instant) -> Duration {
        let took = began.elapsed();
        let busy = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.busy_us.fetch_add(busy, Ordering::Relaxed);
        took
    }

    /// Notes that the actor begins a piece of work: one event, as a rule.
    pub fn begin(&self) {
        self.working_since_ms.store(elapsed_ms() + 1, Ordering::Relaxed);
    }

    /// Notes that the piece of work is over.
    pub fn end(&self) {
        self.working_since_ms.store(0, Ordering::Relaxed);
    }

    /// How long the actor has been at work on one piece.
    pub fn working_for(&self) -> Duration {
        match self.working_since_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_millis((elapsed_ms() + 1).saturating_sub(since)),
        }
    }

    /// Notes that the actor waits for something from now on.
    pub fn wait(self: &Arc<Self>) -> Wait {
        let began = Instant::now();
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).push(began);
        Wait { gauges: self.clone(), began }
    }

    /// How long the actor has waited for what it has waited for longest.
    pub fn waiting_for(&self) -> Duration {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.iter().min().map(Instant::elapsed).unwrap_or_default()
    }

    /// Notes that a message was put into the actor's mailbox.
    pub fn given(&self) {
        self.mailbox.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that the actor took a message from its mailbox.
    pub fn took(&self) {
        let _ = self.mailbox.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |depth| depth.checked_sub(1));
    }

    /// Messages that wait in the mailbox.
    pub fn mailbox(&self) -> usize {
        self.mailbox.load(Ordering::Relaxed)
    }

    /// Notes a panic that was caught.
    pub fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// Signals the actor that its work was taken from it.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// Whether the actor's work was taken from it: more of it would only be thrown away.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Relaxed)
    }

    pub fn read(&self) -> GaugeReading {
        GaugeReading {
            mailbox: self.mailbox(),
            events: self.events.load(Ordering::Relaxed),
            panics: self.panics.load(Ordering::Relaxed),
            busy_us: self.busy_us.load(Ordering::Relaxed),
        }
    }
}

fn elapsed_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts_and_ends_with_its_guard() {
        let gauges = Arc::new(Gauges::default());
        assert_eq!(gauges.waiting_for(), Duration::ZERO);
        let first = gauges.wait();
        let second = gauges.wait();
        drop(second);
        assert!(gauges.waiting_for() >= first.began.elapsed() / 2);
        drop(first);
        assert_eq!(gauges.waiting_for(), Duration::ZERO);
    }
}
