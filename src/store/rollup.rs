//! The roll-up of flushes: by the minute, later by the hour and by the day, so that what statistics sum up stays short.
//!
//! A row is counted into its span in the transaction that removes it, so that every flush is counted once, whichever node
//! does it. Spans of all lengths are rows of one table, each by its first minute: a sum over it is a sum over all.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use entity::flush_minute::{self, Column};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait,
    IdenStatic, ModelTrait, QuerySelect, Statement,
};

use super::dialect::{micros_ago, now_plus_micros_sql, placeholder};
use super::flush::counts;
use super::{Store, StoreError, durations};
use crate::domain::histogram::DurationHistogram;
use crate::domain::outcome::Status;

/// Rows that one transaction rolls up.
const ROWS_MAX: usize = 5_000;

/// From which age minutes are rolled up: no window reaches so far back.
const HOURS_AGE: Duration = Duration::from_secs(8 * 86_400);
const DAYS_AGE: Duration = Duration::from_secs(60 * 86_400);

/// What is summed up into one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Minute,
    Hour,
    Day,
}

/// Counts by status and event type.
type SpanCounts = counts::Counts<String>;

/// What one node flushed in one span.
#[derive(Default)]
struct SpanSums {
    counts: SpanCounts,
    flushes: i64,
    events: i64,
    figures: [i64; FIGURES.len()],
    times: DurationHistogram,
}

/// The columns that are summed up, beside the times.
const FIGURES: [Column; 8] = [
    Column::Received,
    Column::Processed,
    Column::Duplicate,
    Column::ValidationError,
    Column::Failed,
    Column::Cancelled,
    Column::Pending,
    Column::WorkedUs,
];

impl Store {
    /// Rolls up some flushes that are older than `age` by the database's clock, and minutes and hours that are far older;
    /// returns how many rows, 0 when none is left.
    pub async fn roll_up(&self, age: Duration, wait: Duration) -> Result<usize, StoreError> {
        let mut rolled_up = 0;
        for (span, age) in [(Span::Minute, age), (Span::Hour, HOURS_AGE), (Span::Day, DAYS_AGE)] {
            let rolling = self.transaction("roll-up of flushes", wait, move |tx| {
                Box::pin(async move {
                    let (spans, rows) = take(tx, span, age).await?;
                    for ((begin, node), taken) in spans {
                        add(tx, begin, node, taken).await?;
                    }
                    Ok(rows)
                })
            });
            rolled_up += rolling.await?;
        }
        Ok(rolled_up)
    }
}

impl Span {
    fn length(self) -> TimeDelta {
        match self {
            Self::Minute => TimeDelta::minutes(1),
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::days(1),
        }
    }

    /// The table of the rows that it sums up, their key and time, how many flushes each is, and which of them it takes.
    fn source(self, backend: DbBackend) -> Source {
        let is_within = match (self, backend) {
            (Self::Minute, _) => "TRUE",
            (Self::Hour, DbBackend::Postgres) => "minute <> date_trunc('hour', minute, 'UTC')",
            (Self::Day, DbBackend::Postgres) => "minute <> date_trunc('day', minute, 'UTC')",
            (Self::Hour, _) => "strftime('%M', minute) <> '00'",
            (Self::Day, _) => "strftime('%H:%M', minute) <> '00:00'",
        };
        let (table, key, time, flushes) = match (self, backend) {
            (Self::Minute, DbBackend::Postgres) => ("flushes", "boot_id, seq", "flushed_at", "CAST(1 AS bigint)"),
            (Self::Minute, _) => ("flushes", "xid", "flushed_at", "1"),
            (Self::Hour | Self::Day, _) => ("flush_minutes", "minute, node", "minute", "flushes"),
        };
        Source { table, key, time, flushes, is_within }
    }
}

/// Where the rows of a span come from.
struct Source {
    table: &'static str,
    key: &'static str,
    time: &'static str,
    flushes: &'static str,
    /// Whether a row is not a whole span yet.
    is_within: &'static str,
}

