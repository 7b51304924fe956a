//! The few fragments of hand-written SQL in which the databases differ, and the database's time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};

use super::error::StoreError;

/// The database's present time. On PostgreSQL it is the statement's, which an index condition may use.
pub fn now_sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "statement_timestamp()",
        // Same shape as a bound time: offset written out, so that texts compare as times do.
        _ => "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')",
    }
}

/// The database's present time, read.
pub(super) async fn present(connection: &impl ConnectionTrait) -> Result<DateTime<Utc>, StoreError> {
    let backend = connection.get_database_backend();
    let statement = Statement::from_string(backend, format!("SELECT {}", now_sql(backend)));
    let row = connection.query_one_raw(statement).await?;
    Ok(row.ok_or_else(|| StoreError::setup("the database returned no time"))?.try_get_by_index(0)?)
}

/// The same in a statement of the builder.
pub(super) fn now(connection: &impl ConnectionTrait) -> Expr {
    Expr::cust(now_sql(connection.get_database_backend()))
}

/// The database's present time plus a bound number of microseconds (bigint), to the millisecond on SQLite.
pub fn now_plus_micros_sql(backend: DbBackend, placeholder: &str) -> String {
    match backend {
        DbBackend::Postgres => {
            format!("(statement_timestamp() + CAST({placeholder} AS bigint) * interval '1 microsecond')")
        }
        _ => format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', printf('%+.6f seconds', {placeholder} / 1000000.0))"),
    }
}

/// The number to bind for a time that lies `span` before the database's present.
pub fn micros_ago(span: Duration) -> Value {
    (-i64::try_from(span.as_micros()).unwrap_or(i64::MAX)).into()
}

/// The placeholder of the `n`th bound value, from 1.
pub fn placeholder(backend: DbBackend, n: usize) -> String {
    match backend {
        DbBackend::Postgres => format!("${n}"),
        _ => format!("?{n}"),
    }
}

/// Ids for an SQL list. Written out, so that PostgreSQL looks at the partitions that they are in, and at no other.
pub(super) fn list(ids: &[i64]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The sum of a column as a bigint: on PostgreSQL that of bigints is numeric, and over nothing it is null.
pub fn sum(what: &str) -> String {
    format!("CAST(COALESCE(SUM({what}), 0) AS BIGINT)")
}

/// The payload of an event, whose properties hold it once it is processed.
pub fn payload_sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "COALESCE(payload, NULLIF(properties -> 'original', 'null'))",
        _ => "COALESCE(payload, CASE WHEN json_valid(properties) THEN NULLIF(properties -> 'original', 'null') END)",
    }
}

/// The stored size of a column of JSON in bytes, without reading it; null if it is null.
pub fn stored_bytes_sql(backend: DbBackend, column: &str) -> String {
    match backend {
        DbBackend::Postgres => format!("pg_column_size({column})"),
        _ => format!("octet_length({column})"),
    }
}

/// A count one higher, where there is a higher one: the statement must not fail for one row of many.
pub fn one_more(column: &str) -> String {
    format!("CASE WHEN {column} < {most} THEN {column} + 1 ELSE {column} END", most = i32::MAX)
}
