//! The flush's own row: what this transaction changed, and what it took.

use std::collections::BTreeMap;
use std::time::Instant;

use entity::flush::Column;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, IdenStatic, Statement, Value};

use super::{FlushHeader, Record, Written};
use crate::domain::outcome::Status;

/// Writes the row of `flushes`, unless the flush changed and answered nothing.
pub(super) async fn insert(
    tx: &DatabaseTransaction,
    records: &[Record],
    written: &[Written],
    header: &FlushHeader,
    began: Instant,
) -> Result<(), DbErr> {
    let counted: Vec<(i64, Status, &str)> =
        records.iter().zip(written).filter_map(|(record, written)| counted(record, written)).collect();
    if counted.is_empty() {
        return Ok(());
    }
    let event_ids: Vec<String> = counted.iter().map(|(id, ..)| id.to_string()).collect();
    let values: Vec<Value> = vec![
        header.boot_id.into(),
        header.seq.into(),
        header.node.clone().into(),
        format!("[{}]", event_ids.join(",")).into(),
        counts(&counted).into(),
        micros(header.gathered.as_micros()).into(),
        micros(began.elapsed().as_micros()).into(),
    ];
    let backend = tx.get_database_backend();
    tx.execute_raw(Statement::from_sql_and_values(backend, sql(backend), values)).await?;
    Ok(())
}

fn micros(value: u128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A record counts under its new status, a duplicate under the event that it repeats.
fn counted<'a>(record: &'a Record, written: &Written) -> Option<(i64, Status, &'a str)> {
    let event_type = record.event.submission.event_type.as_deref().unwrap_or_default();
    match written {
        Written::Stored => Some((record.event.id, record.outcome.status, event_type)),
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

fn sql(backend: DatabaseBackend) -> String {
    let columns = [
        Column::BootId,
        Column::Seq,
        Column::Node,
        Column::EventIds,
        Column::Counts,
        Column::GatheredUs,
        Column::WroteUs,
        Column::Xid,
        Column::FlushedAt,
    ];
    let columns = columns.map(|column| column.as_str()).join(", ");
    let values = match backend {
        DatabaseBackend::Postgres => {
            "$1, $2, $3, $4::jsonb, $5::jsonb, $6, $7, pg_current_xact_id()::text::bigint, clock_timestamp()"
        }
        _ => "?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL, strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
    };
    format!("INSERT INTO flushes ({columns}) VALUES ({values})")
}
