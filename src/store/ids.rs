//! Event ids, handed out from blocks that are spent durably before their first id leaves.
//!
//! A restart never resumes a block, and a block that lies unused is dropped: ids have gaps, and are not in commit
//! order. Within one node they only grow.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sea_orm::prelude::Uuid;

use self::fallback::FallbackIds;
use super::error::StoreError;
use super::open::Store;

mod fallback;
mod known_partitions;
mod partitions;
mod reserve;

pub(super) use self::known_partitions::Partitions;
pub(super) use self::partitions::{bounds as partition_bounds, number_of as partition_of};

/// Size of a node's first block: a quiet node wastes few ids.
const BLOCK_IDS_FIRST: i64 = 100;
/// Largest block.
pub const BLOCK_IDS_MAX: i64 = 16_384;
/// A block used up faster than this is followed by one of twice its size.
const BLOCK_TIME_MIN: Duration = Duration::from_secs(1);
/// A block is dropped after this time, so that ids do not lag far behind those of other nodes.
const BLOCK_AGE_MAX: Duration = Duration::from_secs(60);

/// Rest between two tries to reserve while the database refuses.
const REST: Duration = Duration::from_millis(250);

/// The ids of one boot; clones share them.
#[derive(Clone, Debug)]
pub struct Ids {
    shared: Arc<IdsInner>,
}

#[derive(Debug)]
struct IdsInner {
    store: Store,
    boot_id: Uuid,
    wait: Duration,
    stock: Mutex<Stock>,
    /// One reservation at a time keeps blocks in ascending order.
    refill: tokio::sync::Mutex<()>,
    prefetching: AtomicBool,
    /// Handed out while reservations fail.
    fallback: Option<FallbackIds>,
    /// How the last reservation failed; `None` once one has succeeded again.
    failure: Mutex<Option<RefillFailure>>,
    /// The last id of all blocks.
    highest: AtomicI64,
}

#[derive(Clone, Debug)]
struct RefillFailure {
    at: Instant,
    error: StoreError,
}

/// Blocks in hand, in ascending order. Pure: the present moment is an argument.
#[derive(Debug)]
struct Stock {
    blocks: VecDeque<Block>,
    size: i64,
    /// Blocks older than this are dropped.
    age_max: Duration,
}

#[derive(Debug)]
struct Block {
    next: i64,
    last: i64,
    reserved: Instant,
    /// When its first id left.
    opened: Option<Instant>,
}

impl Ids {
    /// An empty stock. `wait` bounds each reservation.
    pub fn new(store: Store, boot_id: Uuid, wait: Duration) -> Self {
        Self::stocked(store, boot_id, wait, None)
    }

