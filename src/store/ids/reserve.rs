//! Spends a block of ids in the database.

use std::ops::RangeInclusive;
use std::time::Duration;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, Statement, Value};

use super::partitions;
use crate::store::dialect::{now_sql, placeholder};
use crate::store::error::{StoreError, StoreErrorKind};
use crate::store::open::{Conn, Store};
use crate::telemetry::condition::Condition;

/// Nodes that reserve at the same moment make each other repeat; each round one of them succeeds.
const TRIES_MAX: usize = 50;

/// Whether the partitions after those in use can be made.
static MAKING_AHEAD: Condition = Condition::new("making the next partition of events");

impl Store {
    /// Spends the next `size` ids behind `after` for this boot. On PostgreSQL their partitions exist when it returns;
    /// while the next one is missing, there may be fewer ids.
    pub async fn reserve_ids(
        &self,
        boot_id: Uuid,
        size: i64,
        after: i64,
        wait: Duration,
    ) -> Result<RangeInclusive<i64>, StoreError> {
        let reserved = self.run("reserve ids", wait, move |conn| async move {
            partitions::make_needed(&conn).await?;
            let block = reserve(&conn, boot_id, size, after).await?;
            let block = partitions::part_with_partitions(&conn, block).await?;
            let lacks_next = partitions::lacks_next(&conn, *block.end());
            Ok((block, lacks_next))
        });
        let (block, lacks_next) = reserved.await?;
        if lacks_next {
            self.make_ahead(*block.end(), wait);
        }
        Ok(block)
    }

    /// Makes the partition after that of `id` in the background. A failure is tried again with the next block.
    fn make_ahead(&self, id: i64, wait: Duration) {
        let store = self.clone();
        self.spawn(async move {
            let make = move |conn: Conn| async move { partitions::make_next(&conn, id).await };
            MAKING_AHEAD.note(&store.run("make the next partition of events", wait, make).await);
        });
    }
}

async fn reserve(conn: &Conn, boot_id: Uuid, size: i64, after: i64) -> Result<RangeInclusive<i64>, StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match reserve_once(conn, boot_id, size, after).await {
            Err(error) if error.kind == StoreErrorKind::Conflict && tries < TRIES_MAX => {}
            result => return result,
        }
    }
}

/// Repeating it after a lost answer only wastes a block.
async fn reserve_once(conn: &Conn, boot_id: Uuid, size: i64, after: i64) -> Result<RangeInclusive<i64>, StoreError> {
    let backend = conn.backend();
    let now = now_sql(backend);
    let [size_at, boot_at, after_at] = [1, 2, 3].map(|n| placeholder(backend, n));
    // Behind those of its own, too: the table may have been brought back from an older copy.
    let sql = format!(
        "INSERT INTO id_blocks (first_id, last_id, boot_id, reserved_at) \
         SELECT MAX(last) + 1, MAX(last) + {size_at}, {boot_at}, {now} FROM \
         (SELECT last_id AS last FROM id_blocks UNION ALL SELECT CAST({after_at} AS BIGINT)) AS spent \
         RETURNING first_id, last_id"
    );
    let values: [Value; 3] = [size.into(), boot_id.into(), after.into()];
    let statement = Statement::from_sql_and_values(backend, sql, values);
    let row = conn.write().query_one_raw(statement).await?;
    let row = row.ok_or_else(|| StoreError::unwritten("id_blocks", 1, 1))?;
    let (first, last): (i64, i64) = (row.try_get("", "first_id")?, row.try_get("", "last_id")?);
    Ok(first..=last)
}
