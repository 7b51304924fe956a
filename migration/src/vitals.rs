//! What a node says of itself with each heartbeat, and the index by which the leases of a dead one are found.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// Adds the vitals of nodes.
pub(crate) struct Vitals;

impl MigrationName for Vitals {
    fn name(&self) -> &str {
        "m20261124_000001_vitals"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Vitals {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in STATEMENTS {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

/// The index holds leased rows only: a first write never touches it, and with any number of pending events the search
/// for the leases of one boot reads no others.
const STATEMENTS: &[&str] = &[
    "ALTER TABLE nodes ADD COLUMN claims BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE nodes ADD COLUMN spool_events BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE nodes ADD COLUMN spool_bytes BIGINT NOT NULL DEFAULT 0",
    "CREATE INDEX events_leased ON events (lease_boot) WHERE status = 'pending' AND lease_boot IS NOT NULL",
];
