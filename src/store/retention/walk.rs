//! A walk along the ids of a table, from the oldest on: where it is, and where it ends.
//!
//! Ids are roughly in the order of time. A walk goes as far as the first block of ids that was reserved after the age
//! that it removes: behind that nothing is old. What it passed while it was too young is found by the next walk.

use std::time::Duration;

use entity::retention_walk::{ActiveModel, Column, Entity, Model};
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{DatabaseTransaction, DbErr, EntityTrait, Statement};
use serde_json::json;

use super::run::{Removed, parse};
use crate::store::dialect::{micros_ago, placeholder, present};
use crate::store::open::Conn;
use crate::store::{StoreError, key_clock};

/// How much longer ago than the age a block was reserved whose ids are all used by then, and their events at an end.
const MARGIN: Duration = Duration::from_secs(600);

/// Where a walk is.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub name: String,
    rule: String,
    /// The last id that it is done with.
    pub cursor: i64,
    /// The first id that is too young.
    pub bound: i64,
    /// Up to which id the partition behind the cursor holds nothing that stays.
    pub checked: i64,
    /// What was found there.
    pub found: Removed,
    /// Whether it has no row yet, or one of another rule.
    is_new: bool,
}

impl Walk {
    /// The walk of this name, from the beginning if it was under another rule; `age` is what it removes.
    pub async fn read(conn: &Conn, name: &str, rule: &str, age: Duration) -> Result<Self, StoreError> {
        let row: Option<Model> =
            Entity::find_by_id(name).one(conn.read()).await?.filter(|row: &Model| row.rule == rule);
        let cursor = row.as_ref().map_or(0, |row| row.cursor_id);
        let bound = match row.as_ref().and_then(|row| row.bound_id) {
            Some(bound) => bound,
            None => first_young(conn, cursor, age).await?,
        };
        Ok(Self {
            name: name.to_owned(),
            rule: rule.to_owned(),
            cursor,
            bound,
            checked: row.as_ref().map_or(0, |row| row.checked_id),
            found: row.as_ref().map(|row| parse(&row.checked)).unwrap_or_default(),
            is_new: row.is_none(),
        })
    }

    /// The first id of `table` that the walk has still to look at, by its column `id`.
    pub async fn next_id(&self, conn: &Conn, table: &str, id: &str) -> Result<Option<i64>, StoreError> {
        let backend = conn.backend();
        let sql = format!(
            "SELECT {id} FROM {table} WHERE {id} > {} AND {id} < {} ORDER BY {id} LIMIT 1",
            placeholder(backend, 1),
            placeholder(backend, 2)
        );
        let statement = Statement::from_sql_and_values(backend, sql, [self.cursor.into(), self.bound.into()]);
        let row = conn.search_one(statement).await?;
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
    }

    /// Writes where it is; at its end it has no bound any more.
    pub async fn write(&self, tx: &DatabaseTransaction, goes_on: bool) -> Result<(), StoreError> {
        let row = ActiveModel {
            name: Set(self.name.clone()),
            rule: Set(self.rule.clone()),
            began_at: Set(present(tx).await?),
            cursor_id: Set(self.cursor),
            bound_id: Set(goes_on.then_some(self.bound)),
            checked_id: Set(self.checked),
            checked: Set(json!(self.found).to_string()),
        };
        let mut columns = vec![Column::Rule, Column::CursorId, Column::BoundId, Column::CheckedId, Column::Checked];
        columns.extend(self.is_new.then_some(Column::BeganAt));
        let known = OnConflict::column(Column::Name).update_columns(columns).to_owned();
        Entity::insert(row).on_conflict(known).exec_without_returning(tx).await?;
        Ok(())
    }
}

/// The first id behind `cursor` that was reserved within `age`.
async fn first_young(conn: &Conn, cursor: i64, age: Duration) -> Result<i64, StoreError> {
    let backend = conn.backend();
    let sql = format!(
        "SELECT first_id FROM id_blocks WHERE first_id > {} AND reserved_at > {} ORDER BY first_id LIMIT 1",
        placeholder(backend, 1),
        key_clock::expiry_sql(backend, &placeholder(backend, 2)),
    );
    let statement = Statement::from_sql_and_values(backend, sql, [cursor.into(), micros_ago(age + MARGIN)]);
    let row = conn.search_one(statement).await?;
    let first: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(first.unwrap_or(i64::MAX))
}

/// The first column of rows.
pub(super) async fn ids_of(conn: &Conn, statement: Statement) -> Result<Vec<i64>, StoreError> {
    let rows = conn.search(statement).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, DbErr>>()?)
}
