//! The flush's own row: what this transaction changed, and what it took.

use std::collections::BTreeMap;
use std::time::Instant;

use entity::flush::Column;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, IdenStatic, Statement, Value};

use uuid::Uuid;

use super::super::dialect::now_sql;
use super::super::durations;
use super::record::{FlushHeader, Record, Written};
use crate::domain::histogram::{DurationHistogram, class_of};
use crate::domain::outcome::Status;

/// Beside states, what `counts` holds for each event type: in how many flushes it was, how long the work on its events
/// took, and how many of them fell into which class of times, under its figure.
pub(in crate::store) const FLUSHES: &str = "flushes";
pub(in crate::store) const WORKED_US: &str = "worked_us";

/// Figures by state, or one of the above, and by event type.
pub(in crate::store) type Counts<T> = BTreeMap<T, BTreeMap<T, i64>>;

/// What a flush changed or answered.
pub(super) struct Counted<'a>(Vec<CountedEvent<'a>>);

/// One event of a flush.
struct CountedEvent<'a> {
    id: i64,
    status: Status,
    event_type: &'a str,
    /// Whether it came with this flush; else an earlier one wrote its row.
    is_received: bool,
    worked_us: i64,
}

impl CountedEvent<'_> {
    /// Whether the event came to an end by work, whose time is counted.
    fn is_finished(&self) -> bool {
        matches!(self.status, Status::Processed | Status::ValidationError | Status::Failed)
    }
}

impl<'a> Counted<'a> {
    pub fn of(records: &'a [Record], written: &[Written]) -> Self {
        Self(records.iter().zip(written).filter_map(|(record, written)| counted(record, written)).collect())
    }

    /// The values of the flush's row, in the order of [`COLUMNS`].
    pub fn values(&self, header: &FlushHeader, began: Instant) -> Vec<Value> {
        let event_ids: Vec<String> = self.0.iter().map(|one| one.id.to_string()).collect();
        let mut values: Vec<Value> = vec![
            header.boot_id.into(),
            header.seq.into(),
            header.node.clone().into(),
            format!("[{}]", event_ids.join(",")).into(),
            counts(&self.0).into(),
            micros(header.gathered.as_micros()).into(),
            micros(began.elapsed().as_micros()).into(),
            self.number(|one| one.is_received).into(),
        ];
        values.extend(STATES.map(|status| self.number(|one| one.status == status).into()));
        values.push(self.0.iter().map(|one| one.worked_us).sum::<i64>().into());
        let mut took = DurationHistogram::default();
        self.0.iter().filter(|one| one.is_finished()).for_each(|one| took.count(one.worked_us));
        values.push(durations::text(&took).into());
        values
    }

    fn number(&self, matches: impl Fn(&CountedEvent<'_>) -> bool) -> i64 {
        self.0.iter().filter(|one| matches(one)).count() as i64
    }
}

/// Writes the row of `flushes`, unless the flush changed and answered nothing.
pub(super) async fn insert(
    tx: &DatabaseTransaction,
    counted: &Counted<'_>,
    header: &FlushHeader,
    began: Instant,
) -> Result<(), DbErr> {
    if counted.0.is_empty() {
        return Ok(());
    }
    let backend = tx.get_database_backend();
    let statement =
        Statement::from_sql_and_values(backend, insert_sql(backend, 1, "TRUE"), counted.values(header, began));
    tx.execute_raw(statement).await.map(drop)
}

fn micros(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A record counts under its new status, a duplicate under the event that it repeats.
fn counted<'a>(record: &'a Record, written: &Written) -> Option<CountedEvent<'a>> {
    let event_type = record.event.submission.event_type.as_deref().unwrap_or_default();
    match written {
        Written::Stored | Written::StoredAs(_) => Some(CountedEvent {
            id: record.event.id,
            status: record.outcome.status,
            event_type,
            is_received: record.lease.is_none(),
            worked_us: (record.finished_at - record.started_at).num_microseconds().unwrap_or_default().max(0),
        }),
        Written::Duplicate(first) => {
            Some(CountedEvent { id: first.id, status: Status::Duplicate, event_type, is_received: true, worked_us: 0 })
        }
        Written::Repeated | Written::Conflict { .. } | Written::Fenced => None,
    }
}

