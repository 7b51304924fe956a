//! The order of flushes as an index, on both databases.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Adds the index.
pub(crate) struct Feed;

impl MigrationName for Feed {
    fn name(&self) -> &str {
        "m20261124_000004_feed"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Feed {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if manager.get_database_backend() == DbBackend::Sqlite {
            // One connection writes, so rows lie in the order of their commits.
            connection.execute_unprepared("UPDATE flushes SET xid = rowid WHERE xid IS NULL").await?;
        }
        connection.execute_unprepared("CREATE INDEX flushes_xid ON flushes (xid)").await?;
        Ok(())
    }
}
