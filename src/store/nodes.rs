//! Boots of nodes, their heartbeats, and what they report with each.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::node;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Expr, ExprTrait, InsertStatement, OnConflict, Query};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement, UpdateMany,
};

use super::dialect::{now, placeholder, present};
use super::error::StoreError;
use super::open::Store;

/// Most boots in a list: a node that dies and starts again all day leaves many.
const NODES_MAX: u64 = 100;

/// One boot of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Made at its start, never used again.
    pub boot_id: Uuid,
    /// From its configuration.
    pub name: String,
    /// Its data folder.
    pub folder: Uuid,
    /// By the database's clock.
    pub started_at: DateTime<Utc>,
    /// Grows while it lives.
    pub heartbeat: i64,
    /// By the database's clock.
    pub heartbeat_at: DateTime<Utc>,
    /// How long ago that was, by the same clock.
    pub silent_for: Duration,
    /// Set when it ended.
    pub stopped_at: Option<DateTime<Utc>>,
    /// As of its last heartbeat.
    pub vitals: Vitals,
    /// The generation of the controls that it has applied.
    pub control_generation: i64,
}

/// What a node reports about itself with each heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Events that it has claimed.
    pub claims: u64,
    /// Events in the spool of its folder, parked ones too.
    pub spool_events: u64,
    /// Their bytes.
    pub spool_bytes: u64,
}

impl Node {
    fn of(row: node::Model, now: DateTime<Utc>) -> Self {
        Self {
            silent_for: (now - row.heartbeat_at).to_std().unwrap_or_default(),
            boot_id: row.boot_id,
            name: row.name,
            folder: row.folder,
            started_at: row.started_at,
            heartbeat: row.heartbeat,
            heartbeat_at: row.heartbeat_at,
            stopped_at: row.stopped_at,
            control_generation: row.control_generation,
            vitals: Vitals {
                claims: row.claims.cast_unsigned(),
                spool_events: row.spool_events.cast_unsigned(),
                spool_bytes: row.spool_bytes.cast_unsigned(),
            },
        }
    }
}

impl Store {
    /// Enters a boot. Earlier boots of its folder are stopped by that: the caller holds the folder's lock. What they
    /// reported about its spool is this boot's from now on: the spool stays with the folder.
    pub async fn register_node(
        &self,
        boot_id: Uuid,
        name: &str,
        folder: Uuid,
        wait: Duration,
    ) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.transaction("register the node", wait, move |tx| {
            Box::pin(async move {
                node::Entity::update_many()
                    .col_expr(node::Column::StoppedAt, now(tx))
                    .filter(node::Column::Folder.eq(folder))
                    .filter(node::Column::BootId.ne(boot_id))
                    .filter(node::Column::StoppedAt.is_null())
                    .exec(tx)
                    .await?;
                tx.execute(&entry(tx, boot_id, name, folder)).await?;
                inherit_spool(tx, boot_id, folder).await?;
                Ok(())
            })
        })
        .await
    }

    /// Adds one to the boot's heartbeat. False when the boot is unknown or was stopped by a later one.
    pub async fn heartbeat(&self, boot_id: Uuid, vitals: Vitals, wait: Duration) -> Result<bool, StoreError> {
        self.run("write the heartbeat", wait, move |conn| async move {
            let count = Expr::col(node::Column::Heartbeat).add(1);
            let update = live(boot_id)
                .col_expr(node::Column::Heartbeat, count)
                .col_expr(node::Column::HeartbeatAt, now(conn.write()))
                .col_expr(node::Column::Claims, vitals.claims.cast_signed().into())
                .col_expr(node::Column::SpoolEvents, vitals.spool_events.cast_signed().into())
                .col_expr(node::Column::SpoolBytes, vitals.spool_bytes.cast_signed().into());
            Ok(update.exec(conn.write()).await?.rows_affected > 0)
        })
        .await
    }

    /// Marks the boot as ended. False when it was already, or is unknown.
    pub async fn stop_node(&self, boot_id: Uuid, wait: Duration) -> Result<bool, StoreError> {
        self.run("mark the node as stopped", wait, move |conn| async move {
            let update = live(boot_id).col_expr(node::Column::StoppedAt, now(conn.write()));
            Ok(update.exec(conn.write()).await?.rows_affected > 0)
        })
        .await
    }

    /// The boots that are known, those that have not stopped first, then the latest; a bounded number of them.
    pub async fn list_nodes(&self, wait: Duration) -> Result<Vec<Node>, StoreError> {
        self.run("list the nodes", wait, |conn| async move {
            let now = present(conn.read()).await?;
            let rows = node::Entity::find()
                .order_by_asc(Expr::col(node::Column::StoppedAt).is_not_null())
                .order_by_desc(node::Column::StartedAt)
                .limit(NODES_MAX);
            let rows = rows.all(conn.read()).await?;
            Ok(rows.into_iter().map(|row| Node::of(row, now)).collect())
        })
        .await
    }
}

/// An update of a boot that has not ended.
fn live(boot_id: Uuid) -> UpdateMany<node::Entity> {
    node::Entity::update_many().filter(node::Column::BootId.eq(boot_id)).filter(node::Column::StoppedAt.is_null())
}

/// The row of a new boot. Repeating it after a lost answer changes nothing.
fn entry(connection: &impl ConnectionTrait, boot_id: Uuid, name: String, folder: Uuid) -> InsertStatement {
    Query::insert()
        .into_table(node::Entity)
        .columns([
            node::Column::BootId,
            node::Column::Name,
            node::Column::Folder,
            node::Column::StartedAt,
            node::Column::Heartbeat,
            node::Column::HeartbeatAt,
        ])
        .values_panic([boot_id.into(), name.into(), folder.into(), now(connection), 0_i64.into(), now(connection)])
        .on_conflict(OnConflict::column(node::Column::BootId).do_nothing().to_owned())
        .take()
}

/// Moves what earlier boots of `folder` reported about its spool to `boot_id`.
async fn inherit_spool(connection: &impl ConnectionTrait, boot_id: Uuid, folder: Uuid) -> Result<(), DbErr> {
    let backend = connection.get_database_backend();
    let boot_at = placeholder(backend, 1);
    let folder_at = placeholder(backend, 2);
    let most = |column| format!("{column} = (SELECT MAX({column}) FROM nodes WHERE folder = {folder_at})");
    let take = format!("UPDATE nodes SET {}, {} WHERE boot_id = {boot_at}", most("spool_events"), most("spool_bytes"));
    let give = format!(
        "UPDATE nodes SET spool_events = 0, spool_bytes = 0 WHERE folder = {folder_at} AND boot_id <> {boot_at}"
    );
    for sql in [take, give] {
        connection.execute_raw(Statement::from_sql_and_values(backend, sql, [boot_id.into(), folder.into()])).await?;
    }
    Ok(())
}
