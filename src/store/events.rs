//! Reading events as they rest in the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{DbBackend, DbErr, QueryResult, Statement, Value};
use uuid::Uuid;

use super::dialect::placeholder;
use super::open::Conn;
use super::{Store, StoreError};
use crate::domain::outcome::Status;
use crate::domain::trace::TraceContext;

/// An event as it rests in the database; its JSON as text, never built as a value.
#[derive(Clone, Debug, PartialEq)]
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
    /// The payload, as JSON text.
    pub payload: Option<String>,
    /// The normalised properties, as JSON text.
    pub properties: Option<String>,
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

impl Store {
    /// The event `id`, if it exists and `visible_to` may see it (`None` sees everyone's).
    pub async fn event(
        &self,
        id: i64,
        visible_to: Option<i64>,
        wait: Duration,
    ) -> Result<Option<StoredEvent>, StoreError> {
        let mut filter = Filter::new(self.backend());
        filter.and("id =", id.into());
        if let Some(user_id) = visible_to {
            filter.and("user_id =", user_id.into());
        }
        let statement = filter.statement();
        self.run("read an event", wait, |conn| async move { Ok(read_events(&conn, statement).await?.pop()) }).await
    }
}

/// The events that a [`Filter`]'s statement selects.
pub(super) async fn read_events(conn: &Conn, statement: Statement) -> Result<Vec<StoredEvent>, StoreError> {
    Ok(conn.search(statement).await?.iter().map(stored_event).collect::<Result<_, _>>()?)
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

    /// Selects whole events.
    pub fn statement(self) -> Statement {
        let json = if self.backend == DbBackend::Postgres { "::text" } else { "" };
        let sql = format!(
            "SELECT id, task_id, user_id, event_name, event_type, event_uid, status, payload{json}, properties{json}, \
             processing_error, error_code, attempts, generation, duplicate_of, next_attempt_at, timestamp, received_at, \
             processed_at, trace_context, repeats, last_repeated_at FROM events WHERE {}",
            self.sql
        );
        Statement::from_sql_and_values(self.backend, sql, self.values)
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

fn stored_event(row: &QueryResult) -> Result<StoredEvent, DbErr> {
    let status: String = row.try_get_by_index(6)?;
    Ok(StoredEvent {
        id: row.try_get_by_index(0)?,
        task_id: row.try_get_by_index(1)?,
        user_id: row.try_get_by_index(2)?,
        event_name: row.try_get_by_index(3)?,
        event_type: row.try_get_by_index(4)?,
        event_uid: row.try_get_by_index(5)?,
        status: Status::parse(&status).ok_or_else(|| DbErr::Type(format!("unknown event status {status:?}")))?,
        payload: row.try_get_by_index(7)?,
        properties: row.try_get_by_index(8)?,
        processing_error: row.try_get_by_index(9)?,
        error_code: row.try_get_by_index(10)?,
        attempts: row.try_get_by_index(11)?,
        generation: row.try_get_by_index(12)?,
        duplicate_of: row.try_get_by_index(13)?,
        next_attempt_at: row.try_get_by_index(14)?,
        timestamp: row.try_get_by_index(15)?,
        received_at: row.try_get_by_index(16)?,
        processed_at: row.try_get_by_index(17)?,
        trace_id: trace_id(row.try_get_by_index(18)?),
        repeats: row.try_get_by_index(19)?,
        last_repeated_at: row.try_get_by_index(20)?,
    })
}
