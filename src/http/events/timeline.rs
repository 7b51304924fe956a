//! What happened to one event, attempt by attempt.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::read::{event_id, viewer};
use crate::domain::outcome::Status;
use crate::domain::scopes::Scope;
use crate::domain::timestamp::render;
use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::http::request::{Call, json};
use crate::http::state::STORE_WAIT;
use crate::store::{Attempt, Timeline};

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
    #[schemars(extend("format" = "date-time"))]
    next_attempt_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    processed_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    finished_at: Option<String>,
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

/// `GET /api/v1/events/{id}/timeline`; whoever may not see the event is told that there is none.
pub async fn timeline(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let id = event_id(call.request.match_info().query("id"))?;
    let timeline = call.state.store.timeline(id, viewer(&caller), STORE_WAIT).await?;
    let timeline = timeline.ok_or_else(|| ApiError::new(Problem::NotFound, format!("there is no event {id}")))?;
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
            next_attempt_at: timeline.next_attempt_at.map(render),
            processed_at: timeline.processed_at.map(render),
            finished_at: timeline.finished_at.map(render),
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
