//! The flush's hot statements for PostgreSQL: one statement per table, its rows passed as one array per column.
//!
//! The arrays of the database client hold no nulls, so an absent text is `''` and an absent time is [`ABSENT`];
//! the statements turn them back into NULL. Neither value occurs otherwise: names, keys and JSON texts are never empty,
//! and times before year 1 are refused.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use entity::dedupe_key::Column as KeyColumn;
use entity::event::Column;
use sea_orm::sea_query::ArrayType;
use sea_orm::{DatabaseBackend, IdenStatic, Statement, Value};

use super::super::dialect::micros_ago;
use super::super::key_clock;
use super::super::plans::hidden;
use super::counts;
use super::record::{FlushHeader, KeyClaim, Record};
use crate::config::PlantedBug;

/// Stands for an absent time: 1 January of the year before year 1.
const ABSENT_SQL: &str = "'0001-01-01 00:00:00+00 BC'::timestamptz";
const ABSENT: DateTime<Utc> = match DateTime::from_timestamp(-62_167_219_200, 0) {
    Some(time) => time,
    None => DateTime::UNIX_EPOCH,
};

/// How a column's array is typed, and how its element becomes the column's value.
#[derive(Clone, Copy)]
enum ColumnType {
    BigInt,
    /// Zero stands for an absent id.
    NullableId,
    Int,
    Uuid,
    Text,
    NullableText,
    Json,
    NullableTime,
    /// Microseconds from now by the database's clock; negative = never.
    Delay,
}

impl ColumnType {
    fn sql_type(self) -> &'static str {
        match self {
            Self::BigInt | Self::NullableId | Self::Delay => "bigint",
            Self::Int => "int",
            Self::Uuid => "uuid",
            Self::Text | Self::NullableText | Self::Json => "text",
            Self::NullableTime => "timestamptz",
        }
    }

    fn array_type(self) -> ArrayType {
        match self {
            Self::BigInt | Self::NullableId | Self::Delay => ArrayType::BigInt,
            Self::Int => ArrayType::Int,
            Self::Uuid => ArrayType::Uuid,
            Self::Text | Self::NullableText | Self::Json => ArrayType::String,
            Self::NullableTime => ArrayType::ChronoDateTimeUtc,
        }
    }

    fn value_sql(self, column: &str) -> String {
        match self {
            Self::BigInt | Self::Int | Self::Uuid | Self::Text => format!("t.{column}"),
            Self::NullableId => format!("NULLIF(t.{column}, 0)"),
            Self::NullableText => format!("NULLIF(t.{column}, '')"),
            Self::Json => format!("NULLIF(t.{column}, '')::jsonb"),
            Self::NullableTime => format!("NULLIF(t.{column}, {ABSENT_SQL})"),
            Self::Delay => {
                format!("CASE WHEN t.{column} >= 0 THEN clock_timestamp() + t.{column} * interval '1 microsecond' END")
            }
        }
    }
}

/// A column of a statement: where it goes, how it is passed, and what a record gives it.
struct ArrayColumn(Column, ColumnType, fn(&Record) -> Value);

const INSERTED: &[ArrayColumn] = &[
    ArrayColumn(Column::Payload, ColumnType::Json, |record| text(record.stored_payload())),
    ArrayColumn(Column::TraceContext, ColumnType::NullableText, |record| text(record.trace().as_deref())),
    ArrayColumn(Column::Id, ColumnType::BigInt, |record| record.event.id.into()),
    ArrayColumn(Column::TaskId, ColumnType::Uuid, |record| record.event.task_id.into()),
    ArrayColumn(Column::UserId, ColumnType::BigInt, |record| record.event.user_id.into()),
    ArrayColumn(Column::EventName, ColumnType::NullableText, |record| {
        text(record.event.submission.event_name.as_deref())
    }),
    ArrayColumn(Column::EventType, ColumnType::NullableText, |record| {
        text(record.event.submission.event_type.as_deref())
    }),
    ArrayColumn(Column::EventUid, ColumnType::NullableText, |record| {
        text(record.event.submission.event_uid.as_deref())
    }),
    ArrayColumn(Column::Timestamp, ColumnType::NullableTime, |record| time(record.event.submission.timestamp)),
    ArrayColumn(Column::ReceivedAt, ColumnType::NullableTime, |record| time(Some(record.event.received_at))),
    ArrayColumn(Column::Properties, ColumnType::Json, |record| text(record.outcome.properties.as_deref())),
    ArrayColumn(Column::ProcessedAt, ColumnType::NullableTime, |record| time(record.outcome.processed_at)),
    ArrayColumn(Column::Status, ColumnType::Text, |record| record.outcome.status.as_str().into()),
    ArrayColumn(Column::ProcessingError, ColumnType::NullableText, |record| {
        text(record.outcome.processing_error.as_deref())
    }),
    ArrayColumn(Column::ErrorCode, ColumnType::NullableText, |record| text(record.outcome.error_code)),
    ArrayColumn(Column::Attempts, ColumnType::Int, |record| record.outcome.attempts.cast_signed().into()),
    ArrayColumn(Column::Crashes, ColumnType::Int, |record| record.outcome.crashes.cast_signed().into()),
    ArrayColumn(Column::NextAttemptAt, ColumnType::Delay, delay),
    ArrayColumn(Column::StartedAt, ColumnType::NullableTime, |record| time(Some(record.started_at))),
    ArrayColumn(Column::FinishedAt, ColumnType::NullableTime, |record| time(record.final_at())),
    ArrayColumn(Column::DuplicateOf, ColumnType::NullableId, |record| {
        record.outcome.duplicate_of.unwrap_or_default().into()
    }),
];

