//! The flush's hot statements for SQLite: rows as VALUES lists of a few fixed lengths, so that they stay prepared.
//!
//! A statement costs more than a row (it is handed to the thread of its connection), so a list is filled up to the
//! next length: in a first write with rows of nulls, which it leaves out, else with copies of its last row. Copies change
//! nothing: an insert of them conflicts with the row itself, an update of them writes the same values.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use entity::event::Column;
use sea_orm::{DatabaseBackend, IdenStatic, Statement, Value};

use super::super::dialect::micros_ago;
use super::super::key_clock;
use super::counts;
use super::record::{FlushHeader, KeyClaim, Record};
use crate::clock;
use crate::config::PlantedBug;

/// The lengths of VALUES lists: at most half of a list is filling, mostly less than a quarter.
const LENGTHS: [usize; 20] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024];
pub(super) const ROWS_MAX: usize = LENGTHS[LENGTHS.len() - 1];

/// The text of a statement for each length, made when it is first needed.
type Texts = [OnceLock<String>; LENGTHS.len()];

/// A column of a statement, and what a record gives it.
struct BoundColumn(Column, fn(&Record) -> Value);

const INSERTED: &[BoundColumn] = &[
    BoundColumn(Column::Payload, |record| text(record.stored_payload())),
    BoundColumn(Column::TraceContext, |record| text(record.trace().as_deref())),
    BoundColumn(Column::Id, |record| record.event.id.into()),
    BoundColumn(Column::TaskId, |record| record.event.task_id.into()),
    BoundColumn(Column::UserId, |record| record.event.user_id.into()),
    BoundColumn(Column::EventName, |record| text(record.event.submission.event_name.as_deref())),
    BoundColumn(Column::EventType, |record| text(record.event.submission.event_type.as_deref())),
    BoundColumn(Column::EventUid, |record| text(record.event.submission.event_uid.as_deref())),
    BoundColumn(Column::Timestamp, |record| record.event.submission.timestamp.into()),
    BoundColumn(Column::ReceivedAt, |record| record.event.received_at.into()),
    BoundColumn(Column::Properties, |record| text(record.outcome.properties.as_deref())),
    BoundColumn(Column::ProcessedAt, |record| record.outcome.processed_at.into()),
    BoundColumn(Column::Status, |record| record.outcome.status.as_str().into()),
    BoundColumn(Column::ProcessingError, |record| text(record.outcome.processing_error.as_deref())),
    BoundColumn(Column::ErrorCode, |record| text(record.outcome.error_code)),
    BoundColumn(Column::Attempts, |record| record.outcome.attempts.cast_signed().into()),
    BoundColumn(Column::Crashes, |record| record.outcome.crashes.cast_signed().into()),
    BoundColumn(Column::NextAttemptAt, |record| next_attempt_at(record).into()),
    BoundColumn(Column::StartedAt, |record| Some(record.started_at).into()),
    BoundColumn(Column::FinishedAt, |record| record.final_at().into()),
    BoundColumn(Column::DuplicateOf, |record| record.outcome.duplicate_of.into()),
];

/// What the first write of a processed event passes: the columns from the trace to `processed_at`; the others follow
/// from them.
const TRACED: &[BoundColumn] = INSERTED.split_at(12).0.split_at(1).1;

/// The same where no event is part of a trace.
const FIRST: &[BoundColumn] = TRACED.split_at(1).1;

/// What an outcome changes: the columns from `properties` on, and the payload, which goes when these hold it.
const UPDATED: &[BoundColumn] = INSERTED.split_at(10).1;

/// Empty texts are NULL, as on PostgreSQL.
fn text(value: Option<&str>) -> Value {
    Value::String(value.filter(|text| !text.is_empty()).map(str::to_owned))
}

/// The database's clock is this machine's.
fn next_attempt_at(record: &Record) -> Option<DateTime<Utc>> {
    record.outcome.retry_in.map(|delay| clock::now() + delay)
}

/// The text of the statement for `rows` rows, and its length.
fn text_for(texts: &Texts, rows: usize, build: impl Fn(usize) -> String) -> (&str, usize) {
    let place = LENGTHS.partition_point(|length| *length < rows);
    let length = LENGTHS[place];
    (texts[place].get_or_init(|| build(length)), length)
}

