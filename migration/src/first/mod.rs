//! The first schema: everything the service needs to run.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

mod accounts;
mod columns;
mod events;
mod ledger;

/// Creates every table.
pub(crate) struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m20261123_000001_first"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in accounts::tables().into_iter().chain(events::tables(backend)).chain(ledger::tables()) {
            manager.create_table(table).await?;
        }
        let connection = manager.get_connection();
        for sql in INDEXES.iter().chain(FIRST_ROWS) {
            connection.execute_unprepared(sql).await?;
        }
        let only_here = match backend {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        for sql in only_here {
            connection.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    // Events are never thrown away by a step back: the default of `down` is an error.
}

/// States stand as literals: only so does the planner match a query to a partial index.
const INDEXES: &[&str] = &[
    "CREATE INDEX api_tokens_user ON api_tokens (user_id)",
    "CREATE INDEX events_user ON events (user_id, id)",
    "CREATE INDEX events_due ON events (next_attempt_at) WHERE status = 'pending'",
    "CREATE INDEX events_bad ON events (id) WHERE status IN ('failed', 'validation_error')",
    "CREATE INDEX events_name ON events (event_name, id)",
    "CREATE INDEX dedupe_keys_age ON dedupe_keys (created_at)",
    "CREATE INDEX flushes_time ON flushes (flushed_at)",
    "CREATE UNIQUE INDEX id_blocks_last ON id_blocks (last_id)",
    "CREATE INDEX nodes_folder ON nodes (folder)",
];

const FIRST_ROWS: &[&str] = &["INSERT INTO auth_changes (id, version) VALUES (1, 1)"];

const POSTGRES: &[&str] = &[
    "CREATE TABLE events_p0 PARTITION OF events FOR VALUES FROM (1) TO (10000001)",
    "CREATE TABLE events_p1 PARTITION OF events FOR VALUES FROM (10000001) TO (20000001)",
    "INSERT INTO meta (key, value) VALUES ('identity', gen_random_uuid()::text)",
];

/// Version and variant bits are set by hand: SQLite makes bytes, not uuids.
const SQLITE: &[&str] = &["INSERT INTO meta (key, value) SELECT 'identity', \
     substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-a' || substr(h, 18, 3) || '-' || substr(h, 21, 12) \
     FROM (SELECT lower(hex(randomblob(16))) AS h)"];
