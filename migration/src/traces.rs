//! The trace that an event is part of.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// Adds the column.
pub(crate) struct Traces;

impl MigrationName for Traces {
    fn name(&self) -> &str {
        "m20261129_000012_traces"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Traces {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(COLUMN).await?;
        Ok(())
    }
}

/// `traceparent`, and after a space `tracestate`. Never searched, so without an index.
const COLUMN: &str = "ALTER TABLE events ADD COLUMN trace_context TEXT";
