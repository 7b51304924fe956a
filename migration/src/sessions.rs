//! Sessions of the dashboard: tokens that end with another one, on both databases.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::ConnectionTrait;

/// Adds the link from a session to the token that opened it.
pub(crate) struct Sessions;

impl MigrationName for Sessions {
    fn name(&self) -> &str {
        "m20261129_000009_sessions"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Sessions {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in STATEMENTS {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

/// The index holds sessions only.
const STATEMENTS: &[&str] = &[
    "ALTER TABLE api_tokens ADD COLUMN parent_id BIGINT REFERENCES api_tokens (id)",
    "CREATE INDEX api_tokens_parent ON api_tokens (parent_id) WHERE parent_id IS NOT NULL",
];
