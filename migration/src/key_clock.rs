//! The clock by which the age of dedupe keys is told.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Adds it: one row, which begins at the present time, or at that of the youngest key if that lies ahead.
pub(crate) struct KeyClock;

impl MigrationName for KeyClock {
    fn name(&self) -> &str {
        "m20261130_000014_key_clock"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for KeyClock {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let (time, now, later) = match connection.get_database_backend() {
            DbBackend::Postgres => ("TIMESTAMPTZ", "now()", "GREATEST"),
            _ => ("TEXT", "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')", "MAX"),
        };
        let table = format!(
            "CREATE TABLE key_clock (id SMALLINT PRIMARY KEY CHECK (id = 1), at {time} NOT NULL, read_at {time} NOT NULL)"
        );
        let row = format!(
            "INSERT INTO key_clock (id, at, read_at) \
             SELECT 1, {later}({now}, COALESCE(MAX(created_at), {now})), {now} FROM dedupe_keys"
        );
        for sql in [table, row] {
            connection.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}
