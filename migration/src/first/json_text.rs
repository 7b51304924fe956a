//! JSON as text on PostgreSQL, for statements that read many rows: one that cannot be written out must not end them.

use sea_orm_migration::sea_orm::DbBackend;

pub(super) fn statements(backend: DbBackend) -> &'static [&'static str] {
    if backend == DbBackend::Postgres { &[FUNCTION] } else { &[] }
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
