//! When a failed attempt is tried again: exponential backoff, computed by the `backoff` crate (nowhere else used).

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// How often and after which delays a transient failure is retried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Retries after the first attempt.
    pub max_retries: u32,
    /// Delay before the first retry; it doubles with every further one.
    pub delay: Duration,
    /// Longest delay, before jitter.
    pub delay_max: Duration,
    /// Share of a delay by which it may be shorter or longer, 0 to 0.5.
    pub jitter: f64,
}

impl RetryPolicy {
    /// Attempts that an event gets in all.
    pub fn attempts_max(&self) -> u32 {
        self.max_retries.saturating_add(1)
    }

    /// The delay before the next attempt once `attempts` have failed; `None` when retries are exhausted.
    pub fn delay_after(&self, attempts: u32) -> Option<Duration> {
        if attempts == 0 || attempts > self.max_retries {
            return None;
        }
        let mut delays = ExponentialBackoff {
            current_interval: self.delay,
            initial_interval: self.delay,
            randomization_factor: self.jitter,
            multiplier: 2.0,
            max_interval: self.delay_max,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        (0..attempts.min(DOUBLINGS_MAX)).filter_map(|_| delays.next_backoff()).last()
    }
}

/// More doublings than take a millisecond past any cap.
const DOUBLINGS_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_retries: 3,
        delay: Duration::from_secs(2),
        delay_max: Duration::from_secs(3_600),
        jitter: 0.0,
    };

    #[test]
    fn three_retries_wait_two_four_and_eight_seconds() {
        let delays: Vec<_> =
            (0..=5).map(|attempts| POLICY.delay_after(attempts).map(|delay| delay.as_secs())).collect();
        assert_eq!(delays, [None, Some(2), Some(4), Some(8), None, None]);
        assert_eq!(POLICY.attempts_max(), 4);
    }

    #[test]
    fn the_base_delay_scales_every_retry() {
        let policy = RetryPolicy { delay: Duration::from_secs(60), ..POLICY };
        let delays: Vec<_> = (1..=3).filter_map(|attempts| policy.delay_after(attempts)).collect();
        assert_eq!(delays, [60, 120, 240].map(Duration::from_secs));
    }

    #[test]
    fn the_cap_holds_however_many_retries() {
        let policy = RetryPolicy { max_retries: u32::MAX, ..POLICY };
        for attempts in [12, 64, 1_000_000, u32::MAX - 1] {
            assert_eq!(policy.delay_after(attempts), Some(POLICY.delay_max));
        }
    }

    #[test]
    fn jitter_keeps_within_its_share() {
        let policy = RetryPolicy { jitter: 0.1, ..POLICY };
        let delays: Vec<_> = (0..200).filter_map(|_| policy.delay_after(1)).map(|delay| delay.as_secs_f64()).collect();
        assert_eq!(delays.len(), 200);
        assert!(delays.iter().all(|delay| (1.8..=2.2).contains(delay)), "{delays:?}");
        assert!(delays.iter().any(|delay| *delay != delays[0]), "no jitter at all");
    }
}
