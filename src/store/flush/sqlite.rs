//! The flush's hot statements for SQLite: rows as VALUES lists of a few fixed lengths, so that they stay prepared.

use std::sync::OnceLock;

use chrono::{DateTime, Utc};
use entity::event::Column;
use sea_orm::{DatabaseBackend, IdenStatic, Statement, Value};

use super::keys::Claim;
use super::{FlushHeader, Record};
use crate::clock;

/// The longest VALUES list; shorter ones are the powers of two below it.
const ROWS_MAX: usize = 256;
const LENGTHS: usize = ROWS_MAX.ilog2() as usize + 1;

/// A column of a statement, and what a record gives it.
struct Bound(Column, fn(&Record) -> Value);

const INSERTED: &[Bound] = &[
    Bound(Column::Id, |record| record.event.id.into()),
    Bound(Column::TaskId, |record| record.event.task_id.into()),
    Bound(Column::UserId, |record| record.event.user_id.into()),
    Bound(Column::EventName, |record| text(record.event.submission.event_name.as_deref())),
    Bound(Column::EventType, |record| text(record.event.submission.event_type.as_deref())),
    Bound(Column::EventUid, |record| text(record.event.submission.event_uid.as_deref())),
    Bound(Column::Payload, |record| text(record.event.payload().map(|payload| payload.as_str()))),
    Bound(Column::Timestamp, |record| record.event.submission.timestamp.into()),
    Bound(Column::ReceivedAt, |record| record.event.received_at.into()),
    Bound(Column::Status, |record| record.outcome.status.as_str().into()),
    Bound(Column::Properties, |record| text(record.outcome.properties.as_deref())),
    Bound(Column::ProcessingError, |record| text(record.outcome.processing_error.as_deref())),
    Bound(Column::ErrorCode, |record| text(record.outcome.error_code)),
    Bound(Column::Attempts, |record| record.outcome.attempts.cast_signed().into()),
    Bound(Column::Crashes, |record| record.outcome.crashes.cast_signed().into()),
    Bound(Column::NextAttemptAt, |record| next_attempt_at(record).into()),
    Bound(Column::StartedAt, |record| Some(record.started_at).into()),
    Bound(Column::ProcessedAt, |record| record.outcome.processed_at.into()),
    Bound(Column::FinishedAt, |record| record.final_at().into()),
];

const UPDATED: &[Bound] = INSERTED.split_at(9).1;

/// Empty texts are NULL, as on PostgreSQL.
fn text(value: Option<&str>) -> Value {
    Value::String(value.filter(|text| !text.is_empty()).map(str::to_owned))
}

/// The database's clock is this machine's.
fn next_attempt_at(record: &Record) -> Option<DateTime<Utc>> {
    record.outcome.retry_in.map(|delay| clock::now() + delay)
}

/// Cuts `rows` into pieces whose lengths are powers of two, longest first.
fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = match rows.len() {
            0 => return None,
            ROWS_MAX.. => ROWS_MAX,
            rest => 1 << rest.ilog2(),
        };
        let (piece, rest) = rows.split_at(length);
        rows = rest;
        Some(piece)
    })
}

/// `(?,?,…),(?,?,…)…` of `rows` times `columns` placeholders.
fn placeholders(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row.as_str(); rows].join(",")
}

fn prepared(texts: &[OnceLock<String>; LENGTHS], rows: usize, build: impl FnOnce() -> String) -> &str {
    texts[rows.ilog2() as usize].get_or_init(build)
}

/// Inserts `records`; returns the ids of the rows that were not there before.
pub(super) fn insert_events(records: &[&Record], node: &str) -> Vec<Statement> {
    static SQL: [OnceLock<String>; LENGTHS] = [const { OnceLock::new() }; LENGTHS];
    let statement = |piece: &[&Record]| {
        let sql = prepared(&SQL, piece.len(), || insert_sql(piece.len()));
        let mut values = Vec::with_capacity(piece.len() * (INSERTED.len() + 1));
        for record in piece {
            values.extend(INSERTED.iter().map(|Bound(_, value)| value(record)));
            values.push(node.into());
        }
        Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values)
    };
    pieces(records).map(statement).collect()
}

fn insert_sql(rows: usize) -> String {
    let names: Vec<&str> = INSERTED.iter().map(|Bound(column, _)| column.as_str()).collect();
    format!(
        "INSERT INTO events ({}, node) VALUES {} ON CONFLICT (id) DO NOTHING RETURNING id",
        names.join(", "),
        placeholders(rows, names.len() + 1)
    )
}

