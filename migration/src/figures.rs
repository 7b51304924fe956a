//! The figures of flushes as columns, so that statistics are sums and need not open any JSON.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Adds the figures and fills them in.
pub(crate) struct Figures;

impl MigrationName for Figures {
    fn name(&self) -> &str {
        "m20261124_000003_figures"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Figures {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (backend, connection) = (manager.get_database_backend(), manager.get_connection());
        for table in ["flushes", "flush_minutes"] {
            for column in STATES.iter().chain(OTHERS) {
                let sql = format!("ALTER TABLE {table} ADD COLUMN {column} BIGINT NOT NULL DEFAULT 0");
                connection.execute_unprepared(&sql).await?;
            }
            connection.execute_unprepared(&fill_in(table, backend)).await?;
            connection.execute_unprepared(&format!("UPDATE {table} SET received = {FINAL}")).await?;
        }
        connection.execute_unprepared(STILL_PENDING).await?;
        Ok(())
    }
}

const STATES: &[&str] = &["processed", "duplicate", "validation_error", "failed", "cancelled", "pending"];
const OTHERS: &[&str] = &["received", "worked_us"];
const FINAL: &str = "processed + duplicate + validation_error + failed + cancelled";

/// What was received and is not finished: nothing told so far in which flush it came.
const STILL_PENDING: &str = "INSERT INTO flush_minutes (minute, node, counts, flushes, events, received) \
     SELECT '1970-01-01T00:00:00+00:00', '', '{}', 0, 0, COUNT(*) FROM events WHERE status = 'pending' \
     HAVING COUNT(*) > 0";

fn fill_in(table: &str, backend: DbBackend) -> String {
    let set = |state: &&str| match backend {
        DbBackend::Postgres => {
            format!("{state} = COALESCE((SELECT SUM(value::bigint) FROM jsonb_each_text(counts -> '{state}')), 0)")
        }
        _ => format!("{state} = COALESCE((SELECT SUM(value) FROM json_each(counts, '$.{state}')), 0)"),
    };
    format!("UPDATE {table} SET {}", STATES.iter().map(set).collect::<Vec<_>>().join(", "))
}