/// What the first write of a processed event passes: the columns from the trace to `processed_at`; the others follow
/// from them.
const TRACED: &[ArrayColumn] = INSERTED.split_at(12).0.split_at(1).1;

/// The same where no event is part of a trace.
const FIRST: &[ArrayColumn] = TRACED.split_at(1).1;

/// What an outcome changes: the columns from `properties` on, and the payload, which goes when these hold it.
const UPDATED: &[ArrayColumn] = INSERTED.split_at(10).1;

fn text(value: Option<&str>) -> Value {
    value.unwrap_or_default().into()
}

fn time(value: Option<DateTime<Utc>>) -> Value {
    value.unwrap_or(ABSENT).into()
}

fn delay(record: &Record) -> Value {
    let delay = record.outcome.retry_in.map(|delay| i64::try_from(delay.as_micros()).unwrap_or(i64::MAX));
    delay.unwrap_or(-1).into()
}

fn array(kind: ArrayType, values: impl Iterator<Item = Value>) -> Value {
    Value::Array(kind, Some(Box::new(values.collect())))
}

fn arrays(columns: &[ArrayColumn], records: &[&Record]) -> Vec<Value> {
    let of = |ArrayColumn(_, kind, value): &ArrayColumn| {
        array(kind.array_type(), records.iter().map(|record| value(record)))
    };
    columns.iter().map(of).collect()
}

/// `unnest($1::bigint[], …) AS t(id, …)`, its parameters numbered from `first`.
fn unnest(columns: &[ArrayColumn], first: usize) -> (String, String) {
    let parameter =
        |(place, ArrayColumn(_, kind, _)): (usize, &ArrayColumn)| format!("${}::{}[]", place + first, kind.sql_type());
    let parameters: Vec<String> = columns.iter().enumerate().map(parameter).collect();
    let names: Vec<&str> = columns.iter().map(|ArrayColumn(column, ..)| column.as_str()).collect();
    (parameters.join(", "), names.join(", "))
}

/// Inserts `records`; returns id and task of the rows that were not there before.
pub(super) fn insert_events(records: &[&Record], node: &str) -> Statement {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!("{} ON CONFLICT (id) DO NOTHING RETURNING id, task_id", insert_sql(INSERTED, "node", "$1::text"))
    });
    Statement::from_sql_and_values(DatabaseBackend::Postgres, SQL.as_str(), insert_values(INSERTED, records, node))
}

/// Inserts `records`, none of which may be there, and the row of their flush, which fails unless all were inserted.
pub(super) fn insert_first(records: &[Record], header: &FlushHeader, flush: Vec<Value>) -> Statement {
    static SQL: LazyLock<String> = LazyLock::new(|| insert_first_sql(FIRST));
    static TRACED_SQL: LazyLock<String> = LazyLock::new(|| insert_first_sql(TRACED));
    let is_traced = records.iter().any(Record::is_traced);
    let (columns, sql) = if is_traced { (TRACED, &TRACED_SQL) } else { (FIRST, &SQL) };
    let records: Vec<&Record> = records.iter().collect();
    let mut passed = insert_values(columns, &records, &header.node);
    passed.extend(flush);
    Statement::from_sql_and_values(DatabaseBackend::Postgres, sql.as_str(), passed)
}

fn insert_first_sql(columns: &[ArrayColumn]) -> String {
    let derived = "started_at, finished_at, status, attempts, node";
    let of_derived = "t.received_at, t.processed_at, 'processed', 1, $1::text";
    let all = "(SELECT COUNT(*) FROM written) = cardinality($2)";
    let flush = counts::insert_sql(DatabaseBackend::Postgres, columns.len() + 2, all);
    format!("WITH written AS ({} RETURNING 1) {flush}", insert_sql(columns, derived, of_derived))
}

