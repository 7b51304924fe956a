//! The bare INSERT on PostgreSQL, and databases that are made for a run.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::sqlx::postgres::{PgConnection, PgRow};
use sea_orm::sqlx::{AssertSqlSafe, Connection, Row, query, query_as, query_scalar};
use uuid::Uuid;

use super::{BareInsert, BareInsertPlan};
use crate::store::error::StoreError;
use crate::store::options::StoreOptions;
use crate::store::postgres;

/// A connection to a server on which a database is made for a run.
#[derive(Debug)]
pub struct ScratchServer {
    connection: PgConnection,
}

impl ScratchServer {
    /// Connects to the database of `options`, in which nothing is changed.
    pub async fn connect(options: &StoreOptions) -> Result<Self, StoreError> {
        Ok(Self { connection: postgres::connect(options).await? })
    }

    /// Makes a database.
    pub async fn make(&mut self, name: &str) -> Result<(), StoreError> {
        let made = query(AssertSqlSafe(format!("CREATE DATABASE \"{name}\""))).execute(&mut self.connection).await;
        made.map(drop).map_err(|error| StoreError::from(error).in_context("make a database for the run"))
    }

    /// Drops it, whoever is connected to it.
    pub async fn drop(&mut self, name: &str) -> Result<(), StoreError> {
        let sql = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
        let dropped = query(AssertSqlSafe(sql)).execute(&mut self.connection).await;
        dropped.map(drop).map_err(|error| StoreError::from(error).in_context("drop the run's database"))
    }

    /// The process at the other end of this connection, and the database that it serves.
    pub async fn backend(&mut self) -> Result<(i32, String), StoreError> {
        Ok(query_as("SELECT pg_backend_pid(), current_database()::text").fetch_one(&mut self.connection).await?)
    }

    /// The url of another database of the same server.
    pub fn url_of(url: &str, name: &str) -> String {
        let (address, parameters) = url.split_once('?').map_or((url, None), |(address, rest)| (address, Some(rest)));
        let host = address.find("://").map_or(0, |at| at + 3);
        let path = address[host..].find('/').map_or(address.len(), |at| host + at);
        let parameters = parameters.map(|parameters| format!("?{parameters}")).unwrap_or_default();
        format!("{}/{name}{parameters}", &address[..path])
    }
}

/// The values of a column, as they are passed.
enum Values {
    Bigint(Vec<i64>),
    Integer(Vec<i32>),
    Time(Vec<DateTime<Utc>>),
    Uuid(Vec<Uuid>),
    /// Every other type, cast to it.
    Text(Vec<String>),
}

/// A column that has values.
struct Column {
    name: String,
    sql_type: String,
    values: Values,
}

pub(super) async fn insert(plan: BareInsertPlan<'_>, options: &StoreOptions) -> Result<BareInsert, StoreError> {
    let mut connection = postgres::connect(options).await?;
    copy_table(&mut connection).await?;
    let columns = read_columns(&mut connection, plan.sample).await?;
    let ids = columns.iter().find(|column| column.name == "id").map(|column| &column.values);
    let Some(Values::Bigint(ids)) = ids else {
        return Err(StoreError::setup("the events have no id"));
    };
    let span = ids.first().zip(ids.last()).map_or(0, |(first, last)| last - first + 1);
    let sql: Arc<str> = insert_sql(&columns).into();
    let inserted = plan.repeat(ids.len(), async |rows, pass| {
        let mut insert = query(AssertSqlSafe(Arc::clone(&sql)));
        for column in &columns {
            insert = match &column.values {
                Values::Bigint(ids) if column.name == "id" => {
                    insert.bind(ids[rows.clone()].iter().map(|id| id + pass * span).collect::<Vec<_>>())
                }
                Values::Bigint(values) => insert.bind(&values[rows.clone()]),
                Values::Integer(values) => insert.bind(&values[rows.clone()]),
                Values::Time(values) => insert.bind(&values[rows.clone()]),
                Values::Uuid(values) => insert.bind(&values[rows.clone()]),
                Values::Text(values) => insert.bind(&values[rows.clone()]),
            };
        }
        insert.execute(&mut connection).await?;
        Ok(())
    });
    let inserted = inserted.await?;
    connection.close().await?;
    Ok(inserted)
}

