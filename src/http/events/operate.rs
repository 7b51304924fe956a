//! What operators do with stored events: replay or cancel them.

use std::collections::HashSet;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::answers::{self, SubmittedFields};
use super::intake::of_receipt;
use super::read::{event_id, viewer};
use super::report::{ItemResult, Tally, report};
use super::{replay_request, spooled};
use crate::domain::outcome::Status;
use crate::domain::patch::Patch;
use crate::domain::scopes::Scope;
use crate::http::auth::Caller;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::fields::{self, Fields};
use crate::http::problems::Problem;
use crate::http::request::Call;
use crate::http::respond::json;
use crate::http::state::AppState;
use crate::pipeline::{Replayed, Verdict};
use crate::store::{EventSnapshot, Refusal, Replay};
use crate::telemetry::facts;

/// `POST /api/v1/events/process`: stored events, in one transaction, with the reference's report.
pub async fn process(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Operate, "processing stored events").await?;
    let (state, mut fields) = fields::read(call).await?;
    let event_ids = fields.required("event_ids", Fields::wholes);
    let is_forced = if fields.has("force") { fields.flag("force") } else { Some(false) };
    let (event_ids, is_forced) = fields.finish(event_ids.zip(is_forced))?;
    let max = state.limits.batch_events;
    match event_ids.len() {
        0 => return Err(ApiError::new(Problem::BatchEmpty, format!("event_ids is empty, expected 1 to {max}"))),
        ids if ids > max => {
            return Err(ApiError::new(Problem::BatchTooLarge, format!("event_ids has {ids} ids, limit {max}")));
        }
        _ => {}
    }
    let distinct: HashSet<i64> = event_ids.iter().copied().collect();
    let mut replayed = replay(&state, &caller, distinct.into_iter().collect(), is_forced, None).await?;
    let results: Vec<ItemResult> =
        (0..).zip(&event_ids).map(|(index, id)| result_of(index, *id, &mut replayed)).collect();
    Ok(report(&results, Tally::OF_STORED, false))
}

/// `POST /api/v1/events/{id}/retry`: one event that has not been processed, with a patch of its payload if the body has
/// one; the answer is the reference's return value.
pub async fn retry(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Operate, "replaying events").await?;
    let id = event_id(call.request.match_info().query("id"))?;
    let (state, mut fields) = fields::read_if_any(call).await?;
    fields.refuse_unknown(&["patch"]);
    let patch = replay_request::patch(&mut fields, &state.payload_limits);
    let patch = fields.finish(Some(patch))?;
    let mut replayed = replay(&state, &caller, vec![id], false, patch).await?;
    let Some(seen) = replayed.seen.remove(&id) else {
        return Err(spooled::missing(&state, id, viewer(&caller)).await);
    };
    match replayed.refused.remove(&id) {
        Some(Refusal::Invalid(rejection)) => return Err(ApiError::invalid_fields(rejection)),
        Some(Refusal::Unreadable(event)) => return Err(event.into()),
        Some(Refusal::KeyHeld { of }) => return Err(ApiError::conflict(of, key_held(id, of))),
        None => {}
    }
    let Some(receipt) = replayed.receipts.remove(&id) else {
        if replayed.at_work.contains(&id) || seen.status == Status::Pending {
            let detail = format!("event {id} is at work, its outcome is still to come");
            return Err(ApiError::new(Problem::InProgress, detail));
        }
        let detail = format!("event {id} is {}, there is nothing to retry", seen.status.as_str());
        return Err(ApiError::new(Problem::NotReplayable, detail));
    };
    match receipt.verdict {
        Verdict::Processed { processed_at } => Ok(answers::success(id, &submitted(seen), processed_at)),
        Verdict::Failed { error, code } => Ok(answers::failed(id, &error, code)),
        Verdict::Rejected { rejection, .. } => Err(ApiError::rejected(rejection, Some(id))),
        _ => Ok(answers::accepted(id, receipt.task_id)),
    }
}

