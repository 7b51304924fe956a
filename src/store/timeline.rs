//! What happened to one event: its attempts and its state.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};
use serde_json::value::RawValue;

use super::dialect::placeholder;
use super::error::{StoreError, UnreadableEvent};
use super::events::trace_id;
use super::filters::{Filter, Filters, name};
use super::open::{Conn, Store};
use super::reading::{self, Cells, ReadBudget};
use crate::domain::outcome::Status;

/// Most attempts of one event that are read; replays have their own, so there is no other bound.
const ATTEMPTS_MAX: u64 = 1_000;

/// Most changes by operators that are read, the latest ones: each may have a payload.
const CHANGES_MAX: usize = 20;

/// Bytes of those payloads together.
const CHANGES_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// The life of an event so far.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Its task.
    pub task_id: Uuid,
    /// Its state.
    pub status: Status,
    /// How often it was replayed.
    pub generation: i32,
    /// When it was accepted.
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
#[derive(Clone, Debug)]
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
    /// The payload before that.
    pub payload_before: Option<Box<RawValue>>,
    /// What is wrong, if that cannot be read.
    pub flaw: Option<String>,
}

/// The columns that the timeline needs: neither payload nor properties.
const COLUMNS: &[&str] = &[
    "task_id",
    "status",
    "generation",
    "attempts",
    "received_at",
    "started_at",
    "next_attempt_at",
    "processed_at",
    "finished_at",
    "node",
    "error_code",
    "processing_error",
    "trace_context",
    "repeats",
    "last_repeated_at",
];

impl Store {
    /// The timeline of the event `id`, if it exists and `visible_to` may see it (`None` sees everyone's).
    pub async fn timeline(
        &self,
        id: i64,
        visible_to: Option<i64>,
        wait: Duration,
    ) -> Result<Option<Timeline>, StoreError> {
        let room = self.room_for(CHANGES_BYTES_MAX);
        self.run("read a timeline", wait * reading::PATIENCE, move |conn| async move {
            // Before the row: an attempt that ends in between is missing here, and is found in the row.
            let failed = failed_attempts(&conn, id).await?;
            let Some(timeline) = timeline(&conn, id, visible_to, failed).await? else { return Ok(None) };
            Ok(Some(Timeline { changes: changes(&conn, id, room).await?, ..timeline }))
        })
        .await
    }
}

async fn timeline(
    conn: &Conn,
    id: i64,
    visible_to: Option<i64>,
    failed: Vec<Attempt>,
) -> Result<Option<Timeline>, StoreError> {
    let mut filter = Filter::new(conn.backend());
    name(&mut filter, &[id], &Filters { user_id: visible_to, ..Filters::default() });
    let row = conn.search_one(filter.select(&COLUMNS.join(", "), "events", "")).await?;
    let Some(row) = row else { return Ok(None) };
    let mut cells = Cells::named(&row, COLUMNS);
    let row = EventRow::read(&mut cells);
    match cells.flaw() {
        None => Ok(Some(row.timeline(failed))),
        Some(reason) => Err(UnreadableEvent { id, reason }.into()),
    }
}

async fn failed_attempts(conn: &Conn, id: i64) -> Result<Vec<Attempt>, DbErr> {
    let backend = conn.backend();
    let sql = format!(
        "SELECT generation, attempt, started_at, ended_at, node, stage, error_code, error FROM attempts \
         WHERE event_id = {} ORDER BY generation, attempt, ended_at LIMIT {ATTEMPTS_MAX}",
        placeholder(backend, 1)
    );
    let rows = conn.read().query_all_raw(Statement::from_sql_and_values(backend, sql, [id.into()])).await?;
    Ok(rows.iter().map(failed_attempt).collect())
}

/// What cannot be read of an attempt is empty.
fn failed_attempt(row: &QueryResult) -> Attempt {
    let mut cells = Cells::plain(row);
    Attempt {
        generation: cells.get(),
        attempt: cells.get(),
        outcome: Status::Failed,
        started_at: cells.time_or_none(),
        ended_at: cells.time_or_none(),
        node: cells.get(),
        stage: cells.get(),
        error_code: cells.get(),
        error: cells.get(),
    }
}

async fn changes(conn: &Conn, id: i64, room: ReadBudget) -> Result<Vec<OperatorChange>, DbErr> {
    let backend = conn.backend();
    let sql = format!(
        "SELECT generation, action, by_user, at, job_id, patched, {} FROM replays \
         WHERE event_id = {} ORDER BY at DESC, generation DESC LIMIT {CHANGES_MAX}",
        room.of_some(CHANGES_MAX).json_sql(backend, "payload_before"),
        placeholder(backend, 1)
    );
    let rows = conn.read().query_all_raw(Statement::from_sql_and_values(backend, sql, [id.into()])).await?;
    let read = |row: &QueryResult| {
        let mut cells = Cells::named(row, &["", "", "", "", "", "", "payload_before"]);
        let change = OperatorChange {
            generation: cells.get(),
            action: cells.get(),
            by: cells.get(),
            at: cells.time(),
            job_id: cells.get(),
            is_patched: cells.get(),
            payload_before: cells.raw_json(),
            flaw: None,
        };
        OperatorChange { flaw: cells.flaw(), ..change }
    };
    Ok(rows.iter().rev().map(read).collect())
}

/// The event's row.
struct EventRow {
    task_id: Uuid,
    status: Status,
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

impl EventRow {
    /// Reads the cells of [`COLUMNS`].
    fn read(cells: &mut Cells<'_>) -> Self {
        Self {
            task_id: cells.get(),
            status: cells.status(),
            generation: cells.get(),
            attempts: cells.get(),
            received_at: cells.time(),
            started_at: cells.time_or_none(),
            next_attempt_at: cells.time_or_none(),
            processed_at: cells.time_or_none(),
            finished_at: cells.time_or_none(),
            node: cells.get(),
            error_code: cells.get(),
            processing_error: cells.get(),
            trace_context: cells.get(),
            repeats: cells.get(),
            last_repeated_at: cells.time_or_none(),
        }
    }

    fn timeline(mut self, failed: Vec<Attempt>) -> Timeline {
        let trace_id = trace_id(self.trace_context.take());
        let task_id = self.task_id;
        let status = self.status;
        let generation = self.generation;
        let received_at = self.received_at;
        let next_attempt_at = self.next_attempt_at;
        let processed_at = self.processed_at;
        let finished_at = self.finished_at;
        let repeats = self.repeats;
        let last_repeated_at = self.last_repeated_at;
        let mut attempts = failed;
        attempts.extend(self.last_attempt(&attempts));
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
    fn last_attempt(self, failed: &[Attempt]) -> Option<Attempt> {
        let this = (self.generation, self.attempts);
        let is_stored = self.attempts == 0 || failed.iter().any(|failed| (failed.generation, failed.attempt) == this);
        (self.status.is_final() && !is_stored).then_some(Attempt {
            generation: self.generation,
            attempt: self.attempts,
            outcome: self.status,
            started_at: self.started_at,
            ended_at: self.finished_at,
            node: self.node,
            stage: None,
            error_code: self.error_code,
            error: self.processing_error,
        })
    }
}
