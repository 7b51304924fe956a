//! Old events: a walk along their ids for each age by which some go.

use std::time::Duration;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

use super::partition::{self, PartitionLook};
use super::run::{PruneStep, Removed, hold, note};
use super::terms::EventTerms;
use super::walk::{Walk, ids_of};
use crate::store::dialect::{list, placeholder};
use crate::store::open::Conn;
use crate::store::{Store, StoreError};

/// Ids that are looked at for one piece.
const SPAN: i64 = 5_000;

/// What the look for a piece has found.
enum Look {
    /// Nothing more.
    Nothing,
    /// These, with the last id of what was looked at.
    Old(Vec<i64>, i64),
    /// A partition of which all may go.
    Partition(PartitionLook),
}

impl Store {
    /// Removes the next events that go, at most `rows`, or on PostgreSQL a whole partition; `None` if another node is at
    /// it by now.
    pub async fn prune_events(
        &self,
        boot_id: Uuid,
        terms: EventTerms,
        rows: usize,
        wait: Duration,
    ) -> Result<Option<PruneStep>, StoreError> {
        let sought = terms.clone();
        let looked = self.run("look for old events", wait, move |conn| async move { look(&conn, &sought, rows).await });
        let (mut walk, look) = looked.await?;
        self.transaction("removal of old events", wait, move |tx| {
            Box::pin(async move {
                let Some(run) = hold(tx, boot_id).await? else { return Ok(None) };
                let mut step = PruneStep { goes_on: true, ..PruneStep::default() };
                match look {
                    Look::Nothing => step.goes_on = false,
                    Look::Old(ids, to) => {
                        walk.cursor = to;
                        step.removed = remove(tx, &terms, &ids).await?;
                    }
                    Look::Partition(PartitionLook::Grows) => step.goes_on = false,
                    Look::Partition(look) => step.removed = partition::apply(tx, &mut walk, look, terms.age()).await?,
                }
                walk.write(tx, step.goes_on).await?;
                note(tx, &run, &step.removed).await?;
                Ok(Some(step))
            })
        })
        .await
    }
}

async fn look(conn: &Conn, terms: &EventTerms, rows: usize) -> Result<(Walk, Look), StoreError> {
    let walk = Walk::read(conn, &terms.name(), &terms.rule.text(), terms.age()).await?;
    let Some(first) = walk.next_id(conn, "events", "id").await? else { return Ok((walk, Look::Nothing)) };
    if conn.backend() == DbBackend::Postgres
        && let Some(look) = partition::look(conn, &walk, terms, first, rows).await?
    {
        return Ok((walk, Look::Partition(look)));
    }
    let end = first.saturating_add(SPAN).min(walk.bound);
    let (condition, mut values) = terms.condition(conn.backend(), 3);
    values.splice(0..0, [first.into(), end.into()]);
    let [from, to] = [1, 2].map(|n| placeholder(conn.backend(), n));
    let sql =
        format!("SELECT id FROM events WHERE id >= {from} AND id < {to} AND {condition} ORDER BY id LIMIT {rows}");
    let ids = ids_of(conn, Statement::from_sql_and_values(conn.backend(), sql, values)).await?;
    let is_full = ids.len() == rows;
    let to = ids.last().copied().filter(|_| is_full).unwrap_or(end - 1);
    Ok((walk, Look::Old(ids, to)))
}

/// Removes those of the events that still may go, with what hangs on them.
async fn remove(tx: &DatabaseTransaction, terms: &EventTerms, ids: &[i64]) -> Result<Removed, DbErr> {
    if ids.is_empty() {
        return Ok(Removed::new());
    }
    let backend = tx.get_database_backend();
    let (condition, values) = terms.condition(backend, 1);
    let sql = format!("DELETE FROM events WHERE id IN ({}) AND {condition} RETURNING id, status", list(ids));
    let rows = tx.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let mut removed = Removed::new();
    let mut gone = Vec::with_capacity(rows.len());
    for row in &rows {
        gone.push(row.try_get_by_index(0)?);
        *removed.entry(row.try_get_by_index(1)?).or_default() += 1;
    }
    if !gone.is_empty() {
        for table in ["attempts", "replays"] {
            let sql = format!("DELETE FROM {table} WHERE event_id IN ({})", list(&gone));
            tx.execute_raw(Statement::from_string(backend, sql)).await?;
        }
    }
    Ok(removed)
}
