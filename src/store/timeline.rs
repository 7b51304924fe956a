//! What happened to one event: its attempts and where it stands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::{attempt, event};
use sea_orm::prelude::Uuid;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, QueryTrait, Statement,
};

use super::dialect::placeholder;
use super::error::StoreError;
use super::events::trace_id;
use super::open::{Conn, Store};
use crate::domain::outcome::Status;

/// Attempts of one event that are read at most; replays have their own, so there is no other bound.
const ATTEMPTS_MAX: u64 = 1_000;

/// Changes by operators that are read at most, the latest ones: each may have a payload.
const CHANGES_MAX: u64 = 20;

/// The life of an event so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Its task.
    pub task_id: Uuid,
    /// Its state.
    pub status: Status,
    /// How often it was replayed.
    pub generation: i32,
    /// When the door took it.
    pub received_at: DateTime<Utc>,
    /// Every attempt that has ended, in their order.
    pub attempts: Vec<Attempt>,
    /// What operators did with it, the latest last.
    pub changes: Vec<OperatorChange>,
    /// When it is tried again.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When it was processed.
    pub processed_at: Option<DateTime<Utc>>,
    /// When it came to its final state.
    pub finished_at: Option<DateTime<Utc>>,
    /// How often it was sent again, if it was refused.
    pub repeats: Option<i64>,
    /// When it was last sent again.
    pub last_repeated_at: Option<DateTime<Utc>>,
    /// The id of the trace that it is part of.
    pub trace_id: Option<String>,
}

/// One attempt at an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which replay it belongs to.
    pub generation: i32,
    /// Counted from 1.
    pub attempt: i32,
    /// The state that it gave the event, or `failed` if it was tried again.
    pub outcome: Status,
    /// Absent when its node died.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, or was found to have ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Name of its node.
    pub node: Option<String>,
    /// The stage that failed.
    pub stage: Option<String>,
    /// The stable code of the failure.
    pub error_code: Option<String>,
    /// What happened.
    pub error: Option<String>,
}

/// What an operator did with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorChange {
    /// The generation that began with it, or was called off.
    pub generation: i32,
    /// `replayed` or `cancelled`.
    pub action: String,
    /// The operator.
    pub by: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The job that did it, if it was one.
    pub job_id: Option<i64>,
    /// Whether the payload was patched.
    pub is_patched: bool,
    /// The payload before that, as JSON text.
    pub payload_before: Option<String>,
}

/// The columns that the timeline needs: neither payload nor properties.
#[derive(FromQueryResult)]
struct Row {
    task_id: Uuid,
    status: String,
    generation: i32,
    attempts: i32,
    received_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    next_attempt_at: Option<DateTime<Utc>>,
    processed_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    node: Option<String>,
    error_code: Option<String>,
    processing_error: Option<String>,
    trace_context: Option<String>,
    repeats: Option<i64>,
    last_repeated_at: Option<DateTime<Utc>>,
}

impl Store {
    /// The timeline of the event `id`, if it exists and `visible_to` may see it (`None` sees everyone's).
    pub async fn timeline(
        &self,
        id: i64,
        visible_to: Option<i64>,
        wait: Duration,
    ) -> Result<Option<Timeline>, StoreError> {
        self.run("read a timeline", wait, move |conn| async move {
            // Before the row: an attempt that ends in between is missing here, and told by the row.
            let failed = failed_attempts(&conn, id).await?;
            let Some(row) = row(&conn, id, visible_to).await? else { return Ok(None) };
            let status = Status::parse(&row.status);
            let status = status.ok_or_else(|| DbErr::Type(format!("unknown event status {:?}", row.status)))?;
            Ok(Some(Timeline { changes: changes(&conn, id).await?, ..row.timeline(status, failed) }))
        })
        .await
    }
}

