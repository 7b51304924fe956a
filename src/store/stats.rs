//! Statistics over all nodes: what flushes counted, young ones one by one and old ones by the minute.
//!
//! All that belongs together is read in one statement, so that a roll-up or a flush that happens meanwhile is in it wholly or
//! not at all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};

use super::dialect::{placeholder, present, sum};
use super::{Store, StoreError, durations};
use crate::domain::histogram::DurationHistogram;

/// Most event types with figures of their own.
pub const TYPES_MAX: usize = 100;

/// The columns that are summed up, in the order in which [`Stats::add`] and buckets of a series read them; the times
/// follow.
pub(super) const FIGURES: [&str; 9] = [
    "flushes",
    "received",
    "processed",
    "duplicate",
    "validation_error",
    "failed",
    "cancelled",
    "pending",
    "worked_us",
];

/// Sums over time windows, and the balance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// A window each, in the order of the request.
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
    /// How long finished events took.
    pub times: DurationHistogram,
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
    /// A window each, in the order of the request.
    pub windows: Vec<Sums>,
}

impl Store {
    /// The sums since each of `windows`, which must be beginnings of minutes, and the balance.
    pub async fn stats(&self, windows: Vec<DateTime<Utc>>, wait: Duration) -> Result<Stats, StoreError> {
        self.run("read statistics", wait, |conn| async move {
            let slices = Slices::of(&windows);
            let sql = sql(conn.backend(), &slices);
            let statement = Statement::from_sql_and_values(conn.backend(), sql, slices.values());
            let mut stats = Stats { windows: vec![Sums::default(); windows.len()], ..Stats::default() };
            for row in conn.search(statement).await? {
                stats.balance.pending = row.try_get_by_index(0)?;
                stats.add(&row, slices.within(row.try_get_by_index(1)?))?;
            }
            Ok(stats)
        })
        .await
    }

    /// The database's present time, by which flushes are counted: the node's own clock may be another.
    pub async fn now(&self, wait: Duration) -> Result<DateTime<Utc>, StoreError> {
        self.run("ask for the time", wait, |conn| async move { present(conn.read()).await }).await
    }

    /// The sums of each event type, the most active in the longest window first; at most [`TYPES_MAX`], and whether these
    /// are all. Costs more than the others: the counts of each flush are taken apart.
    pub async fn stats_by_type(
        &self,
        windows: Vec<DateTime<Utc>>,
        wait: Duration,
    ) -> Result<(Vec<TypeSums>, bool), StoreError> {
        self.run("read statistics by type", wait, |conn| async move {
            let slices = Slices::of(&windows);
            let sql = sql_by_type(conn.backend(), &slices);
            let statement = Statement::from_sql_and_values(conn.backend(), sql, slices.values());
            let mut types: Vec<TypeSums> = Vec::new();
            for row in conn.read().query_all_raw(statement).await? {
                let event_type: String = row.try_get_by_index(0)?;
                if types.last().is_none_or(|last| last.event_type != event_type) {
                    types.push(TypeSums { event_type, windows: vec![Sums::default(); windows.len()] });
                }
                let (figure, events): (String, i64) = (row.try_get_by_index(1)?, row.try_get_by_index(3)?);
                let last = types.last_mut().expect("one was pushed");
                for window in slices.within(row.try_get_by_index(2)?) {
                    last.windows[window].add(&figure, events);
                }
            }
            let is_complete = types.len() <= TYPES_MAX;
            types.truncate(TYPES_MAX);
            Ok((types, is_complete))
        })
        .await
    }
}

/// The time cut at the beginnings of windows, so that each row is summed up once however many windows it is in.
struct Slices {
    /// In the order of the request.
    windows: Vec<DateTime<Utc>>,
    /// The latest first; what is older than the last one is in no window.
    begins: Vec<DateTime<Utc>>,
}

impl Slices {
    fn of(windows: &[DateTime<Utc>]) -> Self {
        let mut begins = windows.to_vec();
        begins.sort_unstable_by(|one, other| other.cmp(one));
        begins.dedup();
        Self { windows: windows.to_vec(), begins }
    }

    fn values(&self) -> Vec<Value> {
        self.begins.iter().map(|begin| (*begin).into()).collect()
    }

    /// The number of the slice that `counted_at` falls into.
    fn number_sql(&self, backend: DbBackend) -> String {
        let cases = (0..self.begins.len())
            .map(|slice| format!("WHEN counted_at >= {} THEN {slice} ", placeholder(backend, slice + 1)));
        format!("CASE {}ELSE {} END", cases.collect::<String>(), self.begins.len())
    }

