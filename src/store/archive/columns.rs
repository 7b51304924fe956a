//! Rows as lines of JSON: any row of a table that is archived, column by column, on both databases alike.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::ColumnType;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, IdenStatic, Iterable, QueryResult, Statement, Value,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::domain::timestamp;
use crate::store::dialect::placeholder;
use crate::store::reading;

/// A table whose rows are archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArchivedTable {
    /// Events.
    Events,
    /// Failed attempts.
    Attempts,
    /// Notes of replays.
    Replays,
    /// The audit log.
    Audit,
    /// Jobs.
    Jobs,
}

/// Whether rows are only read, or removed as they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Access {
    Read,
    Remove,
}

/// A column, and what it holds.
struct ArchivedColumn {
    name: String,
    holds: ColumnType,
}

/// A row as it stands in a file, without the columns that are null.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::store) struct ArchivedLine {
    pub table: ArchivedTable,
    pub row: BTreeMap<String, Box<RawValue>>,
}

impl ArchivedTable {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Attempts => "attempts",
            Self::Replays => "replays",
            Self::Audit => "audit",
            Self::Jobs => "jobs",
        }
    }

    fn columns(self) -> Vec<ArchivedColumn> {
        match self {
            // `processed` is made by the database from `status`.
            Self::Events => columns_of::<entity::event::Entity>(&["processed"]),
            Self::Attempts => columns_of::<entity::attempt::Entity>(&[]),
            Self::Replays => columns_of::<entity::replay::Entity>(&[]),
            Self::Audit => columns_of::<entity::audit::Entity>(&[]),
            Self::Jobs => columns_of::<entity::job::Entity>(&[]),
        }
    }

    /// The statement that reads or removes those of its rows that match.
    pub(super) fn statement(
        self,
        backend: DbBackend,
        access: Access,
        condition: &str,
        values: Vec<Value>,
    ) -> Statement {
        let name = self.name();
        let cells: Vec<String> = self.columns().iter().map(|column| column.cell(backend)).collect();
        let cells = cells.join(", ");
        let sql = match access {
            Access::Read => format!("SELECT {cells} FROM {name} WHERE {condition}"),
            Access::Remove => format!("DELETE FROM {name} WHERE {condition} RETURNING {cells}"),
        };
        Statement::from_sql_and_values(backend, sql, values)
    }

    /// A row of such a statement.
    pub(super) fn line(self, row: &QueryResult) -> Result<ArchivedLine, DbErr> {
        let mut cells = BTreeMap::new();
        for (at, column) in self.columns().into_iter().enumerate() {
            if let Some(cell) = read_cell(row, at, &column.holds)? {
                cells.insert(column.name, cell);
            }
        }
        Ok(ArchivedLine { table: self, row: cells })
    }
}

fn columns_of<E: EntityTrait>(without: &[&str]) -> Vec<ArchivedColumn> {
    let columns = E::Column::iter().filter(|column| !without.contains(&column.as_str()));
    columns
        .map(|column| ArchivedColumn {
            name: column.as_str().to_owned(),
            holds: column.def().get_column_type().clone(),
        })
        .collect()
}

impl ArchivedColumn {
    /// How its cells are read: whole numbers as the longest there are, JSON as text, or as a mark where it has none.
    fn cell(&self, backend: DbBackend) -> String {
        let Self { name, holds } = self;
        match holds {
            ColumnType::Json | ColumnType::JsonBinary if backend == DbBackend::Postgres => json_text(name),
            ColumnType::SmallInteger | ColumnType::Integer if backend == DbBackend::Postgres => {
                format!("CAST(\"{name}\" AS bigint)")
            }
            _ => format!("\"{name}\""),
        }
    }
}

/// JSON of PostgreSQL as text, whatever its length; one that cannot be written out does not end the statement.
pub(in crate::store) fn json_text(column: &str) -> String {
    format!("json_text(\"{column}\", {max}, {max}, interval '1 hour')", max = i32::MAX)
}

