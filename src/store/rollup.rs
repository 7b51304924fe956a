//! The roll-up of flushes per minute.
//!
//! A flush is counted into its minute in the transaction that removes it, so that every flush is counted once,
//! whichever node does it.

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

/// Flushes that one transaction rolls up.
const FLUSHES_MAX: usize = 5_000;

/// Counts by status and event type.
type MinuteCounts = counts::Counts<String>;

/// What one node flushed in one minute.
#[derive(Default)]
struct Minute {
    counts: MinuteCounts,
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
    /// Rolls up some flushes that are older than `age` by the database's clock; returns how many, 0 when none is left.
    pub async fn roll_up(&self, age: Duration, wait: Duration) -> Result<usize, StoreError> {
        self.transaction("roll-up of flushes", wait, move |tx| {
            Box::pin(async move {
                let (minutes, flushes) = take_minutes(tx, age).await?;
                for ((minute, node), taken) in minutes {
                    add(tx, minute, node, taken).await?;
                }
                Ok(flushes)
            })
        })
        .await
    }
}

/// Removes the oldest flushes and sums them up by minute and node.
async fn take_minutes(
    tx: &DatabaseTransaction,
    age: Duration,
) -> Result<(BTreeMap<(DateTime<Utc>, String), Minute>, usize), DbErr> {
    let backend = tx.get_database_backend();
    let (key, json, lock) = match backend {
        DbBackend::Postgres => ("boot_id, seq", "::text", "FOR UPDATE SKIP LOCKED"),
        _ => ("xid", "", ""),
    };
    let figures: Vec<&str> = FIGURES.iter().map(IdenStatic::as_str).collect();
    let sql = format!(
        "DELETE FROM flushes WHERE ({key}) IN (SELECT {key} FROM flushes WHERE flushed_at <= {} \
         ORDER BY flushed_at LIMIT {FLUSHES_MAX} {lock}) RETURNING flushed_at, node, counts{json}, took, {figures}",
        now_plus_micros_sql(backend, &placeholder(backend, 1)),
        figures = figures.join(", "),
    );
    let rows = tx.query_all_raw(Statement::from_sql_and_values(backend, sql, [micros_ago(age)])).await?;
    let mut minutes: BTreeMap<(DateTime<Utc>, String), Minute> = BTreeMap::new();
    for row in &rows {
        let (flushed_at, node): (DateTime<Utc>, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let minute = flushed_at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(flushed_at);
        let minute = minutes.entry((minute, node)).or_default();
        minute.flushes += 1;
        // One unreadable flush must not block all others.
        minute.add(&row.try_get_by_index(2).ok().and_then(|text: String| parse(&text).ok()).unwrap_or_default());
        minute.times.merge(&durations::sum(&row.try_get_by_index::<String>(3)?).unwrap_or_default());
        for (at, sum) in minute.figures.iter_mut().enumerate() {
            *sum += row.try_get_by_index::<i64>(4 + at)?;
        }
    }
    Ok((minutes, rows.len()))
}

async fn add(
    tx: &DatabaseTransaction,
    minute: DateTime<Utc>,
    node: String,
    mut taken: Minute,
) -> Result<(), StoreError> {
    let present = flush_minute::Entity::find_by_id((minute, node.clone())).lock_exclusive().one(tx).await?;
    let Some(present) = present else {
        let row = taken.row(minute, node);
        let added = flush_minute::Entity::insert(row).exec_without_returning(tx).await?;
        return StoreError::unless_written("flush_minutes", added, 1);
    };
    taken.flushes += present.flushes;
    taken.add(&parse(&present.counts.to_string())?);
    for (sum, column) in taken.figures.iter_mut().zip(FIGURES) {
        *sum += present.get(column).unwrap::<i64>();
    }
    taken.times.merge(&durations::sum(&present.took)?);
    taken.row(minute, node).update(tx).await?;
    Ok(())
}

fn parse(counts: &str) -> Result<MinuteCounts, DbErr> {
    serde_json::from_str(counts).map_err(|error| DbErr::Json(error.to_string()))
}

impl Minute {
    fn row(self, minute: DateTime<Utc>, node: String) -> flush_minute::ActiveModel {
        let mut row = flush_minute::ActiveModel {
            minute: Set(minute),
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

    fn add(&mut self, other: &MinuteCounts) {
        for (what, types) in other {
            let is_of_events = Status::parse(what).is_some();
            for (event_type, count) in types {
                *self.counts.entry(what.clone()).or_default().entry(event_type.clone()).or_default() += count;
                self.events += if is_of_events { *count } else { 0 };
            }
        }
    }
}
