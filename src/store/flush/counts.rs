//! The flush's own row: what this transaction changed, and what it took.

use std::collections::BTreeMap;
use std::time::Instant;

use entity::flush::Column;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, IdenStatic, Statement, Value};

use super::super::dialect::now_sql;
use super::{FlushHeader, Record, Written};
use crate::domain::outcome::Status;

/// What a flush changed or answered: each event with its status and type.
pub(super) struct Counted<'a>(Vec<(i64, Status, &'a str)>);

impl<'a> Counted<'a> {
    pub fn of(records: &'a [Record], written: &[Written]) -> Self {
        Self(records.iter().zip(written).filter_map(|(record, written)| counted(record, written)).collect())
    }

    /// The values of the flush's row, in the order of [`COLUMNS`].
    pub fn values(&self, header: &FlushHeader, began: Instant) -> Vec<Value> {
        let event_ids: Vec<String> = self.0.iter().map(|(id, ..)| id.to_string()).collect();
        vec![
            header.boot_id.into(),
            header.seq.into(),
            header.node.clone().into(),
            format!("[{}]", event_ids.join(",")).into(),
            counts(&self.0).into(),
            micros(header.gathered.as_micros()).into(),
            micros(began.elapsed().as_micros()).into(),
        ]
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
    let statement = Statement::from_sql_and_values(backend, insert_sql(backend, 1), counted.values(header, began));
    tx.execute_raw(statement).await.map(drop)
}

fn micros(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A record counts under its new status, a duplicate under the event that it repeats.
fn counted<'a>(record: &'a Record, written: &Written) -> Option<(i64, Status, &'a str)> {
    let event_type = record.event.submission.event_type.as_deref().unwrap_or_default();
    match written {
        Written::Stored | Written::StoredAs(_) => Some((record.event.id, record.outcome.status, event_type)),
        Written::Duplicate(first) => Some((first.id, Status::Duplicate, event_type)),
        Written::Repeated | Written::Conflict { .. } | Written::Fenced => None,
    }
}

/// `{"processed":{"engagement":12},"pending":{…}}`
fn counts(counted: &[(i64, Status, &str)]) -> String {
    let mut by_status: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for (_, status, event_type) in counted {
        *by_status.entry(status.as_str()).or_default().entry(event_type).or_default() += 1;
    }
    serde_json::to_string(&by_status).expect("maps of strings and numbers are JSON")
}

/// The columns whose values are bound.
const COLUMNS: [Column; 7] =
    [Column::BootId, Column::Seq, Column::Node, Column::EventIds, Column::Counts, Column::GatheredUs, Column::WroteUs];

/// The INSERT of a flush's row, its parameters numbered from `first`.
pub(super) fn insert_sql(backend: DatabaseBackend, first: usize) -> String {
    let is_postgres = backend == DatabaseBackend::Postgres;
    let parameter = |(place, column): (usize, &Column)| {
        let is_json = is_postgres && matches!(column, Column::EventIds | Column::Counts);
        let cast = if is_json { "::text::jsonb" } else { "" };
        // SQLite's are not numbered, so that the row can follow another INSERT in one text.
        if is_postgres { format!("${}{cast}", first + place) } else { "?".to_owned() }
    };
    let parameters: Vec<String> = COLUMNS.iter().enumerate().map(parameter).collect();
    let xid = if is_postgres { "pg_current_xact_id()::text::bigint" } else { "NULL" };
    format!(
        "INSERT INTO flushes ({}, {}, {}) VALUES ({}, {xid}, {})",
        COLUMNS.map(|column| column.as_str()).join(", "),
        Column::Xid.as_str(),
        Column::FlushedAt.as_str(),
        parameters.join(", "),
        now_sql(backend),
    )
}