/// The statements that carry `rows`, each with its row values between `head` and `tail`.
fn statements<T>(
    texts: &Texts,
    rows: &[T],
    build: impl Fn(usize) -> String,
    head: &[Value],
    bind: impl Fn(&T, &mut Vec<Value>),
    tail: &[Value],
) -> Vec<Statement> {
    let statement = |rows: &[T]| {
        let (sql, length) = text_for(texts, rows.len(), &build);
        let mut values = Vec::with_capacity(head.len() + length * (INSERTED.len() + 1) + tail.len());
        values.extend_from_slice(head);
        let filling = std::iter::repeat_n(&rows[rows.len() - 1], length - rows.len());
        rows.iter().chain(filling).for_each(|row| bind(row, &mut values));
        values.extend_from_slice(tail);
        Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values)
    };
    rows.chunks(ROWS_MAX).map(statement).collect()
}

/// `(?,?,…),(?,?,…)…` of `rows` times `columns` placeholders.
fn placeholders(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row.as_str(); rows].join(",")
}

/// Inserts `records`; returns id and task of the rows that were not there before.
pub(super) fn insert_events(records: &[&Record], node: &str) -> Vec<Statement> {
    static TEXTS: Texts = [const { OnceLock::new() }; LENGTHS.len()];
    let bind = |record: &&Record, values: &mut Vec<Value>| {
        values.extend(INSERTED.iter().map(|BoundColumn(_, value)| value(record)));
        values.push(node.into());
    };
    let build = |rows| format!("{} RETURNING id, task_id", insert_sql(rows));
    statements(&TEXTS, records, build, &[], bind, &[])
}

/// The transaction that inserts `records`, none of which may be there, and the row of their flush, which fails unless all
/// were inserted.
pub(super) fn insert_first(records: &[Record], header: &FlushHeader, flush: Vec<Value>) -> Statement {
    static TEXTS: Texts = [const { OnceLock::new() }; LENGTHS.len()];
    static TRACED_TEXTS: Texts = [const { OnceLock::new() }; LENGTHS.len()];
    let is_traced = records.iter().any(Record::is_traced);
    let (columns, texts) = if is_traced { (TRACED, &TRACED_TEXTS) } else { (FIRST, &TEXTS) };
    let (sql, length) = text_for(texts, records.len(), |rows| insert_first_sql(columns, rows));
    let mut values = Vec::with_capacity(2 + length * columns.len() + flush.len());
    values.push(header.node.as_str().into());
    records.iter().for_each(|record| values.extend(columns.iter().map(|BoundColumn(_, value)| value(record))));
    values.resize(1 + length * columns.len(), Value::BigInt(None));
    values.extend(flush);
    values.push(i64::try_from(records.len()).unwrap_or(i64::MAX).into());
    Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values)
}

/// The rows that fill the list up have no id. A bound LIMIT would cut them off as well, but have SQLite prepare the
/// statement anew each time, because it plans by the value.
///
/// No parameter is numbered: the client looks each one's name up, and SQLite would search for it.
fn insert_first_sql(columns: &[BoundColumn], rows: usize) -> String {
    let passed: Vec<&str> = columns.iter().map(|BoundColumn(column, _)| column.as_str()).collect();
    let places: Vec<String> = (1..=passed.len()).map(|place| format!("column{place}")).collect();
    format!(
        "BEGIN IMMEDIATE; INSERT INTO events (node, {passed}, started_at, finished_at, status, attempts) \
         SELECT ?, {places}, column{received_at}, column{processed_at}, 'processed', 1 FROM (VALUES {rows}) \
         WHERE column{id} IS NOT NULL; \
         {flush}; COMMIT",
        passed = passed.join(", "),
        places = places.join(", "),
        id = columns.len() - FIRST.len() + 1,
        received_at = columns.len() - 2,
        processed_at = columns.len(),
        rows = placeholders(rows, columns.len()),
        flush = counts::insert_sql(DatabaseBackend::Sqlite, 1, "changes() = ?"),
    )
}

fn insert_sql(rows: usize) -> String {
    let names: Vec<&str> = INSERTED.iter().map(|BoundColumn(column, _)| column.as_str()).collect();
    format!(
        "INSERT INTO events ({}, node) VALUES {} ON CONFLICT (id) DO NOTHING",
        names.join(", "),
        placeholders(rows, names.len() + 1)
    )
}

/// Updates claimed rows under their leases and gives the leases back; returns the ids of the rows that changed.
pub(super) fn update_events(records: &[&Record], node: &str) -> Vec<Statement> {
    static TEXTS: Texts = [const { OnceLock::new() }; LENGTHS.len()];
    let bind = |record: &&Record, values: &mut Vec<Value>| {
        values.extend([Value::from(record.event.id), record.lease.into(), node.into()]);
        values.extend(UPDATED.iter().map(|BoundColumn(_, value)| value(record)));
    };
    statements(&TEXTS, records, update_sql, &[], bind, &[])
}

