//! The index of pending events, one for every search among them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// Adds the index in place of those by time and by holder.
pub(crate) struct Pending;

impl MigrationName for Pending {
    fn name(&self) -> &str {
        "m20261130_000013_pending"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Pending {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in STATEMENTS {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

/// Those of one holder lie together, and those that nobody holds in the order in which they are due: whoever looks for some
/// of them reads no others, however many wait.
const STATEMENTS: &[&str] = &[
    "CREATE INDEX events_pending ON events (lease_boot, suspect, next_attempt_at) WHERE status = 'pending'",
    "DROP INDEX events_due",
    "DROP INDEX events_leased",
];
