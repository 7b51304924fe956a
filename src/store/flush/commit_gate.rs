//! Where a flush and its caller agree whether there will be a COMMIT: only then is "not stored" certain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::super::open::Conn;
use super::super::{Cause, StoreError, StoreErrorKind, StoreOutcome};

const OPEN: u8 = 0;
const PASSED: u8 = 1;
const CLOSED: u8 = 2;

/// Lets the flush pass, or its caller close it, whichever comes first; clones share it.
#[derive(Clone, Default)]
pub(super) struct CommitGate(Arc<AtomicU8>);

impl CommitGate {
    /// Lets the flush go on to its COMMIT, also more than once; an error if its caller has given it up, or if the
    /// SQLite file was moved away: what goes into it then is lost, however well it is synced.
    pub fn pass(&self, conn: &Conn) -> Result<(), StoreError> {
        conn.check_file()?;
        if self.set_once(PASSED) != CLOSED {
            return Ok(());
        }
        let cause = Cause::Lost("its caller has given it up".to_owned());
        Err(StoreError::new(StoreErrorKind::Transient, StoreOutcome::NotStored, cause))
    }

    /// The flush was refused before its COMMIT, and begins anew.
    pub fn step_back(&self) {
        // Where its caller has given it up, that stays so.
        let _ = self.0.compare_exchange(PASSED, OPEN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// What is certain about a flush that ended in `error`: closed before its COMMIT, it never comes to it.
    pub fn close(&self, error: StoreError) -> StoreError {
        if self.set_once(CLOSED) == PASSED { error } else { error.before_commit() }
    }

    /// The state that was set first.
    fn set_once(&self, state: u8) -> u8 {
        self.0.compare_exchange(OPEN, state, Ordering::AcqRel, Ordering::Acquire).map_or_else(|set| set, |_| state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> StoreError {
        StoreError::new(StoreErrorKind::Transient, StoreOutcome::Unknown, Cause::Lost("silence".to_owned()))
    }

    #[test]
    fn a_flush_that_passed_first_leaves_its_outcome_open() {
        let gate = CommitGate::default();
        assert_eq!([gate.set_once(PASSED), gate.set_once(PASSED)], [PASSED; 2], "the long way after the short one");
        assert_eq!(gate.close(lost()).outcome, StoreOutcome::Unknown);
    }

    #[test]
    fn a_flush_that_was_given_up_first_never_passes() {
        let gate = CommitGate::default();
        assert_eq!(gate.close(lost()).outcome, StoreOutcome::NotStored);
        assert_eq!(gate.set_once(PASSED), CLOSED);
    }
}
