//! A run: which node is at it, and what it has removed.

use std::collections::BTreeMap;
use std::time::Duration;

use entity::retention::{Column, Entity, Model};
use entity::retention_walk;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QuerySelect, Statement, Value,
};
use serde_json::json;

use crate::store::audit::{self, Action, Principal};
use crate::store::dialect::{micros_ago, now, now_plus_micros_sql, now_sql, placeholder};
use crate::store::{Store, StoreError};

/// How long a node that has removed a piece keeps others away: longer than any rest between two.
const HELD_FOR: Duration = Duration::from_secs(30);

/// Age of a walk that begins anew. What came to its end long after it was received lies behind the walk: this finds it.
const WALK_AGE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The one row.
const ROW: i64 = 1;

/// Rows that were removed, by what they were: a final status of events, or a table.
pub type Removed = BTreeMap<String, u64>;

/// What a piece came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneStep {
    /// What it removed.
    pub removed: Removed,
    /// Rows that it wrote into the archive.
    pub archived: usize,
    /// How long its transaction took: while it is open, others may wait for it.
    pub took: Duration,
    /// Whether there is another piece.
    pub goes_on: bool,
}

impl Store {
    /// Begins a run `every` so often after the last one, or goes on with the one under way; false if none is due, or
    /// another node is at it.
    pub async fn take_retention(&self, boot_id: Uuid, every: Duration, wait: Duration) -> Result<bool, StoreError> {
        self.transaction("take up the removal of old rows", wait, move |tx| {
            Box::pin(async move {
                let backend = tx.get_database_backend();
                let now = now_sql(backend);
                let [boot, until, due] = [1, 2, 3].map(|n| placeholder(backend, n));
                let sql = format!(
                    "UPDATE retention SET holder = {boot}, held_until = {until}, began_at = COALESCE(began_at, {now}) \
                     WHERE (holder IS NULL OR holder = {boot} OR held_until <= {now}) \
                     AND (began_at IS NOT NULL OR ended_at IS NULL OR ended_at <= {due})",
                    until = now_plus_micros_sql(backend, &until),
                    due = now_plus_micros_sql(backend, &due),
                );
                let values: [Value; 3] = [boot_id.into(), micros(HELD_FOR), micros_ago(every)];
                let taken = tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
                if taken.rows_affected() == 0 {
                    return Ok(false);
                }
                forget_old_walks(tx).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Ends the run, with a row of the audit log if it removed something; `None` if it is another node's by now.
    pub async fn end_retention(
        &self,
        boot_id: Uuid,
        node: String,
        wait: Duration,
    ) -> Result<Option<Removed>, StoreError> {
        self.transaction("end the removal of old rows", wait, move |tx| {
            Box::pin(async move {
                let Some(run) = hold(tx, boot_id).await? else { return Ok(None) };
                let removed = parse(&run.removed);
                if !removed.is_empty() {
                    let detail = json!({"removed": removed, "began_at": run.began_at});
                    let by = Principal::command(node);
                    audit::note(tx, &by, Action::RowsRemoved, "retention".to_owned(), detail).await?;
                }
                let none = Expr::cust("NULL");
                let ended = Entity::update_many()
                    .col_expr(Column::EndedAt, now(tx))
                    .col_expr(Column::Holder, none.clone())
                    .col_expr(Column::HeldUntil, none.clone())
                    .col_expr(Column::BeganAt, none)
                    .col_expr(Column::Removed, Expr::value("{}"))
                    .filter(Column::Id.eq(ROW));
                ended.exec(tx).await?;
                Ok(Some(removed))
            })
        })
        .await
    }

    /// What all runs have removed.
    pub async fn removed_rows(&self, wait: Duration) -> Result<Removed, StoreError> {
        self.run("read what was removed", wait, |conn| async move {
            let row = Entity::find_by_id(ROW).one(conn.read()).await?;
            Ok(row.map(|row| parse(&row.removed_total)).unwrap_or_default())
        })
        .await
    }
}

/// The run, locked until the end of the transaction; `None` if another node is at it.
pub(super) async fn hold(tx: &DatabaseTransaction, boot_id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(ROW).filter(Column::Holder.eq(boot_id)).lock_exclusive().one(tx).await
}

/// Notes what the transaction has removed, and holds the run for another while.
pub(super) async fn note(tx: &DatabaseTransaction, run: &Model, removed: &Removed) -> Result<(), DbErr> {
    let backend = tx.get_database_backend();
    let [until, of_run, of_all] = [1, 2, 3].map(|n| placeholder(backend, n));
    let sql = format!(
        "UPDATE retention SET held_until = {}, removed = {of_run}, removed_total = {of_all}",
        now_plus_micros_sql(backend, &until)
    );
    let sum = |text: &str| Value::from(json!(added(parse(text), removed)).to_string());
    let values = [micros(HELD_FOR), sum(&run.removed), sum(&run.removed_total)];
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await.map(drop)
}

async fn forget_old_walks(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    let backend = tx.get_database_backend();
    let since = now_plus_micros_sql(backend, &placeholder(backend, 1));
    let old = Expr::cust_with_values(format!("began_at <= {since}"), [micros_ago(WALK_AGE_MAX)]);
    retention_walk::Entity::delete_many().filter(old).exec(tx).await.map(drop)
}

/// Counts from a row; one that cannot be read must not stop the removal.
pub(in crate::store) fn parse(text: &str) -> Removed {
    serde_json::from_str(text).unwrap_or_default()
}

/// The sums of both.
pub(super) fn added(mut sums: Removed, more: &Removed) -> Removed {
    for (what, count) in more {
        *sums.entry(what.clone()).or_default() += count;
    }
    sums
}

fn micros(span: Duration) -> Value {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX).into()
}
