//! Ids reserved for a time in which none can be reserved: what is spooled needs an id that was spent before the
//! database went away.
//!
//! They are not dropped for their age, as other blocks are; a restart resumes none of them either.

use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Stock;

/// How long an outage may last at the present rate before the fallback is used up. The size of a block shows what a
/// second needs.
const SECONDS: i64 = 600;

/// Most fallback ids of a node.
const IDS_MAX: i64 = 1_000_000;

/// The fallback ids of one boot.
#[derive(Debug)]
pub(super) struct FallbackIds {
    stock: Mutex<Stock>,
}

impl Default for FallbackIds {
    fn default() -> Self {
        Self { stock: Mutex::new(Stock { age_max: Duration::MAX, ..Stock::new() }) }
    }
}

impl FallbackIds {
    /// Takes `count` ids, or none.
    pub fn take(&self, count: usize) -> Option<Vec<i64>> {
        self.stock().take(count, Instant::now())
    }

    /// Whether `count` ids are left.
    pub fn has(&self, count: usize) -> bool {
        self.stock().wanted(count).is_none()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.stock().left() == 0
    }

    /// How many ids to reserve when blocks have this size, if it is worth a request.
    pub fn missing(&self, block_size: i64) -> Option<i64> {
        let wanted = block_size.saturating_mul(SECONDS).min(IDS_MAX);
        let left = self.stock().left();
        (left < wanted / 2).then_some(wanted - left)
    }

    pub fn add(&self, block: RangeInclusive<i64>) {
        self.stock().add(block, Instant::now());
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallback_ids_are_given_all_or_none() {
        let fallback = FallbackIds::default();
        assert!(fallback.is_empty());
        fallback.add(1..=10);
        assert_eq!(fallback.take(2), Some(vec![1, 2]));
        assert!(fallback.has(8) && !fallback.has(9) && !fallback.is_empty());
        assert_eq!(fallback.take(9), None);
    }

    #[test]
    fn the_fallback_follows_the_rate_up_to_a_limit() {
        let fallback = FallbackIds::default();
        assert_eq!(fallback.missing(100), Some(60_000));
        fallback.add(1..=60_000);
        assert_eq!(fallback.missing(100), None);
        assert_eq!(fallback.missing(1_000), Some(540_000));
        assert_eq!(fallback.missing(16_384), Some(940_000));
    }
}
