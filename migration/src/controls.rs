//! What operators want of the line: sizes of pools, what is paused, what is to be replaced; and how far each node is.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Adds the controls, one row for each thing that can be controlled.
pub(crate) struct Controls;

impl MigrationName for Controls {
    fn name(&self) -> &str {
        "m20261129_000008_controls"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Controls {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let time = if manager.get_database_backend() == DbBackend::Postgres { "TIMESTAMPTZ" } else { "TEXT" };
        let table = format!(
            "CREATE TABLE controls (target TEXT PRIMARY KEY NOT NULL, \
             size INTEGER CHECK (size BETWEEN 1 AND 64), size_by BIGINT, size_at {time}, \
             paused BOOLEAN NOT NULL DEFAULT FALSE, paused_by BIGINT, paused_at {time}, \
             restarts BIGINT NOT NULL DEFAULT 0)"
        );
        let connection = manager.get_connection();
        connection.execute_unprepared(&table).await?;
        for sql in STATEMENTS {
            connection.execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

const STATEMENTS: &[&str] = &[
    "INSERT INTO controls (target) VALUES \
     ('pipeline'), ('validators'), ('normalizers'), ('persisters'), ('claimer')",
    "CREATE TABLE control_changes (id BIGINT PRIMARY KEY CHECK (id = 1), generation BIGINT NOT NULL)",
    "INSERT INTO control_changes (id, generation) VALUES (1, 0)",
    "ALTER TABLE nodes ADD COLUMN control_generation BIGINT NOT NULL DEFAULT 0",
];
