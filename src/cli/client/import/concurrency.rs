//! How many requests may be under way: one more after each round that went well, half after one that did not (AIMD).

use std::time::{Duration, Instant};

/// The first wait, which doubles with each failure in a row, and the longest one.
const WAIT_FIRST: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The concurrency limit of one import.
pub(super) struct ConcurrencyLimit {
    allowed: f64,
    max: f64,
    failures: u32,
    resume_at: Option<Instant>,
    /// Since when nothing has gone well.
    failing_since: Option<Instant>,
}

impl ConcurrencyLimit {
    pub(super) fn new(max: u16) -> Self {
        Self { allowed: max.into(), max: max.into(), failures: 0, resume_at: None, failing_since: None }
    }

    /// Whether one more request may start beside those `at_work`.
    pub(super) fn allows(&self, at_work: usize, now: Instant) -> bool {
        self.wait(now).is_none() && at_work < self.allowed as usize
    }

    /// How long nothing may start.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.resume_at?.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// How long nothing has gone well.
    pub(super) fn failing_for(&self, now: Instant) -> Duration {
        self.failing_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// A request went well.
    pub(super) fn record_success(&mut self) {
        (self.failures, self.failing_since) = (0, None);
        self.allowed = (self.allowed + 1.0 / self.allowed).min(self.max);
    }

    /// A request has to be repeated, at the earliest when the server says; `dice` spreads clients that fail together.
    pub(super) fn record_failure(&mut self, after: Option<Duration>, dice: u32, now: Instant) {
        self.failing_since.get_or_insert(now);
        // Requests of one burst that fail together are one failure.
        if self.wait(now).is_none() {
            self.failures += 1;
            self.allowed = (self.allowed / 2.0).max(1.0);
        }
        // None, where another request of the burst went well in between.
        let doublings = self.failures.saturating_sub(1).min(16);
        let backoff = WAIT_FIRST.saturating_mul(1 << doublings).min(WAIT_MAX);
        let spread = backoff.mul_f64(f64::from(dice) / f64::from(u32::MAX) / 2.0);
        let wait = after.unwrap_or_default().max(backoff / 2 + spread);
        self.resume_at = self.resume_at.max(Some(now + wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_failures_halves_once_and_success_brings_it_back_slowly() {
        let now = Instant::now();
        let mut concurrency = ConcurrencyLimit::new(8);
        assert!(concurrency.allows(7, now) && !concurrency.allows(8, now));
        (0..5).for_each(|_| concurrency.record_failure(None, 0, now));
        assert_eq!(concurrency.wait(now), Some(WAIT_FIRST / 2));
        let later = now + WAIT_MAX;
        assert!(concurrency.allows(3, later) && !concurrency.allows(4, later));
        (0..5).for_each(|_| concurrency.record_success());
        assert!(concurrency.allows(4, later) && !concurrency.allows(5, later));
        (0..100).for_each(|_| concurrency.record_success());
        assert!(concurrency.allows(7, later) && !concurrency.allows(8, later));
    }

    #[test]
    fn a_success_between_two_failures_of_a_burst_makes_the_wait_no_longer() {
        let now = Instant::now();
        let mut concurrency = ConcurrencyLimit::new(4);
        concurrency.record_failure(None, 0, now);
        concurrency.record_success();
        concurrency.record_failure(None, 0, now);
        assert_eq!(concurrency.wait(now), Some(WAIT_FIRST / 2));
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_never_undercuts_the_servers() {
        let mut now = Instant::now();
        let mut concurrency = ConcurrencyLimit::new(1);
        let mut waits = Vec::new();
        for _ in 0..40 {
            concurrency.record_failure(None, u32::MAX, now);
            let wait = concurrency.wait(now).expect("a wait");
            waits.push(wait);
            now += wait;
        }
        assert!(waits.is_sorted() && waits[0] == WAIT_FIRST && waits[39] == WAIT_MAX, "{waits:?}");
        assert!(concurrency.allows(0, now), "never fewer than one");
        concurrency.record_failure(Some(Duration::from_secs(90)), 0, now);
        assert_eq!(concurrency.wait(now), Some(Duration::from_secs(90)));
    }
}