/// `{"flushes":{"engagement":1},"processed":{"engagement":12},"took9":{"engagement":12},"worked_us":{"engagement":5130}}`
fn counts(counted: &[CountedEvent<'_>]) -> String {
    let mut counts: Counts<&str> = BTreeMap::new();
    let mut worked: BTreeMap<&str, i64> = BTreeMap::new();
    for one in counted {
        *counts.entry(one.status.as_str()).or_default().entry(one.event_type).or_default() += 1;
        *worked.entry(one.event_type).or_default() += one.worked_us;
        if one.is_finished() {
            let figure = durations::figure_of(class_of(one.worked_us));
            *counts.entry(figure).or_default().entry(one.event_type).or_default() += 1;
        }
    }
    counts.insert(FLUSHES, worked.keys().map(|event_type| (*event_type, 1)).collect());
    counts.insert(WORKED_US, worked);
    text(&counts)
}

fn text(counts: &Counts<&str>) -> String {
    serde_json::to_string(counts).expect("maps of strings and numbers are JSON")
}

/// Writes a row that takes back states which an operator undid, and counts those that he gave: the balance still adds
/// up. `by_type` does the same for each event type, as far as its figures are shown.
pub(in crate::store) async fn correct(
    tx: &DatabaseTransaction,
    event_ids: &[i64],
    change: impl Fn(Status) -> i64,
    by_type: &Counts<&str>,
) -> Result<(), DbErr> {
    let event_ids: Vec<String> = event_ids.iter().map(ToString::to_string).collect();
    let mut values: Vec<Value> = vec![
        // A boot of its own: nodes number their flushes themselves.
        Uuid::new_v4().into(),
        0_i64.into(),
        String::new().into(),
        format!("[{}]", event_ids.join(",")).into(),
        text(by_type).into(),
        0_i64.into(),
        0_i64.into(),
        0_i64.into(),
    ];
    values.extend(STATES.map(|status| change(status).into()));
    values.push(0_i64.into());
    // The work that was undone was done all the same.
    values.push(durations::text(&DurationHistogram::default()).into());
    let backend = tx.get_database_backend();
    tx.execute_raw(Statement::from_sql_and_values(backend, insert_sql(backend, 1, "TRUE"), values)).await.map(drop)
}

/// The states in the order of their columns.
const STATES: [Status; 6] =
    [Status::Processed, Status::Duplicate, Status::ValidationError, Status::Failed, Status::Cancelled, Status::Pending];

/// The columns whose values are bound.
const COLUMNS: [Column; 16] = [
    Column::BootId,
    Column::Seq,
    Column::Node,
    Column::EventIds,
    Column::Counts,
    Column::GatheredUs,
    Column::WroteUs,
    Column::Received,
    Column::Processed,
    Column::Duplicate,
    Column::ValidationError,
    Column::Failed,
    Column::Cancelled,
    Column::Pending,
    Column::WorkedUs,
    Column::Took,
];

/// Greater than that of every flush before, also when all of them have been rolled up, an hour later.
const NEXT_ON_SQLITE: &str =
    "MAX(COALESCE((SELECT MAX(xid) FROM flushes), 0) + 1, CAST(strftime('%s', 'now') AS INTEGER) * 1000000)";

/// The INSERT of a flush's row, its parameters numbered from `first`. It fails unless `condition` holds: the time may
/// not be NULL.
pub(super) fn insert_sql(backend: DatabaseBackend, first: usize, condition: &str) -> String {
    let is_postgres = backend == DatabaseBackend::Postgres;
    let names: Vec<&str> = COLUMNS.iter().map(IdenStatic::as_str).collect();
    let json = [Column::EventIds, Column::Counts].map(|column| column.as_str());
    let parameter = |(place, name): (usize, &&str)| {
        let cast = if is_postgres && json.contains(name) { "::text::jsonb" } else { "" };
        // SQLite's are not numbered, so that the row can follow another INSERT in one text.
        if is_postgres { format!("${}{cast}", first + place) } else { "?".to_owned() }
    };
    let parameters: Vec<String> = names.iter().enumerate().map(parameter).collect();
    let xid = if is_postgres { "pg_current_xact_id()::text::bigint" } else { NEXT_ON_SQLITE };
    format!(
        "INSERT INTO flushes ({}, {}, {}) VALUES ({}, {xid}, CASE WHEN {condition} THEN {} END)",
        names.join(", "),
        Column::Xid.as_str(),
        Column::FlushedAt.as_str(),
        parameters.join(", "),
        now_sql(backend),
    )
}
