//! How a CloudEvent differs from the event that it repeats: only in what makes no other event of it.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement};

use super::super::dialect::payload_sql;
use super::record::{Record, Written};
use crate::domain::cloud_event::{Content, Incidental};

/// Notes it with each duplicate; queries the database only if there are duplicates of CloudEvents.
pub(super) async fn note(tx: &DatabaseTransaction, records: &[Record], written: &mut [Written]) -> Result<(), DbErr> {
    let mut repeats = Vec::new();
    for (record, written) in records.iter().zip(written) {
        if let Written::Duplicate(first) = written
            && Content::of(&record.event.submission).is_some()
        {
            repeats.push((record, first));
        }
    }
    if repeats.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = repeats.iter().map(|(_, first)| first.id).collect();
    let mut firsts = stored(tx, &ids).await?;
    // The first of a unit has no row yet.
    let new = records.iter().filter(|record| ids.contains(&record.event.id));
    firsts.extend(new.map(|record| (record.event.id, Incidental::of(&record.event.submission))));
    for (record, first) in repeats {
        let differences = firsts.get(&first.id).map(|of| Incidental::of(&record.event.submission).differences(of));
        first.differs = differences.unwrap_or_default();
    }
    Ok(())
}

async fn stored(tx: &DatabaseTransaction, ids: &[i64]) -> Result<HashMap<i64, Incidental>, DbErr> {
    let backend = tx.get_database_backend();
    let data_type = match backend {
        DatabaseBackend::Postgres => "payload #>> '{ce_attributes,datacontenttype}'",
        _ => "CASE WHEN json_valid(payload) THEN payload ->> '$.ce_attributes.datacontenttype' END",
    };
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let sql = format!(
        "SELECT id, timestamp, substr({data_type}, 1, {}) \
         FROM (SELECT id, timestamp, {} AS payload FROM events WHERE id IN ({})) AS firsts",
        Incidental::DATA_TYPE_CHARS,
        payload_sql(backend),
        ids.join(",")
    );
    let rows = tx.query_all_raw(Statement::from_string(backend, sql)).await?;
    let read = |row: &sea_orm::QueryResult| {
        let incidental = Incidental { time: row.try_get_by_index(1)?, data_type: row.try_get_by_index(2)? };
        Ok((row.try_get_by_index(0)?, incidental))
    };
    rows.iter().map(read).collect()
}
