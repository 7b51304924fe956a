//! JSON as text on PostgreSQL, for statements that read many rows: one that cannot be written out must not end them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Makes the function.
pub(crate) struct JsonText;

impl MigrationName for JsonText {
    fn name(&self) -> &str {
        "m20261130_000016_json_text"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for JsonText {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            manager.get_connection().execute_unprepared(FUNCTION).await?;
        }
        Ok(())
    }
}

/// Instead of the text it gives a mark that begins with `!`, which no JSON does: the value takes more than `stored_max`
/// bytes as it is stored, or the statement has lasted longer than `patience` (`!late`); its text is longer than
/// `bytes_max` (`!bytes`); it cannot be written out (`!error`).
const FUNCTION: &str = "CREATE FUNCTION json_text(value jsonb, stored_max integer, bytes_max integer, patience interval) \
     RETURNS text LANGUAGE plpgsql AS $$ \
     DECLARE body text; \
     BEGIN \
       IF pg_column_size(value) > stored_max OR clock_timestamp() > statement_timestamp() + patience THEN \
         RETURN '!late'; \
       END IF; \
       body := value::text; \
       IF octet_length(body) > bytes_max THEN RETURN '!bytes ' || octet_length(body); END IF; \
       RETURN body; \
     EXCEPTION WHEN OTHERS THEN RETURN '!error ' || SQLSTATE; \
     END $$";