fn update_sql(rows: usize) -> String {
    let sets: Vec<String> = UPDATED
        .iter()
        .enumerate()
        .map(|(place, BoundColumn(column, _))| format!("{} = v.column{}", column.as_str(), place + 4))
        .collect();
    let guard = "AND events.lease_token = v.column2 AND events.status = 'pending' AND events.lease_boot IS NOT NULL";
    format!(
        "UPDATE events SET {sets}, payload = CASE WHEN v.column4 IS NULL THEN events.payload END, node = v.column3, \
         lease_boot = NULL, lease_until = NULL FROM (VALUES {rows}) AS v \
         WHERE events.id = v.column1 {guard} RETURNING id, hex(lease_token)",
        guard = if PlantedBug::NoLeaseCheck.is_chosen() { "" } else { guard },
        sets = sets.join(", "),
        rows = placeholders(rows, UPDATED.len() + 3),
    )
}

/// Takes the keys that are free or expired; returns the events that got theirs.
pub(super) fn take_keys(claims: &[KeyClaim<'_>], header: &FlushHeader) -> Vec<Statement> {
    static TEXTS: Texts = [const { OnceLock::new() }; LENGTHS.len()];
    let bind = |KeyClaim { key, event_id }: &KeyClaim<'_>, values: &mut Vec<Value>| {
        values.extend([key.user_id.into(), key.namespace.code().into(), key.text.as_str().into()]);
        values.extend([(*event_id).into(), key.content_hash.to_vec().into()]);
    };
    statements(&TEXTS, claims, take_keys_sql, &[], bind, &[micros_ago(header.keys_live_for)])
}

fn take_keys_sql(rows: usize) -> String {
    format!(
        "INSERT INTO dedupe_keys (user_id, namespace, key, event_id, content_hash, created_at) \
         SELECT column1, column2, column3, column4, column5, {} FROM (VALUES {}) WHERE true \
         ON CONFLICT (user_id, namespace, key) DO UPDATE SET event_id = excluded.event_id, \
         content_hash = excluded.content_hash, created_at = excluded.created_at \
         WHERE dedupe_keys.created_at < {} RETURNING event_id",
        key_clock::birth_sql(DatabaseBackend::Sqlite),
        placeholders(rows, 5),
        key_clock::expiry_sql(DatabaseBackend::Sqlite, "?"),
    )
}

/// `claimant, event_id, content_hash, task_id, status, processed_at` of the events that hold these keys; the last
/// three are null where there is no such event.
pub(super) fn holders_of_keys(claims: &[KeyClaim<'_>]) -> Statement {
    let sql = format!(
        "SELECT t.column4, held.event_id, held.content_hash, first.task_id, first.status, first.processed_at \
         FROM (VALUES {}) AS t JOIN dedupe_keys AS held ON held.user_id = t.column1 AND held.namespace = t.column2 \
         AND held.key = t.column3 LEFT JOIN events AS first ON first.id = held.event_id",
        placeholders(claims.len(), 4)
    );
    let mut values = Vec::with_capacity(claims.len() * 4);
    for KeyClaim { key, event_id } in claims {
        values.extend([key.user_id.into(), key.namespace.code().into()]);
        values.extend([key.text.as_str().into(), (*event_id).into()]);
    }
    Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_carried_and_the_last_one_fills_up() {
        static TEXTS: Texts = [const { OnceLock::new() }; LENGTHS.len()];
        for (rows, lengths) in
            [(1, vec![1]), (5, vec![6]), (31, vec![32]), (256, vec![256]), (300, vec![384]), (1_100, vec![1_024, 96])]
        {
            let all: Vec<i64> = (1..=rows).collect();
            let made = statements(
                &TEXTS,
                &all,
                |length| placeholders(length, 1),
                &[],
                |row, values| values.push((*row).into()),
                &[],
            );
            let bound: Vec<Vec<Value>> = made.into_iter().filter_map(|made| Some(made.values?.0)).collect();
            assert_eq!(bound.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
            let mut carried: Vec<Value> = bound.concat();
            carried.dedup();
            assert_eq!(carried, all.into_iter().map(Value::from).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_statement_has_a_placeholder_for_every_value() {
        assert_eq!(placeholders(2, 3), "(?,?,?),(?,?,?)");
        assert_eq!(insert_sql(4).matches('?').count(), 4 * (INSERTED.len() + 1));
    }
}
