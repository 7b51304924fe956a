//! The index by which events are found by the time at which they were received.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// Adds the index.
pub(crate) struct Received;

impl MigrationName for Received {
    fn name(&self) -> &str {
        "m20261124_000002_received"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Received {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(INDEX).await?;
        Ok(())
    }
}

/// With the id, so that events of the same microsecond have an order in which a list can be continued. Ids alone would
/// not do: they follow the time only roughly.
const INDEX: &str = "CREATE INDEX events_received ON events (received_at, id)";
