//! For how long cached tokens may be trusted while the database is unreachable.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When tokens were last looked for in vain or with success.
pub(super) struct Staleness {
    grace: Duration,
    began: Instant,
    is_lost: AtomicBool,
    seen_ms: AtomicU64,
}

impl Staleness {
    /// The database answers now; if that stops, what is remembered may be trusted for `grace`.
    pub fn new(grace: Duration) -> Self {
        Self { grace, began: Instant::now(), is_lost: AtomicBool::new(false), seen_ms: AtomicU64::new(0) }
    }

    /// Notes whether the database answered.
    pub fn note(&self, has_answered: bool) {
        if has_answered {
            self.seen_ms.store(self.now_ms(), Ordering::Relaxed);
        }
        self.is_lost.store(!has_answered, Ordering::Relaxed);
    }

    /// Whether the database did not answer the last time: a token that is not remembered may exist.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Whether it has not answered for longer than what is remembered may be trusted.
    pub fn is_lost_for_long(&self) -> bool {
        let seen = Duration::from_millis(self.seen_ms.load(Ordering::Relaxed));
        self.is_lost() && self.began.elapsed().saturating_sub(seen) > self.grace
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_trusted_as_long_as_the_grace_lasts() {
        let patient = Staleness::new(Duration::from_secs(3_600));
        assert!(!patient.is_lost() && !patient.is_lost_for_long());
        patient.note(false);
        assert!(patient.is_lost() && !patient.is_lost_for_long());
        let impatient =
            Staleness { began: Instant::now() - Duration::from_millis(5), ..Staleness::new(Duration::ZERO) };
        impatient.note(false);
        assert!(impatient.is_lost_for_long());
        impatient.note(true);
        assert!(!impatient.is_lost() && !impatient.is_lost_for_long());
    }
}
