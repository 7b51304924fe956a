//! Conditions: something that works or fails for a time writes a line when that changes, not with every failure.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::facts;

/// Something that works until told otherwise. Shared by all who try it: each notes how it went.
pub struct Condition {
    what: &'static str,
    is_grave: bool,
    /// Repeats whether there is a `failing`: saves those whose work goes well the lock.
    fails: AtomicBool,
    failing: Mutex<Option<Failing>>,
}

struct Failing {
    since: Instant,
    failures: u64,
}

impl Condition {
    /// `what` is the subject of the lines: "heartbeat", "flush".
    pub const fn new(what: &'static str) -> Self {
        Self { what, is_grave: false, fails: AtomicBool::new(false), failing: Mutex::new(None) }
    }

    /// The same, for what does not mend itself: its first failure is an error that a person must look at.
    pub const fn grave(what: &'static str) -> Self {
        Self { is_grave: true, ..Self::new(what) }
    }

    /// Whether the last try failed.
    pub fn is_failing(&self) -> bool {
        self.fails.load(Ordering::Acquire)
    }

    /// How long it has failed, if it fails.
    pub fn failing_for(&self) -> Option<Duration> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|failing| failing.since.elapsed())
    }

    /// Notes how a try went.
    pub fn note<T, E: Display>(&self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.succeeded(),
            Err(error) => self.failed(error),
        }
    }

    /// It failed: writes a line if it worked before.
    pub fn failed(&self, error: &dyn Display) {
        if self.fails_since(Instant::now()) {
            facts::began_to_fail(self.what, error, self.is_grave);
        } else {
            facts::still_fails(self.what, error);
        }
    }

    /// It worked: writes a line if it failed before.
    pub fn succeeded(&self) {
        if let Some((failures, took)) = self.works_since(Instant::now()) {
            facts::works_again(self.what, failures, took);
        }
    }

    /// Whether this is the first failure since it worked.
    fn fails_since(&self, now: Instant) -> bool {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = failing.is_none();
        failing.get_or_insert(Failing { since: now, failures: 0 }).failures += 1;
        self.fails.store(true, Ordering::Release);
        is_first
    }

    /// How often and for how long it failed, if this is the first success since.
    fn works_since(&self, now: Instant) -> Option<(u64, Duration)> {
        if !self.fails.load(Ordering::Acquire) {
            return None;
        }
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        self.fails.store(false, Ordering::Release);
        failing.take().map(|failing| (failing.failures, now.duration_since(failing.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_failure_and_the_first_success_after_it_are_told() {
        let (condition, start) = (Condition::new("heartbeat"), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(condition.works_since(at(0)), None, "it worked before");
        let told: Vec<bool> = (1..=3).map(|second| condition.fails_since(at(second))).collect();
        assert_eq!(told, [true, false, false]);
        assert_eq!(condition.works_since(at(5)), Some((3, Duration::from_secs(4))));
        assert_eq!(condition.works_since(at(6)), None);
        assert!(condition.fails_since(at(7)), "it failed anew");
    }
}
