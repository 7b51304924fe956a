//! What the line of each node looks like, for whoever asks another node.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Adds the snapshots of lines.
pub(crate) struct Snapshots;

impl MigrationName for Snapshots {
    fn name(&self) -> &str {
        "m20261129_000011_snapshots"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Snapshots {
    /// A table of its own: a snapshot that is written holds no row that the heartbeat needs, and who looks at the nodes reads
    /// none of them.
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, time) = match manager.get_database_backend() {
            DbBackend::Postgres => ("UUID", "TIMESTAMPTZ"),
            _ => ("BLOB", "TEXT"),
        };
        let table = format!(
            "CREATE TABLE snapshots (boot_id {uuid} PRIMARY KEY NOT NULL REFERENCES nodes (boot_id) ON DELETE CASCADE, \
             line TEXT NOT NULL, told_at {time} NOT NULL)"
        );
        manager.get_connection().execute_unprepared(&table).await.map(drop)
    }
}
