//! Takes one event: reads it, hands it to the pipeline, and answers once it is durable, in the reference's words.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::batch;
use super::headers::{Preferences, conflict, idempotency_key};
use super::read::finished;
use super::submission::{declared, owner, read};
use crate::domain::dedupe::DedupeKey;
use crate::domain::outcome::Status;
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::domain::timestamp::render;
use crate::http::access::{Authorised, PostEvents};
use crate::http::body::{self, RequestBody};
use crate::http::error::ApiError;
use crate::http::media::{AcceptedMedia, Media};
use crate::http::respond::{header_value, json};
use crate::http::state::AppState;
use crate::http::trace::RequestTrace;
use crate::pipeline::{Entry, Receipt, Room, Verdict};
use crate::store::StoredEvent;

/// What one event may be sent as.
const EVENT_MEDIA: AcceptedMedia = AcceptedMedia {
    others: &[Media::CloudEvent, Media::CloudEvents],
    accept_post: "application/json, application/cloudevents+json, application/cloudevents-batch+json",
};

/// `durability` of what is committed.
const DATABASE: &str = "database";

/// `POST /api/v1/events`. Checked in this order: token, headers, body. Senders of CloudEvents know one address for all
/// modes, so a batch of them is taken as well.
pub async fn submit(
    state: Data<AppState>,
    Authorised { caller, .. }: Authorised<PostEvents>,
    request: HttpRequest,
    body: RequestBody,
) -> Result<HttpResponse, ApiError> {
    let headers = request.headers();
    let media = declared(headers, EVENT_MEDIA)?;
    if media == Some(Media::CloudEvents) {
        return batch::take_many(state, caller, request, body, media).await;
    }
    let trace = RequestTrace::of(&request);
    let preferences = Preferences::read(headers).of_one_event();
    let header_key = idempotency_key(headers)?;
    let mut room = body.room(&state.pipeline)?;
    let make_room = |bytes| Ok(room.grow(bytes)?);
    let body = body::read(headers, body, &state.body_limits, make_room).await?;
    let mut submission = read(headers, media, EVENT_MEDIA, &body)?;
    trace.take_in(&mut submission);
    drop(body);
    let user_id = owner(&submission, &caller)?;
    let key = DedupeKey::of(&submission, user_id, header_key.as_deref());
    match preferences.wait {
        None => {
            let is_keyed = key.is_some();
            let receipt = hand_in(&state, Entry { user_id, submission, key }, room).await?;
            Ok(enqueued(receipt, is_keyed))
        }
        Some(wait) => {
            let submitted = SubmittedFields {
                event_name: submission.event_name.clone().unwrap_or_default(),
                event_type: submission.event_type.clone().unwrap_or_default(),
                user_id,
            };
            let is_keyed = key.is_some();
            let receipt = hand_in(&state, Entry { user_id, submission, key }, room).await?;
            let answer = waited(&state, receipt, &submitted, wait, is_keyed).await?;
            Ok(preferences.applied_to(answer))
        }
    }
}

/// Hands in one event; what was not stored under an id of its own, or refused, is an error.
async fn hand_in(state: &AppState, entry: Entry, room: Room) -> Result<Receipt, ApiError> {
    let key = entry.key.as_ref().map(|key| (key.namespace, key.text.clone()));
    let receipt = state.pipeline.process_event(entry, room).await?;
    match receipt.verdict {
        Verdict::Rejected { rejection, kept, repeats } => Err(ApiError::rejected(rejection, kept).repeated(repeats)),
        Verdict::Conflict { of } => Err(conflict(key, of)),
        verdict => Ok(Receipt { verdict, ..receipt }),
    }
}

fn enqueued(receipt: Receipt, is_keyed: bool) -> HttpResponse {
    match receipt.verdict {
        Verdict::Duplicate { of, of_task_id, status, differs, .. } => duplicate(of, of_task_id, status, differs),
        Verdict::Spooled => spooled(receipt.event_id, receipt.task_id, is_keyed),
        _ => accepted(receipt.event_id, receipt.task_id),
    }
}

async fn waited(
    state: &AppState,
    receipt: Receipt,
    submitted: &SubmittedFields,
    wait: Duration,
    is_keyed: bool,
) -> Result<HttpResponse, ApiError> {
    let id = match &receipt.verdict {
        Verdict::Processed { processed_at } => {
            return Ok(success(receipt.event_id, submitted, *processed_at));
        }
        Verdict::Failed { error, code } => return Ok(failed(receipt.event_id, error, code)),
        Verdict::Duplicate { of, status: Status::Processed, processed_at: Some(processed_at), .. } => {
            return Ok(success(*of, submitted, *processed_at));
        }
        Verdict::Duplicate { of, .. } => *of,
        // Its end waits for the database, which may be away for long.
        Verdict::Spooled => return Ok(enqueued(receipt, is_keyed)),
        _ => receipt.event_id,
    };
    // The event is durable: that its end cannot be seen now is not an error.
    match finished(state, id, None, wait).await {
        Ok(Some(event)) if event.status.is_final() => outcome(&event),
        _ => Ok(enqueued(receipt, is_keyed)),
    }
}

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
    let mut text = Uuid::encode_buffer();
    let enqueued = Enqueued::of(event_id, task_id, &mut text);
    let event_status = Some(status.as_str());
    json(StatusCode::OK, &Enqueued { duplicate: true, event_status, differs, ..enqueued })
}

impl<'a> Enqueued<'a> {
    fn of(event_id: i64, task_id: Uuid, text: &'a mut [u8]) -> Self {
        Self {
            event_id,
            task_id: task_id.hyphenated().encode_lower(text),
            status: "enqueued",
            durability: DATABASE,
            duplicate: false,
            event_status: None,
            dedup: None,
            differs: Vec::new(),
        }
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
            let status = event.status.as_str();
            Ok(json(StatusCode::OK, &Other { status, event_id: event.id, duplicate_of: event.duplicate_of }))
        }
    }
}

/// What a row holds of a rejection: its code and its sentence, not where each flaw is.
fn stored_rejection(event: &StoredEvent, error: String) -> Rejection {
    let code = event.error_code.as_deref().and_then(RejectCode::parse).unwrap_or(RejectCode::InvalidField);
    Rejection::of(Flaw::new(code, "", error))
}