async fn row(conn: &Conn, id: i64, visible_to: Option<i64>) -> Result<Option<Row>, StoreError> {
    use event::Column;
    let mut query = event::Entity::find_by_id(id).select_only().columns([
        Column::TaskId,
        Column::Status,
        Column::Generation,
        Column::Attempts,
        Column::ReceivedAt,
        Column::StartedAt,
        Column::NextAttemptAt,
        Column::ProcessedAt,
        Column::FinishedAt,
        Column::Node,
        Column::ErrorCode,
        Column::ProcessingError,
        Column::TraceContext,
        Column::Repeats,
        Column::LastRepeatedAt,
    ]);
    if let Some(user_id) = visible_to {
        query = query.filter(Column::UserId.eq(user_id));
    }
    let found = conn.search_one(query.build(conn.backend())).await?;
    Ok(found.map(|row| Row::from_query_result(&row, "")).transpose()?)
}

async fn failed_attempts(conn: &Conn, id: i64) -> Result<Vec<Attempt>, DbErr> {
    use attempt::Column;
    let rows = attempt::Entity::find()
        .filter(Column::EventId.eq(id))
        .order_by_asc(Column::Generation)
        .order_by_asc(Column::Attempt)
        .order_by_asc(Column::EndedAt)
        .limit(ATTEMPTS_MAX);
    Ok(rows.all(conn.read()).await?.into_iter().map(Attempt::from).collect())
}

async fn changes(conn: &Conn, id: i64) -> Result<Vec<OperatorChange>, DbErr> {
    let backend = conn.backend();
    let json = if backend == DbBackend::Postgres { "::text" } else { "" };
    let sql = format!(
        "SELECT generation, action, by_user, at, job_id, patched, payload_before{json} FROM replays \
         WHERE event_id = {} ORDER BY at DESC, generation DESC LIMIT {CHANGES_MAX}",
        placeholder(backend, 1)
    );
    let rows = conn.read().query_all_raw(Statement::from_sql_and_values(backend, sql, [id.into()])).await?;
    let read = |row: &QueryResult| {
        Ok(OperatorChange {
            generation: row.try_get_by_index(0)?,
            action: row.try_get_by_index(1)?,
            by: row.try_get_by_index(2)?,
            at: row.try_get_by_index(3)?,
            job_id: row.try_get_by_index(4)?,
            is_patched: row.try_get_by_index(5)?,
            payload_before: row.try_get_by_index(6)?,
        })
    };
    rows.iter().rev().map(read).collect()
}

impl From<attempt::Model> for Attempt {
    fn from(row: attempt::Model) -> Self {
        Self {
            generation: row.generation,
            attempt: row.attempt,
            outcome: Status::Failed,
            started_at: row.started_at,
            ended_at: Some(row.ended_at),
            node: Some(row.node),
            stage: Some(row.stage),
            error_code: Some(row.error_code),
            error: Some(row.error),
        }
    }
}

impl Row {
    fn timeline(mut self, status: Status, failed: Vec<Attempt>) -> Timeline {
        let trace_id = trace_id(self.trace_context.take());
        let (task_id, generation, received_at) = (self.task_id, self.generation, self.received_at);
        let (next_attempt_at, processed_at, finished_at) = (self.next_attempt_at, self.processed_at, self.finished_at);
        let (repeats, last_repeated_at) = (self.repeats, self.last_repeated_at);
        let mut attempts = failed;
        attempts.extend(self.last_attempt(status, &attempts));
        Timeline {
            task_id,
            status,
            generation,
            received_at,
            attempts,
            changes: Vec::new(),
            next_attempt_at,
            processed_at,
            finished_at,
            repeats,
            last_repeated_at,
            trace_id,
        }
    }

    /// The attempt that finished the event: only failures that may pass have rows of their own.
    fn last_attempt(self, status: Status, failed: &[Attempt]) -> Option<Attempt> {
        let this = (self.generation, self.attempts);
        let is_told = self.attempts == 0 || failed.iter().any(|failed| (failed.generation, failed.attempt) == this);
        (status.is_final() && !is_told).then_some(Attempt {
            generation: self.generation,
            attempt: self.attempts,
            outcome: status,
            started_at: self.started_at,
            ended_at: self.finished_at,
            node: self.node,
            stage: None,
            error_code: self.error_code,
            error: self.processing_error,
        })
    }
}
