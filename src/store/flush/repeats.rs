//! Refused events that come again: the stored row of the first counts them.
//!
//! A repeat has no row, so its id is remembered for a while: a flush whose answer was lost counts it once.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Statement};

use super::super::dialect::{micros_ago, now_plus_micros_sql, now_sql, placeholder};
use super::super::{Store, StoreError};
use super::record::{KeptEvent, Record, Written};
use crate::domain::outcome::Status;

impl Store {
    /// Forgets which repeats of refused events were counted longer than `age` ago; no flush is tried again so late.
    pub async fn remove_repeats(&self, age: Duration, wait: Duration) -> Result<(), StoreError> {
        self.run("removal of counted repeats", wait, move |conn| async move {
            let at = now_plus_micros_sql(conn.backend(), &placeholder(conn.backend(), 1));
            let sql = format!("DELETE FROM repeats WHERE repeated_at < {at}");
            let statement = Statement::from_sql_and_values(conn.backend(), sql, [micros_ago(age)]);
            Ok(conn.write().execute_raw(statement).await.map(drop)?)
        })
        .await
    }
}

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
