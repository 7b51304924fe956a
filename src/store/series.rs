//! The course of the figures: what flushes counted, in buckets of equal length, over all nodes.
//!
//! Flushes younger than an hour are there one by one, older ones by the minute: a bucket shorter than a minute is exact
//! for the last hour only.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};

use super::dialect::{placeholder, sum};
use super::stats::FIGURES;
use super::{Store, StoreError, durations};
use crate::domain::histogram::DurationHistogram;

/// Which buckets: those that begin at `since`, of `step` whole seconds each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// The beginning of the first one, a multiple of `step` after the epoch.
    pub since: DateTime<Utc>,
    /// The length of each, in seconds.
    pub step: i64,
}

/// What was counted between its beginning and the next one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Its beginning, in seconds after the epoch.
    pub at: i64,
    /// Transactions.
    pub flushes: i64,
    /// Events that came with them.
    pub received: i64,
    /// Events processed.
    pub processed: i64,
    /// Events answered with an earlier one.
    pub duplicate: i64,
    /// Events refused.
    pub validation_error: i64,
    /// Events given up.
    pub failed: i64,
    /// Events called off.
    pub cancelled: i64,
    /// Attempts that are to be repeated.
    pub pending: i64,
    /// Microseconds of work on events.
    pub worked_us: i64,
    /// How long finished events took.
    pub times: DurationHistogram,
}

impl Store {
    /// The buckets in which anything was counted, the oldest first.
    pub async fn series(&self, series: Series, wait: Duration) -> Result<Vec<Bucket>, StoreError> {
        let backend = self.backend();
        let values = [series.since.into(), series.step.into()];
        let statement = Statement::from_sql_and_values(backend, sql(backend), values);
        self.run("read a series of figures", wait, move |conn| async move {
            let rows = conn.read().query_all_raw(statement).await?;
            Ok(rows.iter().map(bucket).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many events are pending, counted up to `most`.
    pub async fn pending_up_to(&self, most: u32, wait: Duration) -> Result<i64, StoreError> {
        self.run("count what is pending", wait, move |conn| async move {
            let sql =
                format!("SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE status = 'pending' LIMIT {most}) AS pending");
            let row = conn.search_one(Statement::from_string(conn.backend(), sql)).await?;
            Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
        })
        .await
    }
}

fn sql(backend: DbBackend) -> String {
    let since = placeholder(backend, 1);
    let step = placeholder(backend, 2);
    let seconds = match backend {
        DbBackend::Postgres => "CAST(FLOOR(EXTRACT(EPOCH FROM counted_at)) AS BIGINT)",
        _ => "CAST(strftime('%s', counted_at) AS INTEGER)",
    };
    let sums = FIGURES.map(sum).join(", ");
    let figures = FIGURES[1..].join(", ");
    format!(
        "SELECT {seconds} / {step} * {step} AS bucket, {sums}, {times} FROM ( \
         SELECT minute AS counted_at, flushes, {figures}, took FROM flush_minutes WHERE minute >= {since} \
         UNION ALL SELECT flushed_at, 1, {figures}, took FROM flushes WHERE flushed_at >= {since}) AS counted \
         GROUP BY bucket ORDER BY bucket",
        times = durations::joined_sql(backend),
    )
}

fn bucket(row: &QueryResult) -> Result<Bucket, DbErr> {
    let number = |at: usize| row.try_get_by_index::<i64>(at);
    Ok(Bucket {
        at: number(0)?,
        flushes: number(1)?,
        received: number(2)?,
        processed: number(3)?,
        duplicate: number(4)?,
        validation_error: number(5)?,
        failed: number(6)?,
        cancelled: number(7)?,
        pending: number(8)?,
        worked_us: number(9)?,
        times: durations::sum(&row.try_get_by_index::<String>(1 + FIGURES.len())?)?,
    })
}
