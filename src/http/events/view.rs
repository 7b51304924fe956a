//! Stored events as answers show them, and what happened to one, attempt by attempt.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::outcome::Status;
use crate::domain::timestamp::render;
use crate::store::{Attempt, OperatorChange, StoredEvent, Timeline, UnreadableEvent};

/// A stored event.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Event")]
pub struct EventView<'a> {
    id: i64,
    task_id: String,
    event_name: Option<&'a str>,
    event_type: Option<&'a str>,
    user_id: i64,
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    status: &'static str,
    processed: bool,
    #[schemars(extend("format" = "date-time"))]
    processed_at: Option<String>,
    processing_error: Option<&'a str>,
    error_code: Option<&'a str>,
    attempts: i32,
    #[schemars(extend("format" = "date-time"))]
    next_attempt_at: Option<String>,
    /// An object; anything of an event that was refused for it.
    payload: Option<&'a RawValue>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    properties: Option<&'a RawValue>,
    event_uid: Option<&'a str>,
    #[schemars(extend("format" = "date-time"))]
    timestamp: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    received_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<i64>,
    /// How often a refused event was sent again; nothing more was stored of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    last_repeated_at: Option<String>,
    /// W3C Trace Context: the trace that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

impl<'a> EventView<'a> {
    /// The view of `event`.
    pub fn of(event: &'a StoredEvent) -> Self {
        Self {
            id: event.id,
            task_id: event.task_id.to_string(),
            event_name: event.event_name.as_deref(),
            event_type: event.event_type.as_deref(),
            user_id: event.user_id,
            status: event.status.as_str(),
            processed: event.status == Status::Processed,
            processed_at: event.processed_at.map(render),
            processing_error: event.processing_error.as_deref(),
            error_code: event.error_code.as_deref(),
            attempts: event.attempts,
            next_attempt_at: event.next_attempt_at.map(render),
            payload: event.payload.as_deref(),
            properties: event.properties.as_deref(),
            event_uid: event.event_uid.as_deref(),
            timestamp: event.timestamp.map(render),
            received_at: render(event.received_at),
            duplicate_of: event.duplicate_of,
            repeats: event.repeats,
            last_repeated_at: event.last_repeated_at.map(render),
            trace_id: event.trace_id.as_deref(),
        }
    }
}

/// An event that is there and cannot be read, in a list of those that can.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "UnreadableEvent")]
pub struct UnreadableView<'a> {
    id: i64,
    /// What is wrong with it.
    detail: &'a str,
}

impl<'a> UnreadableView<'a> {
    /// The view of `event`.
    pub fn of(event: &'a UnreadableEvent) -> Self {
        Self { id: event.id, detail: &event.reason }
    }
}

/// Bytes that the event takes in an answer, without its small fields.
pub fn bytes_of(event: &StoredEvent) -> usize {
    [&event.payload, &event.properties].into_iter().flatten().map(|json| json.get().len()).sum()
}

/// What happened to an event.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Timeline")]
pub struct TimelineView {
    id: i64,
    task_id: String,
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    status: &'static str,
    generation: i32,
    #[schemars(extend("format" = "date-time"))]
    received_at: String,
    attempts: Vec<AttemptView>,
    changes: Vec<ChangeView>,
    #[schemars(extend("format" = "date-time"))]
    next_attempt_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    processed_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    finished_at: Option<String>,
    /// How often a refused event was sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    last_repeated_at: Option<String>,
    /// W3C Trace Context: the trace that it is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

/// One attempt to process an event.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Attempt")]
struct AttemptView {
    generation: i32,
    attempt: i32,
    outcome: &'static str,
    #[schemars(extend("format" = "date-time"))]
    started_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    ended_at: Option<String>,
    node: Option<String>,
    stage: Option<String>,
    error_code: Option<String>,
    error: Option<String>,
}

/// What an operator did with an event.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Change")]
struct ChangeView {
    generation: i32,
    action: String,
    by: i64,
    #[schemars(extend("format" = "date-time"))]
    at: String,
    job_id: Option<i64>,
    patched: bool,
    payload_before: Option<Box<RawValue>>,
    /// What is wrong with `payload_before`, if it is there and cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

impl TimelineView {
    /// The form of the event `id` and its `timeline`.
    pub fn of(id: i64, timeline: Timeline) -> Self {
        Self {
            id,
            task_id: timeline.task_id.to_string(),
            status: timeline.status.as_str(),
            generation: timeline.generation,
            received_at: render(timeline.received_at),
            attempts: timeline.attempts.into_iter().map(AttemptView::of).collect(),
            changes: timeline.changes.into_iter().map(ChangeView::of).collect(),
            next_attempt_at: timeline.next_attempt_at.map(render),
            processed_at: timeline.processed_at.map(render),
            finished_at: timeline.finished_at.map(render),
            repeats: timeline.repeats,
            last_repeated_at: timeline.last_repeated_at.map(render),
            trace_id: timeline.trace_id,
        }
    }
}

impl ChangeView {
    fn of(change: OperatorChange) -> Self {
        Self {
            generation: change.generation,
            action: change.action,
            by: change.by,
            at: render(change.at),
            job_id: change.job_id,
            patched: change.is_patched,
            payload_before: change.payload_before,
            unreadable: change.flaw,
        }
    }
}

impl AttemptView {
    fn of(attempt: Attempt) -> Self {
        Self {
            generation: attempt.generation,
            attempt: attempt.attempt,
            outcome: attempt.outcome.as_str(),
            started_at: attempt.started_at.map(render),
            ended_at: attempt.ended_at.map(render),
            node: attempt.node,
            stage: attempt.stage,
            error_code: attempt.error_code,
            error: attempt.error,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;

    fn stored() -> StoredEvent {
        let time = DateTime::from_timestamp(1_766_053_800, 123_456_000).expect("a valid time");
        StoredEvent {
            id: 7,
            task_id: Uuid::nil(),
            user_id: 3,
            event_name: Some("page_view".to_owned()),
            event_type: None,
            event_uid: None,
            status: Status::Processed,
            payload: RawValue::from_string(r#"{"b" : 1.10,"a":9007199254740993}"#.to_owned()).ok(),
            properties: None,
            processing_error: None,
            error_code: None,
            attempts: 1,
            generation: 0,
            duplicate_of: None,
            repeats: None,
            last_repeated_at: None,
            next_attempt_at: None,
            timestamp: None,
            received_at: time,
            processed_at: Some(time),
            trace_id: None,
        }
    }

    #[test]
    fn an_event_is_shown_with_its_payload_as_stored() {
        let text = serde_json::to_string(&EventView::of(&stored())).expect("serialisable");
        assert_eq!(
            text,
            concat!(
                r#"{"id":7,"task_id":"00000000-0000-0000-0000-000000000000","event_name":"page_view","#,
                r#""event_type":null,"user_id":3,"status":"processed","processed":true,"#,
                r#""processed_at":"2025-12-18T10:30:00.123456Z","processing_error":null,"error_code":null,"#,
                r#""attempts":1,"next_attempt_at":null,"payload":{"b" : 1.10,"a":9007199254740993},"#,
                r#""properties":null,"event_uid":null,"timestamp":null,"received_at":"2025-12-18T10:30:00.123456Z"}"#,
            )
        );
        assert_eq!(bytes_of(&stored()), 33);
        let traced = StoredEvent { trace_id: Some("4bf9".to_owned()), ..stored() };
        let text = serde_json::to_string(&EventView::of(&traced)).expect("serialisable");
        assert!(text.ends_with(r#","trace_id":"4bf9"}"#), "{text}");
    }
}
