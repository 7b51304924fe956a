//! Reading events: one by its id, a page of a list.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement, Value};
use uuid::Uuid;

use super::dialect::placeholder;
use super::{Store, StoreError};
use crate::domain::outcome::Status;

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
    /// When it is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it happened, by the client's account.
    pub timestamp: Option<DateTime<Utc>>,
    /// When it was taken in.
    pub received_at: DateTime<Utc>,
    /// When it was processed.
    pub processed_at: Option<DateTime<Utc>>,
}

/// Which page of the list is wanted, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Only this user's events; `None` = everyone's.
    pub visible_to: Option<i64>,
    /// Only events before this one.
    pub before_id: Option<i64>,
    /// Most events of the page.
    pub limit: u64,
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
        let page = self.read_events("read an event", filter.statement(""), wait).await?;
        Ok(page.into_iter().next())
    }

    /// A page of events, the highest id first.
    pub async fn list_events(&self, query: &ListQuery, wait: Duration) -> Result<Vec<StoredEvent>, StoreError> {
        let mut filter = Filter::new(self.backend());
        if let Some(user_id) = query.visible_to {
            filter.and("user_id =", user_id.into());
        }
        if let Some(before_id) = query.before_id {
            filter.and("id <", before_id.into());
        }
        let order = format!("ORDER BY id DESC LIMIT {}", query.limit);
        self.read_events("list events", filter.statement(&order), wait).await
    }

    async fn read_events(
        &self,
        context: &'static str,
        statement: Statement,
        wait: Duration,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        self.run(context, wait, move |conn| async move {
            let rows = conn.read().query_all_raw(statement).await?;
            Ok(rows.iter().map(stored_event).collect::<Result<_, DbErr>>()?)
        })
        .await
    }
}

/// Conditions joined by AND, with their bound values.
struct Filter {
    backend: DbBackend,
    sql: String,
    values: Vec<Value>,
}

impl Filter {
    fn new(backend: DbBackend) -> Self {
        Self { backend, sql: "TRUE".to_owned(), values: Vec::new() }
    }

    fn and(&mut self, column_and_operator: &str, value: Value) {
        self.values.push(value);
        self.sql.push_str(&format!(" AND {column_and_operator} {}", placeholder(self.backend, self.values.len())));
    }

    fn statement(self, order: &str) -> Statement {
        let json = if self.backend == DbBackend::Postgres { "::text" } else { "" };
        let sql = format!(
            "SELECT id, task_id, user_id, event_name, event_type, event_uid, status, payload{json}, properties{json}, \
             processing_error, error_code, attempts, generation, duplicate_of, next_attempt_at, timestamp, received_at, \
             processed_at FROM events WHERE {} {order}",
            self.sql
        );
        Statement::from_sql_and_values(self.backend, sql, self.values)
    }
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
    })
}