/// The event is cancelled.
#[derive(JsonSchema, Serialize)]
pub struct Cancelled {
    status: &'static str,
    event_id: i64,
}

/// `POST /api/v1/events/{id}/cancel`: one event that waits for its next attempt, or is at work.
pub async fn cancel(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Operate, "cancelling events").await?;
    let id = event_id(call.request.match_info().query("id"))?;
    let (store, visible_to) = (&call.state.store, viewer(&caller));
    if store.cancel(id, visible_to, &call.state.principal(&caller), STORE_WAIT).await? {
        facts::cancelled();
    } else {
        let mut seen = store.fetch_event_with_user(vec![id], visible_to, STORE_WAIT).await?;
        match seen.remove(&id).map(|seen| seen.status) {
            None => return Err(spooled::missing(&call.state, id, visible_to).await),
            Some(Status::Cancelled) => {}
            Some(status) => {
                let detail = format!("event {id} is {}, only a pending one can be cancelled", status.as_str());
                return Err(ApiError::new(Problem::NotReplayable, detail));
            }
        }
    }
    Ok(json(StatusCode::OK, &Cancelled { status: Status::Cancelled.as_str(), event_id: id }))
}

fn key_held(id: i64, of: i64) -> String {
    format!("the event_uid of event {id} belongs to event {of}, nothing was changed")
}

async fn replay(
    state: &AppState,
    caller: &Caller,
    ids: Vec<i64>,
    is_forced: bool,
    patch: Option<Patch>,
) -> Result<Replayed, ApiError> {
    if state.is_draining() {
        return Err(ApiError::new(Problem::Draining, "the server is stopping, nothing was changed"));
    }
    let mut room = state.pipeline.room();
    room.cover(ids.len())?;
    let replay = Replay { ids, visible_to: viewer(caller), is_forced, patch, by: state.principal(caller) };
    Ok(state.pipeline.process_stored(replay, room).await?)
}

fn submitted(seen: EventSnapshot) -> SubmittedFields {
    SubmittedFields {
        event_name: seen.event_name.unwrap_or_default(),
        event_type: seen.event_type.unwrap_or_default(),
        user_id: seen.user_id,
    }
}

/// The result of the event `id`; one that is named twice has it twice.
fn result_of(index: u64, id: i64, replayed: &mut Replayed) -> ItemResult {
    let Some(seen) = replayed.seen.get(&id) else {
        let error = format!("there is no event {id}");
        return ItemResult::new(index, "not_found").stored_as(id).because("not_found", error);
    };
    let result = match replayed.receipts.get(&id) {
        Some(receipt) => of_receipt(index, receipt.clone(), None),
        None if replayed.at_work.contains(&id) => ItemResult::new(index, "enqueued").stored_as(id),
        None if replayed.refused.contains_key(&id) => refused(index, id, &replayed.refused[&id]),
        None => as_it_stood(index, seen),
    };
    result.named(seen.event_name.clone(), seen.user_id)
}

fn refused(index: u64, id: i64, refusal: &Refusal) -> ItemResult {
    let error = match refusal {
        Refusal::Invalid(rejection) => rejection.error.clone(),
        Refusal::Unreadable(event) => event.to_string(),
        Refusal::KeyHeld { of } => key_held(id, *of),
    };
    ItemResult::new(index, "failed").stored_as(id).because(refusal.code(), error)
}

/// An event that was left as it is: processed already, a duplicate, or held by another node.
fn as_it_stood(index: u64, seen: &EventSnapshot) -> ItemResult {
    let result = |status| ItemResult::new(index, status).stored_as(seen.id);
    match seen.status {
        Status::Pending => result("enqueued"),
        Status::Processed => seen.processed_at.into_iter().fold(result("processed"), ItemResult::processed_at),
        Status::Duplicate => ItemResult::new(index, "duplicate").stored_as(seen.duplicate_of.unwrap_or(seen.id)),
        // Another operator was faster.
        Status::Failed | Status::ValidationError | Status::Cancelled => result("enqueued"),
    }
}
