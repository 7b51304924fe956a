//! Who had events processed anew, or called them off.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Adds the table of replays.
pub(crate) struct Replays;

impl MigrationName for Replays {
    fn name(&self) -> &str {
        "m20261124_000005_replays"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Replays {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let time = if connection.get_database_backend() == DbBackend::Postgres { "TIMESTAMPTZ" } else { "TEXT" };
        let sql = format!(
            "CREATE TABLE replays (event_id BIGINT NOT NULL, generation INTEGER NOT NULL, action TEXT NOT NULL, \
             by_user BIGINT NOT NULL, at {time} NOT NULL)"
        );
        connection.execute_unprepared(&sql).await?;
        connection.execute_unprepared("CREATE INDEX replays_event ON replays (event_id)").await?;
        Ok(())
    }
}