    /// Whether `counted_at` falls into a slice.
    fn condition_sql(&self, backend: DbBackend, slice: usize) -> String {
        let begin = (slice < self.begins.len()).then(|| format!("counted_at >= {}", placeholder(backend, slice + 1)));
        let end = (slice > 0).then(|| format!("counted_at < {}", placeholder(backend, slice)));
        [begin, end].into_iter().flatten().collect::<Vec<_>>().join(" AND ")
    }

    /// The positions of the windows that a slice is part of.
    fn within(&self, slice: i32) -> Vec<usize> {
        let begin = usize::try_from(slice).ok().and_then(|slice| self.begins.get(slice));
        let is_within = |window: &DateTime<Utc>| begin.is_some_and(|begin| window <= begin);
        self.windows.iter().enumerate().filter(|(_, window)| is_within(window)).map(|(place, _)| place).collect()
    }
}

impl Stats {
    /// Adds a slice's row to the balance and to the windows that it is part of.
    fn add(&mut self, row: &QueryResult, within: Vec<usize>) -> Result<(), DbErr> {
        let number = |figure: usize| row.try_get_by_index::<i64>(2 + figure);
        let times = durations::sum(&row.try_get_by_index::<String>(2 + FIGURES.len())?)?;
        self.balance.received += number(1)?;
        self.balance.processed += number(2)?;
        self.balance.duplicate += number(3)?;
        self.balance.validation_error += number(4)?;
        self.balance.failed += number(5)?;
        self.balance.cancelled += number(6)?;
        for window in within {
            let sums = &mut self.windows[window];
            sums.flushes += number(0)?;
            sums.processed += number(2)?;
            sums.validation_error += number(4)?;
            sums.failed += number(5)?;
            sums.pending += number(7)?;
            sums.worked_us += number(8)?;
            sums.times.merge(&times);
        }
        Ok(())
    }
}

impl Sums {
    /// Adds the count of a figure from the `counts` of flushes.
    fn add(&mut self, figure: &str, events: i64) {
        match figure {
            "flushes" => self.flushes += events,
            "processed" => self.processed += events,
            "validation_error" => self.validation_error += events,
            "failed" => self.failed += events,
            "pending" => self.pending += events,
            "worked_us" => self.worked_us += events,
            other => {
                if let Some(class) = durations::class_of_figure(other) {
                    self.times.add(class, events);
                }
            }
        }
    }
}

/// A row per slice: each reads its part of the index of times, so that nothing is sorted or grouped.
fn sql(backend: DbBackend, slices: &Slices) -> String {
    let sums = FIGURES.map(sum).join(", ");
    let figures = FIGURES[1..].join(", ");
    let part = |slice| {
        // What is in no window counts for the balance only, which has no times.
        let times = if slice < slices.begins.len() { durations::joined_sql(backend) } else { "''" };
        format!(
            "SELECT {slice} AS slice, {sums}, {times} FROM ( \
             SELECT minute AS counted_at, flushes, {figures}, took FROM flush_minutes \
             UNION ALL SELECT flushed_at, 1, {figures}, took FROM flushes) AS counted WHERE {}",
            slices.condition_sql(backend, slice)
        )
    };
    let parts: Vec<String> = (0..=slices.begins.len()).map(part).collect();
    format!(
        "SELECT (SELECT COUNT(*) FROM events WHERE status = 'pending'), sums.* FROM ({}) AS sums",
        parts.join(" UNION ALL ")
    )
}

/// A row per type, figure and slice, of one type after the other.
fn sql_by_type(backend: DbBackend, slices: &Slices) -> String {
    let oldest = placeholder(backend, slices.begins.len());
    let (each, number) = match backend {
        DbBackend::Postgres => ("jsonb_each(f.counts) AS s, jsonb_each_text(s.value) AS t", "CAST(t.value AS BIGINT)"),
        _ => ("json_each(f.counts) AS s, json_each(s.value) AS t", "t.value"),
    };
    let active = "CASE WHEN figure IN ('processed', 'validation_error', 'failed', 'pending') THEN n ELSE 0 END";
    format!(
        "WITH counted AS (SELECT t.key AS event_type, s.key AS figure, {slice} AS slice, {n} AS n FROM ( \
         SELECT minute AS counted_at, counts FROM flush_minutes WHERE minute >= {oldest} \
         UNION ALL SELECT flushed_at, counts FROM flushes WHERE flushed_at >= {oldest}) AS f, {each} \
         GROUP BY event_type, figure, slice), \
         types AS (SELECT event_type, {active} AS active FROM counted GROUP BY event_type \
         ORDER BY active DESC, event_type LIMIT {most}) \
         SELECT counted.event_type, counted.figure, counted.slice, counted.n FROM types \
         JOIN counted ON counted.event_type = types.event_type ORDER BY types.active DESC, types.event_type",
        slice = slices.number_sql(backend),
        n = sum(number),
        active = sum(active),
        most = TYPES_MAX + 1,
    )
}
