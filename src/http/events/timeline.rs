//! What happened to one event, attempt by attempt.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::read::{event_id, viewer};
use super::spooled;
use crate::domain::outcome::Status;
use crate::domain::scopes::Scope;
use crate::domain::timestamp::render;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::request::Call;
use crate::http::respond::json;
use crate::store::{Attempt, OperatorChange, Timeline};

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

/// `GET /api/v1/events/{id}/timeline`; 404 for an event that the caller may not see.
pub async fn timeline(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let id = event_id(call.request.match_info().query("id"))?;
    let Some(timeline) = call.state.store.timeline(id, viewer(&caller), STORE_WAIT).await? else {
        return Err(spooled::missing(&call.state, id, viewer(&caller)).await);
    };
    Ok(json(StatusCode::OK, &TimelineView::of(id, timeline)))
}

impl TimelineView {
    fn of(id: i64, timeline: Timeline) -> Self {
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
