//! What has to be done in the database from time to time: old flushes are rolled up, old keys removed, the clock of keys
//! advanced, SQLite's log emptied. For old events the Pruner is told when it is time.

use std::time::{Duration, Instant};

use super::deps::Deps;
use super::messages::RetentionDue;
use super::pool::Pool;
use super::topology::Pools;
use crate::store::{Store, StoreError};
use crate::telemetry::condition::Condition;

/// How often there is housekeeping.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_secs(60);

/// How often the clock of keys is advanced, and the length of SQLite's log checked.
const TENDING_PERIOD: Duration = Duration::from_secs(5);

/// How old flushes must be to be rolled up: the live feed reads younger ones.
const ROLL_UP_AGE: Duration = Duration::from_secs(3_600);

/// Age from which counted repeats are forgotten: far longer than any flush is tried again.
const REPEATS_AGE: Duration = Duration::from_secs(3_600);

/// Longest wait for a piece of housekeeping.
const HOUSEKEEPING_WAIT: Duration = Duration::from_secs(30);

/// Begins it, apart from the heartbeat: however long it takes, the node must be seen to live.
pub(super) fn start(deps: &Deps, pools: &Pools) {
    let store = &deps.store;
    store.spawn(housekeeping_loop(store.clone(), deps.config.dedupe.window));
    store.spawn(maintenance_loop(store.clone()));
    store.spawn(retention_loop(pools.retention.clone(), deps.config.retention.interval));
}

/// Says that it is time for a run; whether one is due, all nodes together decide.
async fn retention_loop(pruner: Pool<RetentionDue>, interval: Duration) {
    loop {
        tokio::time::sleep(interval.min(HOUSEKEEPING_PERIOD)).await;
        pruner.send(RetentionDue);
    }
}

/// Rolls up old flushes and removes old keys, in pieces.
async fn housekeeping_loop(store: Store, dedupe_window: Duration) {
    let condition = Condition::new("housekeeping");
    loop {
        tokio::time::sleep(HOUSEKEEPING_PERIOD).await;
        condition.note(&clear_up(&store, dedupe_window).await);
    }
}

/// Advances the clock of keys, and keeps SQLite's log short.
async fn maintenance_loop(store: Store) {
    let clock = Condition::new("moving the clock of keys");
    let log = Condition::new("emptying SQLite's log");
    let mut moved_at = Instant::now();
    loop {
        tokio::time::sleep(TENDING_PERIOD).await;
        let now = Instant::now();
        let moved = store.advance_key_clock(now.duration_since(moved_at), HOUSEKEEPING_WAIT).await;
        moved_at = if moved.is_ok() { now } else { moved_at };
        clock.note(&moved);
        log.note(&store.empty_log(HOUSEKEEPING_WAIT).await);
    }
}

async fn clear_up(store: &Store, dedupe_window: Duration) -> Result<(), StoreError> {
    while store.roll_up(ROLL_UP_AGE, HOUSEKEEPING_WAIT).await? > 0 {}
    while store.remove_keys(dedupe_window, HOUSEKEEPING_WAIT).await? > 0 {}
    store.remove_repeats(REPEATS_AGE, HOUSEKEEPING_WAIT).await
}
