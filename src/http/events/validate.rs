//! `POST /api/v1/events/validate`: what would become of an event, a batch or lines, with nothing stored.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use schemars::JsonSchema;
use serde::Serialize;

use super::batch::{self, BATCH_MEDIA};
use super::bulk::{self, Purpose, Sender, Settled};
use super::intake::{Intake, TakenEvents};
use super::lines;
use super::report::{Tally, report};
use super::submission::{declared, owner, read};
use crate::domain::batch::is_batch;
use crate::domain::event::validate as check;
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::http::access::{Authorised, ValidateEvents};
use crate::http::body::{self, RequestBody};
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::media::Media;
use crate::http::respond::json;
use crate::http::state::AppState;
use crate::http::trace::RequestTrace;
use crate::pipeline::{Entry, Room};

/// To say what would become of them.
const JUDGING: Purpose =
    Purpose { settle: |state, taken, room| Box::pin(judge_piece(state, taken, room)), tally: Tally::OF_JUDGED };

/// The event would be taken.
#[derive(JsonSchema, Serialize)]
pub struct Valid {
    status: &'static str,
}

/// `POST /api/v1/events/validate`: an event, a batch or lines, in each of their forms.
pub async fn validate(
    state: Data<AppState>,
    Authorised { caller, .. }: Authorised<ValidateEvents>,
    request: HttpRequest,
    body: RequestBody,
) -> Result<HttpResponse, ApiError> {
    let headers = request.headers();
    let media = declared(headers, BATCH_MEDIA)?;
    let limits = state.body_limits.with_bytes_max(state.limits.batch_bytes);
    let opened = lines::open(&state, &request, media, &limits, false).await?;
    if opened.is_lines {
        let sender = Sender { caller, key: None, trace: RequestTrace::default() };
        return bulk::take_lines(state, headers, opened.body, sender, JUDGING).await;
    }
    let mut room = body.room(&state.pipeline)?;
    let body = body::read_unpacked(opened.body, &limits, |bytes| Ok(room.grow(bytes)?)).await?;
    let is_many = match media {
        None | Some(Media::CloudEvent) => false,
        Some(Media::CloudEvents) => true,
        Some(_) => is_batch(&body),
    };
    if is_many {
        let intake = Intake::new(&caller, None, 0);
        let taken = batch::take(intake, headers, media, &body, state.limits.batch_events)?;
        let Settled { results, stop } = judge_piece(state.into_inner(), taken, room).await;
        return stop.map_or_else(|| Ok(report(&results, Tally::OF_JUDGED, false)), Err);
    }
    let submission = read(headers, media, BATCH_MEDIA, &body)?;
    let user_id = owner(&submission, &caller)?;
    let entry = Entry { user_id, submission, key: None };
    let users = unknown_users(&state, std::slice::from_ref(&entry)).await?;
    judge(&state, &entry, &users).map_err(|rejection| ApiError::rejected(rejection, None))?;
    Ok(json(StatusCode::OK, &Valid { status: "valid" }))
}

async fn judge_piece(state: Arc<AppState>, taken: TakenEvents, _room: Room) -> Settled {
    match unknown_users(&state, taken.entries()).await {
        Ok(users) => Settled { results: taken.judged(|entry| judge(&state, entry, &users).err()), stop: None },
        Err(error) => Settled { results: taken.unsettled(&error), stop: Some(error) },
    }
}

/// Users of events that cannot have any, each with the reason; one query, however many they are.
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
