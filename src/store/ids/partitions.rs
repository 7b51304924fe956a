//! Partitions of `events` on PostgreSQL, made ahead of the ids that need them.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement};

use crate::store::error::StoreError;
use crate::store::open::{Conn, begin_write, commit};

/// Ids per partition; the migration's first partitions have it too.
const PARTITION_IDS: i64 = 10_000_000;
/// Number of the advisory lock ("partitio" as bytes).
const LOCK_KEY: i64 = 0x7061_7274_6974_696f;

/// Makes sure that the partition of `id`, all before it and the next one exist.
pub(super) async fn ensure(conn: &Conn, id: i64) -> Result<(), StoreError> {
    let needed = number_of(id) + 1;
    if conn.backend() != DbBackend::Postgres || conn.partition_made() >= needed {
        return Ok(());
    }
    let tx = begin_write(conn).await?;
    let made = make_up_to(&tx, needed).await;
    made.map_err(StoreError::before_commit)?;
    commit(tx).await?;
    conn.note_partition_made(needed);
    Ok(())
}

async fn make_up_to(tx: &DatabaseTransaction, needed: i64) -> Result<(), StoreError> {
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

async fn exists(tx: &DatabaseTransaction, number: i64) -> Result<bool, StoreError> {
    let sql = format!("SELECT to_regclass('events_p{number}') IS NOT NULL AS found");
    let row = tx.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
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

fn number_of(id: i64) -> i64 {
    (id - 1) / PARTITION_IDS
}

/// First id, and the first id after it.
fn bounds(number: i64) -> (i64, i64) {
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
