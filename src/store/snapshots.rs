//! Snapshots of each node's line, as it publishes them: nodes do not talk to each other, they share a database.
//!
//! Each boot has one row, which goes when the boot is forgotten. It is not the row of its heartbeat: a snapshot that waits
//! for the disk must not make the heartbeat wait.

use std::time::Duration;

use entity::snapshot;
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ConnectionTrait, EntityTrait};

use super::dialect::{now, present};
use super::error::StoreError;
use super::open::Store;

/// What a node published about its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// A JSON object; that of a newer node may have members that this one does not know.
    pub line: String,
    /// How long ago, by the database's clock.
    pub age: Duration,
}

impl Store {
    /// Replaces the snapshot of a registered boot's line.
    pub async fn publish_snapshot(&self, boot_id: Uuid, line: String, wait: Duration) -> Result<(), StoreError> {
        self.run("publish the snapshot of the line", wait, move |conn| async move {
            let columns = [snapshot::Column::Line, snapshot::Column::ToldAt];
            let insert = Query::insert()
                .into_table(snapshot::Entity)
                .columns([snapshot::Column::BootId].into_iter().chain(columns))
                .values_panic([boot_id.into(), line.into(), now(conn.write())])
                .on_conflict(OnConflict::column(snapshot::Column::BootId).update_columns(columns).to_owned())
                .take();
            conn.write().execute(&insert).await?;
            Ok(())
        })
        .await
    }

    /// The boot's last snapshot; `None` if it has published nothing.
    pub async fn snapshot_of(&self, boot_id: Uuid, wait: Duration) -> Result<Option<Snapshot>, StoreError> {
        self.run("read what a line looks like", wait, move |conn| async move {
            let Some(row) = snapshot::Entity::find_by_id(boot_id).one(conn.read()).await? else { return Ok(None) };
            let age = (present(conn.read()).await? - row.told_at).to_std().unwrap_or_default();
            Ok(Some(Snapshot { line: row.line, age }))
        })
        .await
    }
}
