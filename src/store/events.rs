//! Reading events as they are in the database.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::filters::Filters;
use super::reading::{self, Cells, QuickRead, ReadEvent, Readable};
use super::{Store, StoreError};
use crate::domain::normalize::original_of;
use crate::domain::outcome::Status;
use crate::domain::trace::TraceContext;

/// An event as it is in the database; its JSON as text, never built as a value.
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
    /// The payload; read from the properties, once these hold it.
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
            QuickRead::Done(read) => read,
            QuickRead::TakesLong => {
                let read = self.run("read a large event", wait * reading::PATIENCE, move |conn| async move {
                    reading::read_one::<StoredEvent>(&conn, id, &visible, room).await
                });
                read.await?
            }
        };
        Ok(read.map(ReadEvent::readable).transpose()?)
    }
}

/// What is read of every event, in columns of their own.
pub(super) struct EventHead {
    pub id: i64,
    pub task_id: Uuid,
    pub user_id: i64,
    pub event_name: Option<String>,
    pub event_type: Option<String>,
    pub event_uid: Option<String>,
}

impl EventHead {
    /// The columns.
    pub const COLUMNS: [&'static str; 6] = ["id", "task_id", "user_id", "event_name", "event_type", "event_uid"];

    /// Reads the cells in the order of the columns.
    pub fn read(cells: &mut Cells<'_>) -> Self {
        Self {
            id: cells.get(),
            task_id: cells.get(),
            user_id: cells.get(),
            event_name: cells.get(),
            event_type: cells.get(),
            event_uid: cells.get(),
        }
    }
}

impl Readable for StoredEvent {
    const COLUMNS: &'static [&'static [&'static str]] = &[
        &EventHead::COLUMNS,
        &[
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
        ],
    ];
    const JSON: &'static [&'static str] = &["payload", "properties"];

    fn read(cells: &mut Cells<'_>) -> Self {
        let EventHead { id, task_id, user_id, event_name, event_type, event_uid } = EventHead::read(cells);
        let mut event = Self {
            id,
            task_id,
            user_id,
            event_name,
            event_type,
            event_uid,
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
        };
        if let (None, Some(properties)) = (&event.payload, &event.properties) {
            event.payload = original_of(properties.get()).ok().flatten();
            cells.hold(event.payload.as_ref().map_or(0, |payload| payload.get().len()));
        }
        event
    }
}

/// The id of the trace of a stored context.
pub(super) fn trace_id(context: Option<String>) -> Option<String> {
    context.and_then(|text| TraceContext::of_text(&text)).map(|trace| trace.trace_id_text())
}
