//! Statistics over all nodes: what flushes counted, young ones one by one and old ones by the minute.
//!
//! All of it is read in one statement, so that a roll-up or a flush that happens meanwhile is in it wholly or not at all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::dialect::placeholder;
use super::{Store, StoreError};

/// Sums over a time window, and the balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Flushes in the window.
    pub flushes: i64,
    /// Events processed in it.
    pub processed: i64,
    /// Events refused in it.
    pub validation_error: i64,
    /// Events given up in it.
    pub failed: i64,
    /// Attempts in it that are to be repeated.
    pub pending: i64,
    /// Microseconds of work on events in it.
    pub worked_us: i64,
    /// Since the beginning.
    pub balance: Balance,
}

/// Every event that was ever received, by what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Stored or answered as duplicates.
    pub received: i64,
    /// Processed.
    pub processed: i64,
    /// Duplicates.
    pub duplicate: i64,
    /// Refused.
    pub validation_error: i64,
    /// Given up.
    pub failed: i64,
    /// Called off.
    pub cancelled: i64,
    /// Not finished: the rows that are pending now.
    pub pending: i64,
}

impl Store {
    /// The statistics since `since`, which must be the beginning of a minute, and the balance.
    pub async fn stats(&self, since: DateTime<Utc>, wait: Duration) -> Result<Stats, StoreError> {
        let statement = Statement::from_sql_and_values(self.backend(), sql(self.backend()), [since.into()]);
        self.run("read statistics", wait, move |conn| async move {
            let Some(row) = conn.read().query_one_raw(statement).await? else { return Ok(Stats::default()) };
            let number = |at: usize| row.try_get_by_index::<i64>(at);
            Ok(Stats {
                flushes: number(0)?,
                processed: number(1)?,
                validation_error: number(2)?,
                failed: number(3)?,
                pending: number(4)?,
                worked_us: number(5)?,
                balance: Balance {
                    received: number(6)?,
                    processed: number(7)?,
                    duplicate: number(8)?,
                    validation_error: number(9)?,
                    failed: number(10)?,
                    cancelled: number(11)?,
                    pending: number(12)?,
                },
            })
        })
        .await
    }
}

/// Sums of bigints are numeric on PostgreSQL, and null over no rows.
fn sql(backend: DbBackend) -> String {
    const WINDOW: [&str; 6] = ["flushes", "processed", "validation_error", "failed", "pending", "worked_us"];
    const TOTAL: [&str; 6] = ["received", "processed", "duplicate", "validation_error", "failed", "cancelled"];
    let since = placeholder(backend, 1);
    let window = WINDOW.map(|column| format!("SUM(CASE WHEN counted_at >= {since} THEN {column} ELSE 0 END)"));
    let sums = window.into_iter().chain(TOTAL.map(|column| format!("SUM({column})")));
    let sums: Vec<String> = sums.map(|sum| format!("CAST(COALESCE({sum}, 0) AS BIGINT)")).collect();
    let columns = "received, processed, duplicate, validation_error, failed, cancelled, pending, worked_us";
    format!(
        "SELECT {}, (SELECT COUNT(*) FROM events WHERE status = 'pending') FROM ( \
         SELECT minute AS counted_at, flushes, {columns} FROM flush_minutes \
         UNION ALL SELECT flushed_at, 1, {columns} FROM flushes) AS counted",
        sums.join(", ")
    )
}
