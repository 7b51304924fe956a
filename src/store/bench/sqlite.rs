//! The bare INSERT on SQLite.

use std::sync::Arc;

use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteRow};
use sea_orm::sqlx::{AssertSqlSafe, Connection, Row, query, query_scalar};

use super::{BareInsert, BareInsertPlan, ROWS_MAX};
use crate::store::error::StoreError;
use crate::store::options::StoreOptions;
use crate::store::sqlite;

/// A value of a row.
enum Cell {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// The rows that are inserted; the first column is the id.
struct Sample {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
    /// The distance between the ids of one pass and those of the next.
    span: i64,
}

pub(super) async fn insert(plan: BareInsertPlan<'_>, options: &StoreOptions) -> Result<BareInsert, StoreError> {
    let mut source = sqlite::connect(&sqlite::path(&options.url)?, options).await?;
    let sample = Sample::read(&mut source, plan.sample).await?;
    sqlite::create(plan.scratch)?;
    let mut scratch = sqlite::connect(plan.scratch, options).await?;
    let schema: Vec<String> = query_scalar(
        "SELECT sql FROM sqlite_master WHERE tbl_name = 'events' AND sql IS NOT NULL ORDER BY type = 'index'",
    )
    .fetch_all(&mut source)
    .await?;
    for sql in schema {
        query(AssertSqlSafe(sql)).execute(&mut scratch).await?;
    }
    let per_transaction = plan.per_transaction.clamp(1, sample.rows.len().max(1));
    let sql: Arc<str> = sample.insert_sql(per_transaction).into();
    let inserted = plan.repeat(sample.rows.len(), async |rows, pass| {
        let mut insert = query(AssertSqlSafe(Arc::clone(&sql)));
        for row in &sample.rows[rows] {
            for (place, cell) in row.iter().enumerate() {
                insert = match cell {
                    Cell::Integer(id) if place == 0 => insert.bind(id + pass * sample.span),
                    Cell::Integer(number) => insert.bind(*number),
                    Cell::Text(text) => insert.bind(text.as_str()),
                    Cell::Blob(bytes) => insert.bind(bytes.as_slice()),
                    Cell::Null => insert.bind(None::<i64>),
                };
            }
        }
        insert.execute(&mut scratch).await?;
        Ok(())
    });
    let inserted = inserted.await?;
    scratch.close().await?;
    source.close().await?;
    Ok(inserted)
}

impl Sample {
    /// The columns that the newest event has a value in.
    async fn read(source: &mut SqliteConnection, rows: usize) -> Result<Self, StoreError> {
        let known = "SELECT name FROM pragma_table_xinfo('events') WHERE hidden = 0 ORDER BY name <> 'id'";
        let known: Vec<String> = query_scalar(known).fetch_all(&mut *source).await?;
        let filled: Vec<String> = known.iter().map(|name| format!("\"{name}\" IS NOT NULL")).collect();
        let newest = format!("SELECT {} FROM events ORDER BY id DESC LIMIT 1", filled.join(", "));
        let Some(newest) = query(AssertSqlSafe(newest)).fetch_optional(&mut *source).await? else {
            return Ok(Self { columns: Vec::new(), rows: Vec::new(), span: 0 });
        };
        let is_filled = |place: usize| newest.try_get::<bool, _>(place).unwrap_or_default();
        let columns: Vec<String> =
            known.into_iter().enumerate().filter(|(place, _)| is_filled(*place)).map(|(_, name)| name).collect();
        let names = quoted(&columns);
        let types: Vec<String> = columns.iter().map(|name| format!("typeof(\"{name}\")")).collect();
        let sql = format!("SELECT {names}, {} FROM events ORDER BY id LIMIT {rows}", types.join(", "));
        let read = query(AssertSqlSafe(sql)).fetch_all(source).await?;
        let rows: Vec<Vec<Cell>> = read.iter().map(|row| cells(row, columns.len())).collect::<Result<_, _>>()?;
        let id = |row: Option<&Vec<Cell>>| match row.and_then(|row| row.first()) {
            Some(Cell::Integer(id)) => *id,
            _ => 0,
        };
        let span = id(rows.last()) - id(rows.first()) + 1;
        Ok(Self { columns, rows, span })
    }

    fn insert_sql(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns.len()].join(","));
        let mut sql = "BEGIN IMMEDIATE".to_owned();
        for first in (0..rows).step_by(ROWS_MAX) {
            let values = vec![row.as_str(); ROWS_MAX.min(rows - first)].join(",");
            sql.push_str(&format!("; INSERT INTO events ({}) VALUES {values}", quoted(&self.columns)));
        }
        sql + "; COMMIT"
    }
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// The values, behind which their types stand.
fn cells(row: &SqliteRow, columns: usize) -> Result<Vec<Cell>, StoreError> {
    let cell = |place: usize| {
        Ok(match row.try_get::<&str, _>(columns + place)? {
            "integer" => Cell::Integer(row.try_get_unchecked(place)?),
            "text" => Cell::Text(row.try_get_unchecked(place)?),
            "blob" => Cell::Blob(row.try_get_unchecked(place)?),
            _ => Cell::Null,
        })
    };
    (0..columns).map(cell).collect()
}
