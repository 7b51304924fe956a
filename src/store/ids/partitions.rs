//! Partitions of `events` on PostgreSQL, made ahead of the ids that need them.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement};

use crate::store::db_pool::commit;
use crate::store::error::StoreError;
use crate::store::open::{Conn, begin_write};

/// Ids per partition; the migration's first partitions have it too.
const PARTITION_IDS: i64 = 10_000_000;
/// Number of the advisory lock ("partitio" as bytes).
const LOCK_KEY: i64 = 0x7061_7274_6974_696f;

/// The part of a block whose partitions exist. Its first one is made if needed; the next one should be there already,
/// and while it is not, no request waits for it.
pub(super) async fn part_with_partitions(
    conn: &Conn,
    block: RangeInclusive<i64>,
) -> Result<RangeInclusive<i64>, StoreError> {
    if conn.backend() != DbBackend::Postgres {
        return Ok(block);
    }
    let (first, last) = block.into_inner();
    if !is_there(conn, number_of(first)).await? {
        conn.partitions().needed.fetch_max(number_of(first), Ordering::Relaxed);
        make_needed(conn).await?;
    }
    if is_there(conn, number_of(last)).await? {
        return Ok(first..=last);
    }
    let (_, end) = bounds(number_of(first));
    Ok(first..=end - 1)
}

/// Makes those that an earlier block needed in vain: before that no further ids are spent.
pub(super) async fn make_needed(conn: &Conn) -> Result<(), StoreError> {
    let needed = conn.partitions().needed.load(Ordering::Relaxed);
    if conn.partitions().has(needed) {
        return Ok(());
    }
    make_up_to(conn, needed).await
}

async fn is_there(conn: &Conn, number: i64) -> Result<bool, StoreError> {
    if conn.partitions().has(number) {
        return Ok(true);
    }
    let exists = exists(conn.write(), number).await?;
    if exists {
        conn.partitions().note(number);
    }
    Ok(exists)
}

/// Whether the partition after that of `id` is still to be made.
pub(super) fn lacks_next(conn: &Conn, id: i64) -> bool {
    conn.backend() == DbBackend::Postgres && !conn.partitions().has(number_of(id) + 1)
}

/// Makes the partition after that of `id`, long before it is needed, unless that is under way: nothing waits for it.
pub(super) async fn make_next(conn: &Conn, id: i64) -> Result<(), StoreError> {
    match conn.partitions().ahead.try_lock() {
        Ok(_one) => make_up_to(conn, number_of(id) + 1).await,
        Err(_) => Ok(()),
    }
}

async fn make_up_to(conn: &Conn, needed: i64) -> Result<(), StoreError> {
    let tx = begin_write(conn).await?;
    let made = make_missing(&tx, needed).await;
    made.map_err(StoreError::before_commit)?;
    commit(tx).await?;
    conn.partitions().note(needed);
    Ok(())
}

async fn make_missing(tx: &DatabaseTransaction, needed: i64) -> Result<(), StoreError> {
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK_KEY})");
    tx.query_one_raw(Statement::from_string(DbBackend::Postgres, lock)).await?;
    for number in (0..=needed).rev() {
        if exists(tx, number).await? {
            // They are made in order and dropped from the oldest on.
            break;
        }
        make(tx, number).await?;
    }
    Ok(())
}

/// By the catalogue's rows: what a session has once looked up by name it may go on missing until its next transaction.
async fn exists(connection: &impl ConnectionTrait, number: i64) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
         WHERE inhparent = 'events'::regclass AND relname = 'events_p{number}') AS found"
    );
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    let found = row.map(|row| row.try_get("", "found")).transpose()?;
    Ok(found.unwrap_or(false))
}

/// Made beside and then attached: that locks out no insert, which `PARTITION OF` would.
async fn make(tx: &DatabaseTransaction, number: i64) -> Result<(), StoreError> {
    let (first, end) = bounds(number);
    let sql = format!(
        "CREATE TABLE events_p{number} (LIKE events INCLUDING ALL); \
         ALTER TABLE events ATTACH PARTITION events_p{number} FOR VALUES FROM ({first}) TO ({end})"
    );
    tx.execute_unprepared(&sql).await?;
    Ok(())
}

/// The number of the partition that holds `id`.
pub(in crate::store) fn number_of(id: i64) -> i64 {
    (id - 1) / PARTITION_IDS
}

/// First id, and the first id after it.
pub(in crate::store) fn bounds(number: i64) -> (i64, i64) {
    let first = number * PARTITION_IDS + 1;
    (first, first + PARTITION_IDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_meet_without_gap_or_overlap() {
        assert_eq!(bounds(0), (1, 10_000_001));
        assert_eq!(bounds(1), (10_000_001, 20_000_001));
        for (id, number) in [(1, 0), (10_000_000, 0), (10_000_001, 1), (20_000_001, 2)] {
            assert_eq!(number_of(id), number, "{id}");
        }
    }
}
