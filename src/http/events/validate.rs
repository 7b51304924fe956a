//! `POST /api/v1/events/validate`: what would become of an event or a batch, with nothing stored.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::batch::BATCH_MEDIA;
use super::intake::Intake;
use super::report::ItemResult;
use super::submit::owner;
use crate::domain::batch::{is_batch, read_batch};
use crate::domain::event::validate as check;
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::domain::scopes::Scope;
use crate::domain::submission::Submission;
use crate::http::body;
use crate::http::error::ApiError;
use crate::http::media::{JSON_ONLY, Media};
use crate::http::request::{Call, json};
use crate::http::state::{AppState, STORE_WAIT};
use crate::pipeline::Entry;

/// The event would be taken.
#[derive(JsonSchema, Serialize)]
pub struct Valid {
    status: &'static str,
}

/// What would become of each event of a batch.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ValidationReport")]
pub struct Report {
    status: &'static str,
    total_events: usize,
    valid: usize,
    failed: usize,
    results: Vec<ItemResult>,
}

/// `POST /api/v1/events/validate`: an event, or a batch in one of its JSON forms.
pub async fn validate(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Write, "validating events").await?;
    let media = Media::declared(call.headers(), JSON_ONLY)?;
    let mut room = call.state.pipeline.room();
    let limits = call.state.body_limits.with_bytes_max(call.state.limits.batch_bytes);
    let make_room = |bytes| Ok(room.grow(bytes)?);
    let body = body::read(call.request.headers(), call.payload, &limits, make_room).await?;
    media.check(&body, BATCH_MEDIA)?;
    if is_batch(&body) {
        let mut intake = Intake::new(&caller, None, 0);
        for text in read_batch(&body, call.state.limits.batch_events)? {
            intake.take(&body, text);
        }
        let taken = intake.finish();
        let users = unknown_users(&call.state, taken.entries()).await?;
        let results = taken.judged(|entry| judge(&call.state, entry, &users).err());
        return Ok(report(results));
    }
    let submission = Submission::read(&body)?;
    let user_id = owner(&submission, &caller)?;
    let entry = Entry { user_id, submission, key: None };
    let users = unknown_users(&call.state, std::slice::from_ref(&entry)).await?;
    judge(&call.state, &entry, &users).map_err(|rejection| ApiError::rejected(rejection, None))?;
    Ok(json(StatusCode::OK, &Valid { status: "valid" }))
}

/// Users of events that cannot have any, each with the reason; one question, however many they are.
async fn unknown_users(state: &AppState, entries: &[Entry]) -> Result<Vec<(i64, RejectCode)>, ApiError> {
    let mut ids: Vec<i64> = entries.iter().map(|entry| entry.user_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = state.store.users_by_ids(&ids, STORE_WAIT).await?;
    let reason = |id: i64| match known.iter().find(|user| user.id == id) {
        None => Some((id, RejectCode::UserUnknown)),
        Some(user) => user.disabled.then_some((id, RejectCode::UserDisabled)),
    };
    Ok(ids.into_iter().filter_map(reason).collect())
}

/// The Validator's checks in its order: the user, the payload, the fields.
fn judge(state: &AppState, entry: &Entry, users: &[(i64, RejectCode)]) -> Result<(), Rejection> {
    let user_id = entry.user_id;
    match users.iter().find(|(id, _)| *id == user_id) {
        Some((_, RejectCode::UserDisabled)) => {
            Err(Rejection::of(Flaw::new(RejectCode::UserDisabled, "/user_id", format!("user {user_id} is disabled"))))
        }
        Some((_, code)) => Err(Rejection::of(Flaw::new(*code, "/user_id", format!("user {user_id} does not exist")))),
        None => check(&entry.submission, &state.payload_limits),
    }
}

fn report(results: Vec<ItemResult>) -> HttpResponse {
    let valid = results.iter().filter(|result| result.is_success()).count();
    let (total_events, failed) = (results.len(), results.len() - valid);
    let (status, code) = match (valid, failed) {
        (_, 0) => ("success", StatusCode::OK),
        (0, _) => ("failed", StatusCode::UNPROCESSABLE_ENTITY),
        _ => ("partial", StatusCode::MULTI_STATUS),
    };
    json(code, &Report { status, total_events, valid, failed, results })
}
