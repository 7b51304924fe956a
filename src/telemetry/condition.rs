//! Conditions: something that works or fails for a time writes a line when that changes, not with every failure.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::facts;
use crate::clock;

/// Something that works until noted otherwise. Shared by all that try it: each notes how it went.
pub struct Condition {
    what: &'static str,
    is_grave: bool,
    /// Repeats whether there is a `failing`: saves callers whose work goes well the lock.
    fails: AtomicBool,
    failing: Mutex<Option<FailureStreak>>,
}

struct FailureStreak {
    since: Instant,
    since_at: DateTime<Utc>,
    last: Instant,
    failures: u64,
    outline: String,
}

/// What fails, as reports show it.
#[derive(Clone, Debug)]
pub struct FailingCondition {
    /// Its subject.
    pub what: &'static str,
    /// When it began to fail.
    pub since: DateTime<Utc>,
    /// How often it was tried in vain since then.
    pub failures: u64,
    /// What failed last, in words that anybody may read.
    pub outline: String,
}

impl Condition {
    /// `what` is the subject of the lines: "heartbeat", "flush".
    pub const fn new(what: &'static str) -> Self {
        Self::of(what, false)
    }

    /// The same, for what does not mend itself: its first failure is an error that a person must look at.
    pub const fn grave(what: &'static str) -> Self {
        Self::of(what, true)
    }

    const fn of(what: &'static str, is_grave: bool) -> Self {
        Self { what, is_grave, fails: AtomicBool::new(false), failing: Mutex::new(None) }
    }

    /// Whether the last try failed.
    pub fn is_failing(&self) -> bool {
        self.fails.load(Ordering::Acquire)
    }

    /// How long it has failed, if it fails.
    pub fn failing_for(&self) -> Option<Duration> {
        self.lock().as_ref().map(|failing| failing.since.elapsed())
    }

    /// Whether it fails and was not tried for this long.
    pub fn is_unattended_for(&self, length: Duration) -> bool {
        self.is_failing() && self.lock().as_ref().is_some_and(|failing| failing.last.elapsed() >= length)
    }

    /// What fails, if it fails.
    pub fn failure(&self) -> Option<FailingCondition> {
        let failing = self.lock();
        let FailureStreak { since_at, failures, outline, .. } = failing.as_ref()?;
        Some(FailingCondition { what: self.what, since: *since_at, failures: *failures, outline: outline.clone() })
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
        self.failed_as(error, String::new());
    }

    /// It failed; `outline` is what anybody may read of the error.
    pub fn failed_as(&self, error: &dyn Display, outline: String) {
        if self.fails_since(Instant::now(), outline) {
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
    fn fails_since(&self, now: Instant, outline: String) -> bool {
        let mut failing = self.lock();
        let is_first = failing.is_none();
        let (since, since_at, failures) =
            failing.as_ref().map_or((now, clock::now(), 0), |before| (before.since, before.since_at, before.failures));
        *failing = Some(FailureStreak { since, since_at, last: now, failures: failures + 1, outline });
        self.fails.store(true, Ordering::Release);
        is_first
    }

    fn lock(&self) -> MutexGuard<'_, Option<FailureStreak>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often and for how long it failed, if this is the first success since.
    fn works_since(&self, now: Instant) -> Option<(u64, Duration)> {
        if !self.fails.load(Ordering::Acquire) {
            return None;
        }
        let mut failing = self.lock();
        self.fails.store(false, Ordering::Release);
        failing.take().map(|failing| (failing.failures, now.duration_since(failing.since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_failure_and_the_first_success_after_it_are_logged() {
        let condition = Condition::new("heartbeat");
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(condition.works_since(at(0)), None, "it worked before");
        let reported: Vec<bool> = (1..=3).map(|second| condition.fails_since(at(second), String::new())).collect();
        assert_eq!(reported, [true, false, false]);
        assert_eq!(condition.works_since(at(5)), Some((3, Duration::from_secs(4))));
        assert_eq!(condition.works_since(at(6)), None);
        assert!(condition.fails_since(at(7), "again".to_owned()), "it failed anew");
        let failure = condition.failure().expect("it fails");
        assert_eq!((failure.what, failure.failures, failure.outline.as_str()), ("heartbeat", 1, "again"));
    }
}