/// Removes the oldest rows and sums them up by span and node.
async fn take(
    tx: &DatabaseTransaction,
    span: Span,
    age: Duration,
) -> Result<(BTreeMap<(DateTime<Utc>, String), SpanSums>, usize), DbErr> {
    let backend = tx.get_database_backend();
    let (json, lock) = match backend {
        DbBackend::Postgres => ("::text", "FOR UPDATE SKIP LOCKED"),
        _ => ("", ""),
    };
    let Source { table, key, time, flushes, is_within } = span.source(backend);
    let figures: Vec<&str> = FIGURES.iter().map(IdenStatic::as_str).collect();
    let sql = format!(
        "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {time} <= {} AND {is_within} \
         ORDER BY {time} LIMIT {ROWS_MAX} {lock}) RETURNING {time}, node, counts{json}, took, {flushes}, {figures}",
        now_plus_micros_sql(backend, &placeholder(backend, 1)),
        figures = figures.join(", "),
    );
    let rows = tx.query_all_raw(Statement::from_sql_and_values(backend, sql, [micros_ago(age)])).await?;
    let mut spans: BTreeMap<(DateTime<Utc>, String), SpanSums> = BTreeMap::new();
    for row in &rows {
        let (at, node): (DateTime<Utc>, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let begin = at.duration_trunc(span.length()).unwrap_or(at);
        let sums = spans.entry((begin, node)).or_default();
        // One unreadable row must not block all others.
        sums.add(&row.try_get_by_index(2).ok().and_then(|text: String| parse(&text).ok()).unwrap_or_default());
        sums.times.merge(&durations::sum(&row.try_get_by_index::<String>(3)?).unwrap_or_default());
        sums.flushes += row.try_get_by_index::<i64>(4)?;
        for (at, sum) in sums.figures.iter_mut().enumerate() {
            *sum += row.try_get_by_index::<i64>(5 + at)?;
        }
    }
    Ok((spans, rows.len()))
}

async fn add(
    tx: &DatabaseTransaction,
    begin: DateTime<Utc>,
    node: String,
    mut taken: SpanSums,
) -> Result<(), StoreError> {
    let present = flush_minute::Entity::find_by_id((begin, node.clone())).lock_exclusive().one(tx).await?;
    let Some(present) = present else {
        let row = taken.row(begin, node);
        let added = flush_minute::Entity::insert(row).exec_without_returning(tx).await?;
        return StoreError::unless_written("flush_minutes", added, 1);
    };
    taken.flushes += present.flushes;
    taken.add(&parse(&present.counts.to_string())?);
    for (sum, column) in taken.figures.iter_mut().zip(FIGURES) {
        *sum += present.get(column).unwrap::<i64>();
    }
    taken.times.merge(&durations::sum(&present.took)?);
    taken.row(begin, node).update(tx).await?;
    Ok(())
}

fn parse(counts: &str) -> Result<SpanCounts, DbErr> {
    serde_json::from_str(counts).map_err(|error| DbErr::Json(error.to_string()))
}

impl SpanSums {
    fn row(self, begin: DateTime<Utc>, node: String) -> flush_minute::ActiveModel {
        let mut row = flush_minute::ActiveModel {
            minute: Set(begin),
            node: Set(node),
            counts: Set(serde_json::json!(self.counts)),
            flushes: Set(self.flushes),
            events: Set(self.events),
            took: Set(durations::text(&self.times)),
            ..Default::default()
        };
        for (column, sum) in FIGURES.into_iter().zip(self.figures) {
            row.set(column, sum.into());
        }
        row
    }

    fn add(&mut self, other: &SpanCounts) {
        for (what, types) in other {
            let is_of_events = Status::parse(what).is_some();
            for (event_type, count) in types {
                *self.counts.entry(what.clone()).or_default().entry(event_type.clone()).or_default() += count;
                self.events += if is_of_events { *count } else { 0 };
            }
        }
    }
}
