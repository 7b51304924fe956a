//! Refused events that were sent again.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

/// Adds their count to the row that is kept, and the repeats that were counted lately.
pub(crate) struct Repeats;

impl MigrationName for Repeats {
    fn name(&self) -> &str {
        "m20261130_000015_repeats"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Repeats {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let time = match manager.get_database_backend() {
            DbBackend::Postgres => "TIMESTAMPTZ",
            _ => "TEXT",
        };
        for sql in [
            "ALTER TABLE events ADD COLUMN repeats BIGINT".to_owned(),
            format!("ALTER TABLE events ADD COLUMN last_repeated_at {time}"),
            format!(
                "CREATE TABLE repeats (id BIGINT PRIMARY KEY NOT NULL, event_id BIGINT NOT NULL, repeated_at {time} NOT NULL)"
            ),
        ] {
            connection.execute_unprepared(&sql).await?;
        }
        allow_refusals(manager).await
    }
}

/// Keys of a third kind, those of refused events. SQLite cannot change a condition, so the table is made anew.
async fn allow_refusals(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let (backend, connection) = (manager.get_database_backend(), manager.get_connection());
    if backend == DbBackend::Postgres {
        let sql = "ALTER TABLE dedupe_keys DROP CONSTRAINT dedupe_keys_namespace_check, \
                   ADD CONSTRAINT dedupe_keys_namespace_check CHECK (namespace IN (0, 1, 2))";
        return connection.execute_unprepared(sql).await.map(drop);
    }
    let made = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'dedupe_keys'";
    let made = connection.query_one_raw(Statement::from_string(backend, made)).await?;
    let made: String =
        made.ok_or_else(|| DbErr::Migration("dedupe_keys is missing".to_owned()))?.try_get_by_index(0)?;
    for sql in [
        "ALTER TABLE dedupe_keys RENAME TO former_keys",
        &made.replace("namespace IN (0, 1)", "namespace IN (0, 1, 2)"),
        "INSERT INTO dedupe_keys SELECT * FROM former_keys",
        "DROP TABLE former_keys",
        "CREATE INDEX dedupe_keys_age ON dedupe_keys (created_at)",
    ] {
        connection.execute_unprepared(sql).await?;
    }
    Ok(())
}