    fn stocked(store: Store, boot_id: Uuid, wait: Duration, fallback: Option<FallbackIds>) -> Self {
        let shared = IdsInner {
            store,
            boot_id,
            wait,
            stock: Mutex::new(Stock::new()),
            refill: tokio::sync::Mutex::new(()),
            prefetching: AtomicBool::new(false),
            fallback,
            failure: Mutex::new(None),
            highest: AtomicI64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The same, with fallback ids reserved at once for an outage of the database.
    pub fn with_fallback(store: Store, boot_id: Uuid, wait: Duration) -> Self {
        let ids = Self::stocked(store, boot_id, wait, Some(FallbackIds::default()));
        ids.prefetch();
        ids
    }

    /// `count` ids, each larger than the one before; larger than all that were taken earlier, too, unless none can be
    /// reserved and they come from the fallback. Without a fallback it tries for as long as its caller waits.
    pub async fn take(&self, count: usize) -> Result<Vec<i64>, StoreError> {
        loop {
            let requested_at = Instant::now();
            let (taken, low) = {
                let mut stock = self.shared.stock();
                (stock.take(count, Instant::now()), stock.is_low())
            };
            if let Some(ids) = taken {
                if low {
                    self.prefetch();
                }
                return Ok(ids);
            }
            if let Some(ids) = self.shared.take_fallback(count) {
                self.prefetch();
                return Ok(ids);
            }
            if let Err(error) = self.shared.refill(count, requested_at).await {
                self.prefetch();
                // With the fallback used up, the database has been away for long.
                if self.shared.fallback.is_some() || !error.is_transient() {
                    return Err(error);
                }
                tokio::time::sleep(REST).await;
            }
        }
    }

    /// Why there are no ids; `None` while some are left, or the next may be reserved.
    pub fn shortage(&self) -> Option<String> {
        let failure = self.shared.failure()?;
        self.shared.is_used_up().then(|| failure.error.to_string())
    }

    /// Reserves the next block before this one is used up. A failure shows in the `take` that needs the block; once that
    /// is so, it is tried until it succeeds: clients may send no request before the node is ready.
    fn prefetch(&self) {
        let rests = self.shared.rests() && !self.shared.is_used_up();
        if rests || self.shared.prefetching.swap(true, Ordering::AcqRel) {
            return;
        }
        let shared = self.shared.clone();
        self.shared.store.spawn(async move {
            while shared.prefetch().await.is_err() && shared.is_used_up() {
                tokio::time::sleep(REST).await;
            }
            shared.prefetching.store(false, Ordering::Release);
        });
    }
}

impl IdsInner {
    fn stock(&self) -> MutexGuard<'_, Stock> {
        // A panic cannot leave the stock half changed: its ids are counted last.
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> Option<RefillFailure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a reservation failed just now.
    fn rests(&self) -> bool {
        self.failure().is_some_and(|failure| failure.at.elapsed() < REST)
    }

    fn is_used_up(&self) -> bool {
        self.stock().left() == 0 && self.fallback.as_ref().is_none_or(FallbackIds::is_empty)
    }

    /// `count` of the fallback ids, if reservations fail.
    fn take_fallback(&self, count: usize) -> Option<Vec<i64>> {
        self.failure()?;
        self.fallback.as_ref()?.take(count)
    }

    /// Whether reservations fail and `count` fallback ids are left.
    fn has_fallback(&self, count: usize) -> bool {
        self.failure().is_some() && self.fallback.as_ref().is_some_and(|fallback| fallback.has(count))
    }

    /// Makes sure that `count` ids are in hand, unless others take them first. A caller that has waited for a
    /// reservation that failed does not wait for another one.
    async fn refill(&self, count: usize, requested_at: Instant) -> Result<(), StoreError> {
        let _one = self.refill.lock().await;
        let size = self.stock().wanted(count);
        let Some(size) = size.filter(|_| !self.has_fallback(count)) else {
            return Ok(());
        };
        if let Some(failure) = self.failure().filter(|failure| failure.at > requested_at) {
            return Err(failure.error);
        }
        match self.reserve(size).await {
            // The next look finds the fallback ids.
            Err(_) if self.has_fallback(count) => Ok(()),
            result => result,
        }
    }

    async fn prefetch(&self) -> Result<(), StoreError> {
        let _one = self.refill.lock().await;
        let size = {
            let stock = self.stock();
            stock.is_low().then_some(stock.size)
        };
        if let Some(size) = size {
            self.reserve(size).await?;
        }
        self.refill_fallback().await
    }

    /// Fills the fallback up to what the present rate would need.
    async fn refill_fallback(&self) -> Result<(), StoreError> {
        let Some(fallback) = &self.fallback else { return Ok(()) };
        let size = self.stock().size;
        let Some(missing) = fallback.missing(size) else { return Ok(()) };
        let block = self.spend(missing).await?;
        fallback.add(block);
        Ok(())
    }

    async fn reserve(&self, size: i64) -> Result<(), StoreError> {
        let reserved = self.spend(size).await;
        let failure = reserved.as_ref().err().map(|error| RefillFailure { at: Instant::now(), error: error.clone() });
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        self.stock().add(reserved?, Instant::now());
        Ok(())
    }

    /// Spends a block behind all that were spent before.
    async fn spend(&self, size: i64) -> Result<RangeInclusive<i64>, StoreError> {
        let after = self.highest.load(Ordering::Relaxed);
        let block = self.store.reserve_ids(self.boot_id, size, after, self.wait).await?;
        self.highest.fetch_max(*block.end(), Ordering::Relaxed);
        Ok(block)
    }
}

impl Stock {
    fn new() -> Self {
        Self { blocks: VecDeque::new(), size: BLOCK_IDS_FIRST, age_max: BLOCK_AGE_MAX }
    }

    fn left(&self) -> i64 {
        self.blocks.iter().map(Block::left).sum()
    }

    /// Half of a block or less is left.
    fn is_low(&self) -> bool {
        self.left() <= self.size / 2
    }

    /// How many ids to reserve for a taker of `count`; none when enough are in hand.
    fn wanted(&self, count: usize) -> Option<i64> {
        let missing = as_ids(count) - self.left();
        (missing > 0).then(|| missing.max(self.size))
    }

    fn add(&mut self, block: RangeInclusive<i64>, now: Instant) {
        self.blocks.push_back(Block { next: *block.start(), last: *block.end(), reserved: now, opened: None });
    }

    /// All of `count` or nothing.
    fn take(&mut self, count: usize, now: Instant) -> Option<Vec<i64>> {
        self.drop_old(now);
        if self.left() < as_ids(count) {
            return None;
        }
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let block = self.blocks.front_mut()?;
            let opened = *block.opened.get_or_insert(now);
            let taken = block.left().min(as_ids(count - ids.len()));
            ids.extend(block.next..block.next + taken);
            block.next += taken;
            if block.left() == 0 {
                self.blocks.pop_front();
                self.grow(now.duration_since(opened));
            }
        }
        Some(ids)
    }

    fn grow(&mut self, lasted: Duration) {
        if lasted < BLOCK_TIME_MIN {
            self.size = (self.size * 2).min(BLOCK_IDS_MAX);
        }
    }

    fn drop_old(&mut self, now: Instant) {
        let is_old = |block: &Block| now.duration_since(block.reserved) > self.age_max;
        while self.blocks.front().is_some_and(is_old) {
            self.blocks.pop_front();
            self.size = BLOCK_IDS_FIRST;
        }
    }
}

impl Block {
    fn left(&self) -> i64 {
        self.last - self.next + 1
    }
}

fn as_ids(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock_of(blocks: &[RangeInclusive<i64>], now: Instant) -> Stock {
        let mut stock = Stock::new();
        for block in blocks {
            stock.add(block.clone(), now);
        }
        stock
    }

    #[test]
    fn a_taker_may_span_blocks_and_gets_all_or_nothing() {
        let now = Instant::now();
        let mut stock = stock_of(&[1..=3, 10..=12], now);
        assert_eq!(stock.take(2, now), Some(vec![1, 2]));
        assert_eq!(stock.take(5, now), None);
        assert_eq!(stock.take(3, now), Some(vec![3, 10, 11]));
        assert_eq!(stock.left(), 1);
    }

    #[test]
    fn a_block_used_up_within_a_second_doubles_the_next_up_to_the_limit() {
        let now = Instant::now();
        let mut stock = stock_of(&[1..=2], now);
        stock.take(2, now);
        assert_eq!(stock.size, 2 * BLOCK_IDS_FIRST);
        for first in 1..20 {
            stock.add(first * 10..=first * 10, now);
            stock.take(1, now);
        }
        assert_eq!(stock.size, BLOCK_IDS_MAX);
    }

    #[test]
    fn a_block_that_lasted_does_not_grow() {
        let now = Instant::now();
        let mut stock = stock_of(&[1..=2], now);
        stock.take(1, now);
        stock.take(1, now + BLOCK_TIME_MIN);
        assert_eq!(stock.size, BLOCK_IDS_FIRST);
    }

    #[test]
    fn a_block_held_too_long_is_dropped_and_the_next_is_small_again() {
        let now = Instant::now();
        let mut stock = stock_of(&[1..=100], now);
        stock.size = BLOCK_IDS_MAX;
        let later = now + BLOCK_AGE_MAX + Duration::from_secs(1);
        assert_eq!(stock.take(1, later), None);
        assert_eq!(stock.wanted(1), Some(BLOCK_IDS_FIRST));
    }

    #[test]
    fn a_large_taker_gets_one_large_block() {
        let stock = stock_of(&[1..=10], Instant::now());
        assert_eq!(stock.wanted(10), None);
        assert_eq!(stock.wanted(11), Some(BLOCK_IDS_FIRST));
        assert_eq!(stock.wanted(1010), Some(1000));
    }

    #[test]
    fn half_a_block_left_is_low() {
        let now = Instant::now();
        let mut stock = stock_of(&[1..=BLOCK_IDS_FIRST], now);
        assert!(!stock.is_low());
        stock.take(50, now);
        assert!(stock.is_low());
    }
}
