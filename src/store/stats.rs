//! Statistics over all nodes: what flushes counted, young ones one by one and old ones by the minute.
//!
//! All that belongs together is read in one statement, so that a roll-up or a flush that happens meanwhile is in it wholly or
//! not at all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::dialect::placeholder;
use super::{Store, StoreError};

/// Event types whose figures are told at most.
pub const TYPES_MAX: usize = 100;

/// What is summed up over a window; columns of both tables, and for each event type members of their `counts`.
const SUMS: [&str; 6] = ["flushes", "processed", "validation_error", "failed", "pending", "worked_us"];

/// What is summed up since the beginning.
const TOTALS: [&str; 6] = ["received", "processed", "duplicate", "validation_error", "failed", "cancelled"];

/// Sums over time windows, and the balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// A window each, in the order in which they were asked for.
    pub windows: Vec<Sums>,
    /// Since the beginning.
    pub balance: Balance,
}

/// Sums over one time window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
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

/// The sums of one event type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeSums {
    /// The type; empty for events without one.
    pub event_type: String,
    /// A window each, in the order in which they were asked for.
    pub windows: Vec<Sums>,
}

impl Store {
    /// The sums since each of `windows`, which must be beginnings of minutes, and the balance.
    pub async fn stats(&self, windows: Vec<DateTime<Utc>>, wait: Duration) -> Result<Stats, StoreError> {
        self.run("read statistics", wait, |conn| async move {
            let values: Vec<Value> = windows.iter().map(|since| (*since).into()).collect();
            let sql = sql(conn.backend(), windows.len());
            let row = conn.read().query_one_raw(Statement::from_sql_and_values(conn.backend(), sql, values)).await?;
            let Some(row) = row else { return Ok(Stats::default()) };
            let balance = windows.len() * SUMS.len();
            let number = |place: usize| row.try_get_by_index::<i64>(balance + place);
            let balance = Balance {
                received: number(0)?,
                processed: number(1)?,
                duplicate: number(2)?,
                validation_error: number(3)?,
                failed: number(4)?,
                cancelled: number(5)?,
                pending: number(6)?,
            };
            Ok(Stats { windows: sums(&row, 0, windows.len())?, balance })
        })
        .await
    }

    /// The sums of each event type, the most active in the longest window first; at most [`TYPES_MAX`], and whether these
    /// are all. Costs more than the others: the counts of each flush are taken apart.
    pub async fn stats_by_type(
        &self,
        windows: Vec<DateTime<Utc>>,
        wait: Duration,
    ) -> Result<(Vec<TypeSums>, bool), StoreError> {
        self.run("read statistics by type", wait, |conn| async move {
            let oldest = windows.iter().min().copied().unwrap_or_default();
            let values: Vec<Value> = windows.iter().chain([&oldest]).map(|since| (*since).into()).collect();
            let sql = sql_by_type(conn.backend(), windows.len());
            let rows = conn.read().query_all_raw(Statement::from_sql_and_values(conn.backend(), sql, values)).await?;
            let types = rows.iter().take(TYPES_MAX).map(|row| {
                Ok(TypeSums { event_type: row.try_get_by_index(0)?, windows: sums(row, 1, windows.len())? })
            });
            Ok((types.collect::<Result<_, DbErr>>()?, rows.len() <= TYPES_MAX))
        })
        .await
    }
}

/// The sums of each window, from the column `first` on.
fn sums(row: &QueryResult, first: usize, windows: usize) -> Result<Vec<Sums>, DbErr> {
    let window = |window: usize| {
        let number = |place: usize| row.try_get_by_index::<i64>(first + window * SUMS.len() + place);
        Ok(Sums {
            flushes: number(0)?,
            processed: number(1)?,
            validation_error: number(2)?,
            failed: number(3)?,
            pending: number(4)?,
            worked_us: number(5)?,
        })
    };
    (0..windows).map(window).collect()
}

/// Sums of bigints are numeric on PostgreSQL, and null over no rows.
fn sum(what: &str) -> String {
    format!("CAST(COALESCE(SUM({what}), 0) AS BIGINT)")
}

fn sql(backend: DbBackend, windows: usize) -> String {
    let within = |window: usize| {
        let since = placeholder(backend, window + 1);
        SUMS.map(|column| sum(&format!("CASE WHEN counted_at >= {since} THEN {column} ELSE 0 END")))
    };
    let sums: Vec<String> = (0..windows).flat_map(within).chain(TOTALS.map(sum)).collect();
    let columns = "received, processed, duplicate, validation_error, failed, cancelled, pending, worked_us";
    format!(
        "SELECT {}, (SELECT COUNT(*) FROM events WHERE status = 'pending') FROM ( \
         SELECT minute AS counted_at, flushes, {columns} FROM flush_minutes \
         UNION ALL SELECT flushed_at, 1, {columns} FROM flushes) AS counted",
        sums.join(", ")
    )
}

/// The last parameter is the beginning of the longest window.
fn sql_by_type(backend: DbBackend, windows: usize) -> String {
    let within = |window: usize| {
        let since = placeholder(backend, window + 1);
        SUMS.map(|figure| sum(&format!("CASE WHEN counted_at >= {since} AND figure = '{figure}' THEN n ELSE 0 END")))
    };
    let sums: Vec<String> = (0..windows).flat_map(within).collect();
    let oldest = placeholder(backend, windows + 1);
    let (each, number) = match backend {
        DbBackend::Postgres => ("jsonb_each(f.counts) AS s, jsonb_each_text(s.value) AS t", "CAST(t.value AS BIGINT)"),
        _ => ("json_each(f.counts) AS s, json_each(s.value) AS t", "t.value"),
    };
    format!(
        "SELECT event_type, {} FROM (SELECT f.counted_at, s.key AS figure, t.key AS event_type, {number} AS n FROM ( \
         SELECT minute AS counted_at, counts FROM flush_minutes WHERE minute >= {oldest} \
         UNION ALL SELECT flushed_at, counts FROM flushes WHERE flushed_at >= {oldest}) AS f, {each}) AS counted \
         GROUP BY event_type ORDER BY {} DESC, event_type LIMIT {}",
        sums.join(", "),
        sum("CASE WHEN figure IN ('processed', 'validation_error', 'failed', 'pending') THEN n ELSE 0 END"),
        TYPES_MAX + 1,
    )
}
