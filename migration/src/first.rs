//! The first schema: everything the service needs to run.
//!
//! A file per group of tables, each with its indexes and first rows.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

mod accounts;
mod columns;
mod control;
mod events;
mod flushes;
mod json_text;
mod nodes;
mod replays;
mod retention;

/// Creates every table.
pub(crate) struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m20261130_000004_first"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let tables = [
            accounts::tables(),
            events::tables(backend),
            replays::tables(),
            flushes::tables(backend),
            nodes::tables(),
            control::tables(),
            retention::tables(),
        ];
        for table in tables.into_iter().flatten() {
            manager.create_table(table).await?;
        }
        let indexes = [accounts::INDEXES, events::INDEXES, replays::INDEXES, flushes::indexes(backend), nodes::INDEXES];
        let statements = [
            &indexes.concat(),
            accounts::ROWS,
            events::statements(backend),
            nodes::rows(backend),
            control::ROWS,
            retention::ROWS,
            json_text::statements(backend),
        ];
        for sql in statements.into_iter().flatten() {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }

    // Events are never thrown away by a step back: the default of `down` is an error.
}
