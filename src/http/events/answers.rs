//! What a posted event is answered with: the reference's words, and the mapping from verdicts to them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::outcome::Status;
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::domain::timestamp::render;
use crate::http::error::ApiError;
use crate::http::respond::{header_value, json};
use crate::store::StoredEvent;

/// `durability` of what is committed.
const DATABASE: &str = "database";

/// The event is stored.
#[derive(JsonSchema, Serialize)]
pub struct Enqueued<'a> {
    event_id: i64,
    task_id: &'a str,
    status: &'static str,
    #[schemars(extend("enum" = ["database", "spool"]))]
    durability: &'static str,
    duplicate: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    event_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup: Option<&'static str>,
    /// Attributes in which a CloudEvent differs from the one that it repeats.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    differs: Vec<&'static str>,
}

/// 202: the event is stored and will be, or already is, processed.
pub fn accepted(event_id: i64, task_id: Uuid) -> HttpResponse {
    accepted_as(event_id, task_id, DATABASE, None)
}

/// 202: the event is synced on this node's disk; whether its key was used before is found out when the database is
/// back.
pub fn spooled(event_id: i64, task_id: Uuid, is_keyed: bool) -> HttpResponse {
    accepted_as(event_id, task_id, "spool", is_keyed.then_some("deferred"))
}

fn accepted_as(event_id: i64, task_id: Uuid, durability: &'static str, dedup: Option<&'static str>) -> HttpResponse {
    let mut text = Uuid::encode_buffer();
    let enqueued = Enqueued { durability, dedup, ..Enqueued::of(event_id, task_id, &mut text) };
    let mut response = json(StatusCode::ACCEPTED, &enqueued);
    response.headers_mut().insert(LOCATION, header_value(format!("/api/v1/events/{event_id}")));
    response
}

/// 200: the same event was stored before, as `event_id`, and stands at `status`; in `differs` it was sent otherwise.
pub fn duplicate(event_id: i64, task_id: Uuid, status: Status, differs: Vec<&'static str>) -> HttpResponse {
    let (mut text, event_status) = (Uuid::encode_buffer(), Some(status.as_str()));
    let enqueued = Enqueued::of(event_id, task_id, &mut text);
    json(StatusCode::OK, &Enqueued { duplicate: true, event_status, differs, ..enqueued })
}

impl<'a> Enqueued<'a> {
    fn of(event_id: i64, task_id: Uuid, text: &'a mut [u8]) -> Self {
        let (task_id, status, duplicate) = (&*task_id.hyphenated().encode_lower(text), "enqueued", false);
        let (event_status, dedup, differs) = (None, None, Vec::new());
        Self { event_id, task_id, status, durability: DATABASE, duplicate, event_status, dedup, differs }
    }
}

/// The event was processed.
#[derive(JsonSchema, Serialize)]
pub struct Success<'a> {
    status: &'static str,
    event_id: i64,
    event_name: &'a str,
    event_type: &'a str,
    user_id: i64,
    #[schemars(extend("format" = "date-time"))]
    processed_at: String,
}

/// What a processed event's answer repeats of what was submitted.
pub struct SubmittedFields {
    /// The event's name.
    pub event_name: String,
    /// The event's type.
    pub event_type: String,
    /// The event's user.
    pub user_id: i64,
}

/// 200: the reference's return value of an event that was processed.
pub fn success(event_id: i64, submitted: &SubmittedFields, processed_at: DateTime<Utc>) -> HttpResponse {
    let SubmittedFields { event_name, event_type, user_id } = submitted;
    let processed_at = render(processed_at);
    json(
        StatusCode::OK,
        &Success { status: "success", event_id, event_name, event_type, user_id: *user_id, processed_at },
    )
}

/// The event was given up.
#[derive(JsonSchema, Serialize)]
pub struct Failed<'a> {
    status: &'static str,
    event_id: i64,
    error: &'a str,
    retries_exhausted: bool,
}

/// 200: the reference's return value of an event that was given up, for a reason with this code.
pub fn failed(event_id: i64, error: &str, code: &str) -> HttpResponse {
    let retries_exhausted = matches!(code, "retries_exhausted" | "poison");
    json(StatusCode::OK, &Failed { status: "failed", event_id, error, retries_exhausted })
}

/// The event ended otherwise.
#[derive(JsonSchema, Serialize)]
pub struct Other {
    status: &'static str,
    event_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate_of: Option<i64>,
}

/// The return value of an event that was finished after its acceptance; 202 if it is not finished.
pub fn outcome(event: &StoredEvent) -> Result<HttpResponse, ApiError> {
    let error = || event.processing_error.clone().unwrap_or_default();
    match event.status {
        Status::Pending => Ok(accepted(event.id, event.task_id)),
        Status::Processed => {
            let submitted = SubmittedFields {
                event_name: event.event_name.clone().unwrap_or_default(),
                event_type: event.event_type.clone().unwrap_or_default(),
                user_id: event.user_id,
            };
            Ok(success(event.id, &submitted, event.processed_at.unwrap_or(event.received_at)))
        }
        Status::Failed => Ok(failed(event.id, &error(), event.error_code.as_deref().unwrap_or_default())),
        Status::ValidationError => Err(ApiError::rejected(stored_rejection(event, error()), Some(event.id))),
        Status::Duplicate | Status::Cancelled => {
            let (status, duplicate_of) = (event.status.as_str(), event.duplicate_of);
            Ok(json(StatusCode::OK, &Other { status, event_id: event.id, duplicate_of }))
        }
    }
}

/// What a row holds of a rejection: its code and its sentence, not where each flaw is.
fn stored_rejection(event: &StoredEvent, error: String) -> Rejection {
    let code = event.error_code.as_deref().and_then(RejectCode::parse).unwrap_or(RejectCode::InvalidField);
    Rejection::of(Flaw::new(code, "", error))
}