/// A cell as JSON; none if it is null.
fn read_cell(row: &QueryResult, at: usize, holds: &ColumnType) -> Result<Option<Box<RawValue>>, DbErr> {
    match holds {
        ColumnType::SmallInteger | ColumnType::Integer | ColumnType::BigInteger => {
            row.try_get_by_index::<Option<i64>>(at)?.map(raw).transpose()
        }
        ColumnType::Boolean => row.try_get_by_index::<Option<bool>>(at)?.map(raw).transpose(),
        ColumnType::Uuid => row.try_get_by_index::<Option<Uuid>>(at)?.map(raw).transpose(),
        ColumnType::TimestampWithTimeZone => {
            let time = reading::time(row, at).ok_or_else(|| DbErr::Type(format!("column {at} has no time")))?;
            time.map(timestamp::render).map(raw).transpose()
        }
        ColumnType::Json | ColumnType::JsonBinary => {
            row.try_get_by_index::<Option<String>>(at)?.map(one_line).map(parsed).transpose()
        }
        _ => row.try_get_by_index::<Option<String>>(at)?.map(raw).transpose(),
    }
}

/// JSON to the letter, but for line breaks between its parts: a row is one line.
fn one_line(json: String) -> String {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json }
}

fn parsed(json: String) -> Result<Box<RawValue>, DbErr> {
    RawValue::from_string(json).map_err(|error| DbErr::Json(error.to_string()))
}

fn raw(value: impl Serialize) -> Result<Box<RawValue>, DbErr> {
    to_raw_value(&value).map_err(|error| DbErr::Json(error.to_string()))
}

impl ArchivedLine {
    /// What a cell with a whole number says; none if it is null.
    pub fn number(&self, column: &str) -> Option<i64> {
        self.text_of(column)?.parse().ok()
    }

    /// What a cell with a text says; none if it is null.
    pub fn text(&self, column: &str) -> Option<String> {
        self.row.get(column).and_then(|cell| serde_json::from_str(cell.get()).ok())
    }

    /// A cell as it stands in the line; none if it is null.
    pub fn text_of(&self, column: &str) -> Option<&str> {
        self.row.get(column).map(|cell| cell.get())
    }

    /// The row as a line.
    pub fn render(&self) -> Result<String, DbErr> {
        serde_json::to_string(self).map_err(|error| DbErr::Json(error.to_string()))
    }

    /// Reads a line.
    pub fn parse(line: &str) -> Result<Self, DbErr> {
        serde_json::from_str(line).map_err(|error| DbErr::Json(error.to_string()))
    }

    /// Puts the row into its table; false if it is there already, or belongs to an event that is not.
    pub async fn insert(&self, connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
        let backend = connection.get_database_backend();
        let mut names = Vec::new();
        let mut places = Vec::new();
        let mut values = Vec::new();
        for column in self.table.columns() {
            let Some(cell) = self.row.get(&column.name) else { continue };
            names.push(format!("\"{}\"", column.name));
            values.push(written_cell(cell, &column.holds)?);
            let place = placeholder(backend, values.len());
            places.push(match column.holds {
                ColumnType::Json | ColumnType::JsonBinary if backend == DbBackend::Postgres => {
                    format!("CAST({place} AS jsonb)")
                }
                _ => place,
            });
        }
        let belongs = match self.table {
            ArchivedTable::Attempts | ArchivedTable::Replays => {
                let event_id = self.text_of("event_id").and_then(|id| id.parse::<i64>().ok()).unwrap_or_default();
                format!("EXISTS (SELECT 1 FROM events WHERE id = {event_id})")
            }
            _ => "TRUE".to_owned(),
        };
        let sql = format!(
            "INSERT INTO {} ({}) SELECT {} WHERE {belongs} ON CONFLICT DO NOTHING",
            self.table.name(),
            names.join(", "),
            places.join(", ")
        );
        let inserted = connection.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        Ok(inserted.rows_affected() > 0)
    }
}

fn written_cell(cell: &RawValue, holds: &ColumnType) -> Result<Value, DbErr> {
    fn parsed<T: DeserializeOwned + Into<Value>>(text: &str) -> Result<Value, DbErr> {
        serde_json::from_str::<T>(text).map(T::into).map_err(|error| DbErr::Json(error.to_string()))
    }
    let text = cell.get();
    match holds {
        ColumnType::SmallInteger | ColumnType::Integer | ColumnType::BigInteger => parsed::<i64>(text),
        ColumnType::Boolean => parsed::<bool>(text),
        ColumnType::Uuid => parsed::<Uuid>(text),
        ColumnType::TimestampWithTimeZone => parsed::<DateTime<Utc>>(text),
        ColumnType::Json | ColumnType::JsonBinary => Ok(text.into()),
        _ => parsed::<String>(text),
    }
}
