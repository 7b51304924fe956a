//! Whether the database takes first writes now, as the Persisters find it.
//!
//! A write that fails in a way that may pass begins an outage, one that succeeds ends it. During an outage new events
//! go to the spool at once; what lies there already is tried, and so is claimed work, which finds out about the end.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::telemetry::facts;

/// The state that all Persisters of a node share; each change of it writes one line.
#[derive(Default)]
pub(super) struct Outage {
    is_on: AtomicBool,
    began: Mutex<Option<Instant>>,
    spool_refuses: AtomicBool,
}

impl Outage {
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    pub fn begin(&self, error: &dyn Display) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        if began.is_none() {
            *began = Some(Instant::now());
            self.is_on.store(true, Ordering::Release);
            facts::outage_began(error);
        }
    }

    pub fn end(&self) {
        if !self.is_on() {
            return;
        }
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(began) = began.take() {
            self.is_on.store(false, Ordering::Release);
            facts::outage_ended(began.elapsed());
        }
    }

    /// Notes what the spool answered to the last append.
    pub fn spool_answered(&self, refusal: Option<&dyn Display>) {
        match (refusal, self.spool_refuses.swap(refusal.is_some(), Ordering::AcqRel)) {
            (Some(error), false) => facts::spool_refused(error),
            (None, true) => facts::spool_takes_again(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_the_first_failure_to_the_first_success() {
        let outage = Outage::default();
        outage.end();
        assert!(!outage.is_on());
        outage.begin(&"refused");
        outage.begin(&"refused again");
        assert!(outage.is_on());
        outage.end();
        assert!(!outage.is_on());
    }
}
