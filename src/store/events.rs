//! Reading events as they rest in the database.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, Statement, Value};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::dialect::placeholder;
use super::error::{Cause, Kind, Outcome};
use super::listing::Filters;
use super::reading::{self, Cells, Quickly, Read, Readable};
use super::{Store, StoreError};
use crate::domain::outcome::Status;
use crate::domain::trace::TraceContext;

/// An event as it rests in the database; its JSON as text, never built as a value.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The event's number.
    pub id: i64,
    /// Its task.
    pub task_id: Uuid,
    /// Its user.
    pub user_id: i64,
    /// Its name; `None` only if it was refused without one.
    pub event_name: Option<String>,
    /// Its type; `None` only if it was refused without one.
    pub event_type: Option<String>,
    /// The client's own key.
    pub event_uid: Option<String>,
    /// Its state.
    pub status: Status,
    /// The payload.
    pub payload: Option<Box<RawValue>>,
    /// The normalised properties.
    pub properties: Option<Box<RawValue>>,
    /// Why it was not processed.
    pub processing_error: Option<String>,
    /// The stable code of that reason.
    pub error_code: Option<String>,
    /// Attempts charged so far.
    pub attempts: i32,
    /// How often it was replayed.
    pub generation: i32,
    /// The event that it repeats.
    pub duplicate_of: Option<i64>,
    /// How often it was sent again, if it was refused.
    pub repeats: Option<i64>,
    /// When it was last sent again.
    pub last_repeated_at: Option<DateTime<Utc>>,
    /// When it is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it happened, by the client's account.
    pub timestamp: Option<DateTime<Utc>>,
    /// When it was taken in.
    pub received_at: DateTime<Utc>,
    /// When it was processed.
    pub processed_at: Option<DateTime<Utc>>,
    /// The id of the trace that it is part of.
    pub trace_id: Option<String>,
}

/// An event that is there and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableEvent {
    /// Its number.
    pub id: i64,
    /// What is wrong with it, for people.
    pub reason: String,
}

impl fmt::Display for UnreadableEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} cannot be read: {}", self.id, self.reason)
    }
}

impl From<UnreadableEvent> for StoreError {
    fn from(event: UnreadableEvent) -> Self {
        Self::new(Kind::Bug, Outcome::NotStored, Cause::Unreadable(event))
    }
}

impl Store {
    /// The event `id`, if it exists and `visible_to` may see it (`None` sees everyone's).
    pub async fn event(
        &self,
        id: i64,
        visible_to: Option<i64>,
        wait: Duration,
    ) -> Result<Option<StoredEvent>, StoreError> {
        let room = self.room_for(0);
        let visible = Filters { user_id: visible_to, ..Filters::default() };
        let wanted = visible.clone();
        let quickly = self.run("read an event", wait, move |conn| async move {
            reading::read_quickly::<StoredEvent>(&conn, id, &wanted, room).await
        });
        let read = match quickly.await? {
            Quickly::Done(read) => read,
            Quickly::TakesLong => {
                let read = self.run("read a large event", wait * reading::PATIENCE, move |conn| async move {
                    reading::read_one::<StoredEvent>(&conn, id, &visible, room).await
                });
                read.await?
            }
        };
        Ok(read.map(Read::readable).transpose()?)
    }
}

impl Readable for StoredEvent {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "task_id",
        "user_id",
        "event_name",
        "event_type",
        "event_uid",
        "status",
        "processing_error",
        "error_code",
        "attempts",
        "generation",
        "duplicate_of",
        "next_attempt_at",
        "timestamp",
        "received_at",
        "processed_at",
        "trace_context",
        "repeats",
        "last_repeated_at",
    ];
    const JSON: &'static [&'static str] = &["payload", "properties"];

    fn read(cells: &mut Cells<'_>) -> Self {
        Self {
            id: cells.get(),
            task_id: cells.get(),
            user_id: cells.get(),
            event_name: cells.get(),
            event_type: cells.get(),
            event_uid: cells.get(),
            status: cells.status(),
            processing_error: cells.get(),
            error_code: cells.get(),
            attempts: cells.get(),
            generation: cells.get(),
            duplicate_of: cells.get(),
            next_attempt_at: cells.time_or_none(),
            timestamp: cells.time_or_none(),
            received_at: cells.time(),
            processed_at: cells.time_or_none(),
            trace_id: trace_id(cells.get()),
            repeats: cells.get(),
            last_repeated_at: cells.time_or_none(),
            payload: cells.raw_json(),
            properties: cells.raw_json(),
        }
    }
}

/// Conditions joined by AND, with their bound values.
pub(super) struct Filter {
    backend: DbBackend,
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    pub fn new(backend: DbBackend) -> Self {
        Self { backend, sql: "TRUE".to_owned(), values: Vec::new() }
    }

    /// `condition` ends with the operator before the bound value.
    pub fn and(&mut self, condition: &str, value: Value) {
        let place = self.bind(value);
        self.and_sql(&format!("{condition} {place}"));
    }

    /// A condition whose values, if it has any, are bound already.
    pub fn and_sql(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    /// Binds a value and gives its placeholder.
    pub fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        placeholder(self.backend, self.values.len())
    }

    /// The conditions so far; what is added later stands apart from them.
    pub fn take_sql(&mut self) -> String {
        std::mem::replace(&mut self.sql, "TRUE".to_owned())
    }

    /// `select` from `table` under the conditions, then `rest`.
    pub fn select(self, select: &str, table: &str, rest: &str) -> Statement {
        let sql = format!("SELECT {select} FROM {table} WHERE {} {rest}", self.sql);
        Statement::from_sql_and_values(self.backend, sql, self.values)
    }
}

/// The id of the trace of a stored context.
pub(super) fn trace_id(context: Option<String>) -> Option<String> {
    context.and_then(|text| TraceContext::of_text(&text)).map(|trace| trace.trace_id_text())
}