/// Updates claimed rows under their leases and gives the leases back; returns the ids of the rows that changed.
pub(super) fn update_events(records: &[&Record], node: &str) -> Vec<Statement> {
    static SQL: [OnceLock<String>; LENGTHS] = [const { OnceLock::new() }; LENGTHS];
    let statement = |piece: &[&Record]| {
        let sql = prepared(&SQL, piece.len(), || update_sql(piece.len()));
        let mut values = Vec::with_capacity(piece.len() * (UPDATED.len() + 3));
        for record in piece {
            values.extend([Value::from(record.event.id), record.lease.into(), node.into()]);
            values.extend(UPDATED.iter().map(|Bound(_, value)| value(record)));
        }
        Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values)
    };
    pieces(records).map(statement).collect()
}

fn update_sql(rows: usize) -> String {
    let sets: Vec<String> = UPDATED
        .iter()
        .enumerate()
        .map(|(place, Bound(column, _))| format!("{} = v.column{}", column.as_str(), place + 4))
        .collect();
    format!(
        "UPDATE events SET {sets}, node = v.column3, lease_boot = NULL, lease_until = NULL FROM (VALUES {rows}) AS v \
         WHERE events.id = v.column1 AND events.lease_token = v.column2 AND events.status = 'pending' \
         AND events.lease_boot IS NOT NULL RETURNING id",
        sets = sets.join(", "),
        rows = placeholders(rows, UPDATED.len() + 3),
    )
}

/// Takes the keys that are free or expired; returns the events that got theirs.
pub(super) fn take_keys(claims: &[Claim<'_>], header: &FlushHeader) -> Vec<Statement> {
    static SQL: [OnceLock<String>; LENGTHS] = [const { OnceLock::new() }; LENGTHS];
    let now = clock::now();
    let statement = |piece: &[Claim<'_>]| {
        let sql = prepared(&SQL, piece.len(), || take_keys_sql(piece.len()));
        let mut values = Vec::with_capacity(piece.len() * 6 + 1);
        for Claim { key, event_id } in piece {
            values.extend([key.user_id.into(), key.namespace.code().into(), key.text.as_str().into()]);
            values.extend([(*event_id).into(), key.content_hash.to_vec().into(), now.into()]);
        }
        values.push(header.keys_expire_before.into());
        Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values)
    };
    pieces(claims).map(statement).collect()
}

fn take_keys_sql(rows: usize) -> String {
    format!(
        "INSERT INTO dedupe_keys (user_id, namespace, key, event_id, content_hash, created_at) VALUES {} \
         ON CONFLICT (user_id, namespace, key) DO UPDATE SET event_id = excluded.event_id, \
         content_hash = excluded.content_hash, created_at = excluded.created_at \
         WHERE dedupe_keys.created_at < ? RETURNING event_id",
        placeholders(rows, 6)
    )
}

/// `claimant, event_id, content_hash, task_id, status, processed_at` of the events that hold these keys.
pub(super) fn holders_of_keys(claims: &[Claim<'_>]) -> Statement {
    let sql = format!(
        "SELECT t.column4, held.event_id, held.content_hash, first.task_id, first.status, first.processed_at \
         FROM (VALUES {}) AS t JOIN dedupe_keys AS held ON held.user_id = t.column1 AND held.namespace = t.column2 \
         AND held.key = t.column3 JOIN events AS first ON first.id = held.event_id",
        placeholders(claims.len(), 4)
    );
    let mut values = Vec::with_capacity(claims.len() * 4);
    for Claim { key, event_id } in claims {
        values.extend([key.user_id.into(), key.namespace.code().into()]);
        values.extend([key.text.as_str().into(), (*event_id).into()]);
    }
    Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_powers_of_two_and_lose_nothing() {
        for rows in [0, 1, 2, 3, 64, 100, 255, 256, 257, 1_000] {
            let all: Vec<usize> = (0..rows).collect();
            let lengths: Vec<usize> = pieces(&all).map(<[usize]>::len).collect();
            assert!(lengths.iter().all(|length| length.is_power_of_two() && *length <= ROWS_MAX), "{lengths:?}");
            assert_eq!(pieces(&all).flatten().copied().collect::<Vec<_>>(), all);
        }
    }

    #[test]
    fn a_statement_has_a_placeholder_for_every_value() {
        assert_eq!(placeholders(2, 3), "(?,?,?),(?,?,?)");
        assert_eq!(insert_sql(4).matches('?').count(), 4 * (INSERTED.len() + 1));
    }
}
