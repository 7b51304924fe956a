//! Ids laid by for an outage: what is spooled needs an id that was spent before the database went away.
//!
//! They are not dropped for their age, as other blocks are; a restart resumes none of them either.

use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Stock;

/// How long an outage may last at the present rate before the spare ids are used up. The size of a block says what a
/// second needs.
const SECONDS: i64 = 600;

/// Most spare ids of a node.
const IDS_MAX: i64 = 1_000_000;

/// Rest between two tries to reserve in an outage.
const REST: Duration = Duration::from_millis(250);

/// The spare ids of one boot.
#[derive(Debug)]
pub(super) struct Spare {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    stock: Stock,
    /// When the database last failed to reserve; `None` once it has succeeded again.
    failed_at: Option<Instant>,
}

impl Default for Spare {
    fn default() -> Self {
        let stock = Stock { age_max: Duration::MAX, ..Stock::new() };
        Self { inner: Mutex::new(Inner { stock, failed_at: None }) }
    }
}

impl Spare {
    /// Takes `count` ids if the database is silent.
    pub fn take_in_silence(&self, count: usize) -> Option<Vec<i64>> {
        let mut inner = self.inner();
        inner.failed_at?;
        inner.stock.take(count, Instant::now())
    }

    /// Whether the database is silent and `count` ids are here.
    pub fn serves(&self, count: usize) -> bool {
        let inner = self.inner();
        inner.failed_at.is_some() && inner.stock.wanted(count).is_none()
    }

    /// Whether the database is silent and none is left.
    pub fn is_used_up(&self) -> bool {
        let inner = self.inner();
        inner.failed_at.is_some() && inner.stock.left() == 0
    }

    /// Whether the database was asked in vain just now.
    pub fn rests(&self) -> bool {
        self.inner().failed_at.is_some_and(|at| at.elapsed() < REST)
    }

    /// Notes how a reservation ended.
    pub fn note(&self, has_succeeded: bool) {
        self.inner().failed_at = (!has_succeeded).then(Instant::now);
    }

    /// How many ids should be laid by when blocks have this size, if it is worth asking.
    pub fn missing(&self, block_size: i64) -> Option<i64> {
        let wanted = block_size.saturating_mul(SECONDS).min(IDS_MAX);
        let left = self.inner().stock.left();
        (left < wanted / 2).then_some(wanted - left)
    }

    pub fn add(&self, block: RangeInclusive<i64>) {
        self.inner().stock.add(block, Instant::now());
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_ids_are_given_only_while_the_database_is_silent() {
        let spare = Spare::default();
        spare.add(1..=10);
        assert_eq!(spare.take_in_silence(2), None);
        spare.note(false);
        assert_eq!(spare.take_in_silence(2), Some(vec![1, 2]));
        assert!(spare.serves(8) && !spare.serves(9) && spare.rests());
        spare.note(true);
        assert_eq!(spare.take_in_silence(2), None);
    }

    #[test]
    fn what_is_laid_by_follows_the_rate_up_to_a_limit() {
        let spare = Spare::default();
        assert_eq!(spare.missing(100), Some(60_000));
        spare.add(1..=60_000);
        assert_eq!(spare.missing(100), None);
        assert_eq!(spare.missing(1_000), Some(540_000));
        assert_eq!(spare.missing(16_384), Some(940_000));
    }
}
