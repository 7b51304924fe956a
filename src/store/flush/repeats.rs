//! Refused events that come again: the stored row of the first counts them.
//!
//! A repeat has no row, so its id is remembered for a while: a flush whose answer was lost counts it once.

use std::collections::{BTreeMap, HashMap};

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};

use super::super::dialect::now_sql;
use super::record::{KeptEvent, Record, Written};
use crate::domain::outcome::Status;

/// Counts the repeats among `records`, and notes with each how many there are by now.
pub(super) async fn count(tx: &DatabaseTransaction, records: &[Record], written: &mut [Written]) -> Result<(), DbErr> {
    let mut repeats: Vec<(i64, &mut KeptEvent)> = Vec::new();
    for (record, written) in records.iter().zip(written) {
        if let Written::Duplicate(first) = written
            && record.outcome.status == Status::ValidationError
        {
            repeats.push((record.event.id, first));
        }
    }
    if repeats.is_empty() {
        return Ok(());
    }
    let backend = tx.get_database_backend();
    let now = now_sql(backend);
    let rows: Vec<String> = repeats.iter().map(|(id, first)| format!("({id}, {}, {now})", first.id)).collect();
    let sql = format!(
        "INSERT INTO repeats (id, event_id, repeated_at) VALUES {} ON CONFLICT (id) DO NOTHING RETURNING event_id",
        rows.join(", ")
    );
    let mut more: BTreeMap<i64, i64> = repeats.iter().map(|(_, first)| (first.id, 0)).collect();
    for row in tx.query_all_raw(Statement::from_string(backend, sql)).await? {
        *more.entry(row.try_get_by_index(0)?).or_default() += 1;
    }
    let ids: Vec<String> = more.keys().map(ToString::to_string).collect();
    let arms: Vec<String> = more.iter().map(|(id, more)| format!("WHEN {id} THEN {more}")).collect();
    let sql = format!(
        "UPDATE events SET repeats = COALESCE(repeats, 0) + CASE id {} END, last_repeated_at = {now} WHERE id IN ({}) \
         RETURNING id, repeats",
        arms.join(" "),
        ids.join(",")
    );
    let mut counts: HashMap<i64, i64> = HashMap::new();
    for row in tx.query_all_raw(Statement::from_string(backend, sql)).await? {
        counts.insert(row.try_get_by_index(0)?, row.try_get_by_index(1)?);
    }
    for (_, first) in repeats {
        first.repeats = counts.get(&first.id).copied().unwrap_or_default();
    }
    Ok(())
}