/// The same table with the same partitions in a schema of its own.
async fn copy_table(connection: &mut PgConnection) -> Result<(), StoreError> {
    let partitions = "SELECT relname::text, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits \
                      JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'public.events'::regclass";
    let partitions: Vec<(String, String)> = query_as(partitions).fetch_all(&mut *connection).await?;
    let by = if partitions.is_empty() { "" } else { "PARTITION BY RANGE (id)" };
    let mut statements = vec![
        "CREATE SCHEMA bare".to_owned(),
        format!("CREATE TABLE bare.events (LIKE public.events INCLUDING ALL) {by}"),
    ];
    statements.extend(
        partitions.iter().map(|(name, bound)| format!("CREATE TABLE bare.\"{name}\" PARTITION OF bare.events {bound}")),
    );
    for sql in statements {
        query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The oldest events, by columns: those that the newest one has a value in.
async fn read_columns(connection: &mut PgConnection, rows: usize) -> Result<Vec<Column>, StoreError> {
    let known = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
                 WHERE attrelid = 'public.events'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''";
    let known: Vec<(String, String)> = query_as(known).fetch_all(&mut *connection).await?;
    let mut columns = Vec::new();
    for (name, sql_type) in known {
        let filled = format!("SELECT \"{name}\" IS NOT NULL FROM public.events ORDER BY id DESC LIMIT 1");
        let is_filled: Option<bool> = query_scalar(AssertSqlSafe(filled)).fetch_optional(&mut *connection).await?;
        if is_filled != Some(true) {
            continue;
        }
        let is_passed = matches!(sql_type.as_str(), "bigint" | "integer" | "timestamp with time zone" | "uuid");
        let value = if is_passed { format!("\"{name}\"") } else { format!("COALESCE(\"{name}\"::text, '')") };
        let sql = format!("SELECT {value} FROM public.events ORDER BY id LIMIT {rows}");
        let read = query(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
        let values = Values::of(&sql_type, &read)?;
        columns.push(Column { name, sql_type, values });
    }
    Ok(columns)
}

impl Values {
    fn of(sql_type: &str, rows: &[PgRow]) -> Result<Self, StoreError> {
        Ok(match sql_type {
            "bigint" => Self::Bigint(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?),
            "integer" => Self::Integer(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?),
            "timestamp with time zone" => Self::Time(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?),
            "uuid" => Self::Uuid(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?),
            _ => Self::Text(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?),
        })
    }
}

/// Rows as one array per column, the fastest way for rows of JSON.
fn insert_sql(columns: &[Column]) -> String {
    let all = |text: &dyn Fn(usize, &Column) -> String| {
        columns.iter().enumerate().map(|(place, column)| text(place, column)).collect::<Vec<_>>().join(", ")
    };
    let names = all(&|_, column| format!("\"{}\"", column.name));
    let values = all(&|place, Column { sql_type, values, .. }| match values {
        Values::Text(_) => format!("NULLIF(c{place}, '')::{sql_type}"),
        _ => format!("c{place}"),
    });
    let arrays = all(&|place, Column { sql_type, values, .. }| match values {
        Values::Text(_) => format!("${}::text[]", place + 1),
        _ => format!("${}::{sql_type}[]", place + 1),
    });
    let aliases = all(&|place, _| format!("c{place}"));
    format!("INSERT INTO bare.events ({names}) SELECT {values} FROM unnest({arrays}) AS t({aliases})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server_has_the_same_address_and_parameters() {
        for (url, expected) in [
            ("postgres://u:p@h:1/db", "postgres://u:p@h:1/x"),
            ("postgres://u@h?sslmode=disable", "postgres://u@h/x?sslmode=disable"),
            ("postgresql:///db?host=/run/a&port=6432", "postgresql:///x?host=/run/a&port=6432"),
        ] {
            assert_eq!(ScratchServer::url_of(url, "x"), expected);
        }
    }
}