/// The INSERT of rows whose columns are passed, or derived from those or from `$1`, the node's name.
fn insert_sql(columns: &[ArrayColumn], derived: &str, of_derived: &str) -> String {
    let (parameters, names) = unnest(columns, 2);
    let values: Vec<String> =
        columns.iter().map(|ArrayColumn(column, kind, _)| kind.value_sql(column.as_str())).collect();
    format!(
        "INSERT INTO events ({names}, {derived}) SELECT {}, {of_derived} FROM unnest({parameters}) AS t({names})",
        values.join(", "),
    )
}

fn insert_values(columns: &[ArrayColumn], records: &[&Record], node: &str) -> Vec<Value> {
    let mut passed = vec![Value::from(node)];
    passed.extend(arrays(columns, records));
    passed
}

/// Updates claimed rows under their leases and gives the leases back; returns the ids of the rows that changed.
pub(super) fn update_events(records: &[&Record], node: &str) -> Statement {
    let (parameters, names) = unnest(UPDATED, 4);
    let sets: Vec<String> = UPDATED
        .iter()
        .map(|ArrayColumn(column, kind, _)| format!("{} = {}", column.as_str(), kind.value_sql(column.as_str())))
        .collect();
    let guard = hidden("e.lease_token = t.token AND e.status = 'pending' AND e.lease_boot IS NOT NULL");
    let sql = format!(
        "UPDATE events AS e SET {sets}, payload = CASE WHEN t.properties = '' THEN e.payload END, node = $1::text, \
         lease_boot = NULL, lease_until = NULL \
         FROM unnest($2::bigint[], $3::uuid[], {parameters}) AS t(event_id, token, {names}) \
         WHERE e.id = t.event_id AND {guard} RETURNING e.id, e.lease_token::text",
        guard = if PlantedBug::NoLeaseCheck.is_chosen() { "TRUE" } else { &guard },
        sets = sets.join(", "),
    );
    let mut passed = vec![
        Value::from(node),
        array(ArrayType::BigInt, records.iter().map(|record| record.event.id.into())),
        array(ArrayType::Uuid, records.iter().map(|record| record.lease.unwrap_or_default().into())),
    ];
    passed.extend(arrays(UPDATED, records));
    Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, passed)
}

fn key_arrays(claims: &[KeyClaim<'_>]) -> Vec<Value> {
    vec![
        array(ArrayType::BigInt, claims.iter().map(|claim| claim.key.user_id.into())),
        array(ArrayType::SmallInt, claims.iter().map(|claim| claim.key.namespace.code().into())),
        array(ArrayType::String, claims.iter().map(|claim| claim.key.text.as_str().into())),
        array(ArrayType::BigInt, claims.iter().map(|claim| claim.event_id.into())),
    ]
}

/// Takes the keys that are free or expired; returns the events that got theirs.
pub(super) fn take_keys(claims: &[KeyClaim<'_>], header: &FlushHeader) -> Statement {
    let event_id = KeyColumn::EventId.as_str();
    let content_hash = KeyColumn::ContentHash.as_str();
    let created_at = KeyColumn::CreatedAt.as_str();
    let sql = format!(
        "INSERT INTO dedupe_keys AS held (user_id, namespace, key, {event_id}, {content_hash}, {created_at}) \
         SELECT t.u, t.n, t.k, t.e, t.h, {birth} \
         FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::bigint[], $5::bytea[]) \
         WITH ORDINALITY AS t(u, n, k, e, h, place) ORDER BY t.place \
         ON CONFLICT (user_id, namespace, key) DO UPDATE SET {event_id} = excluded.{event_id}, \
         {content_hash} = excluded.{content_hash}, {created_at} = excluded.{created_at} \
         WHERE held.{created_at} < {expired} RETURNING {event_id}",
        birth = key_clock::birth_sql(DatabaseBackend::Postgres),
        expired = key_clock::expiry_sql(DatabaseBackend::Postgres, "$6"),
    );
    let mut passed = key_arrays(claims);
    passed.push(array(ArrayType::Bytes, claims.iter().map(|claim| claim.key.content_hash.to_vec().into())));
    passed.push(micros_ago(header.keys_live_for));
    Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, passed)
}

/// `claimant, event_id, content_hash, task_id, status, processed_at` of the events that hold these keys; the last
/// three are null where there is no such event.
pub(super) fn holders_of_keys(claims: &[KeyClaim<'_>]) -> Statement {
    let sql = "SELECT t.e, held.event_id, held.content_hash, first.task_id, first.status, first.processed_at \
               FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::bigint[]) AS t(u, n, k, e) \
               JOIN dedupe_keys AS held ON (held.user_id, held.namespace, held.key) = (t.u, t.n, t.k) \
               LEFT JOIN events AS first ON first.id = held.event_id";
    Statement::from_sql_and_values(DatabaseBackend::Postgres, sql, key_arrays(claims))
}
