//! What operators do with stored events: replay or cancel them, one by one, or by a job all that match a filter.

use std::collections::HashSet;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::web::Data;
use schemars::JsonSchema;
use serde::Serialize;

use super::filters::{filters_in_body, flaw};
use super::intake::of_receipt;
use super::read::{missing, viewer};
use super::report::{ItemResult, Tally, report};
use super::submit::{self, SubmittedFields};
use crate::domain::outcome::Status;
use crate::domain::patch::Patch;
use crate::domain::payload::PayloadLimits;
use crate::http::access::{Authorised, CancelEvents, ProcessEvents, ReplayEvents};
use crate::http::accounts::not_changed;
use crate::http::bounds::STORE_WAIT;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::fields::{Fields, OptionalFields};
use crate::http::jobs::{JobView, PATH};
use crate::http::path::EventId;
use crate::http::problems::Problem;
use crate::http::respond::{header_value, json};
use crate::http::state::AppState;
use crate::pipeline::{Replayed, Verdict};
use crate::store::{EventSnapshot, JobKind, NewJob, Refusal, Replay};
use crate::telemetry::{audit, facts};

/// Pieces of the table that a dry run looks at, of 2,000 rows each.
const PIECES_MAX: usize = 50;

/// `POST /api/v1/events/process`: stored events, in one transaction, with the reference's report.
pub async fn process(
    state: Data<AppState>,
    Authorised { caller, rest: mut fields, .. }: Authorised<ProcessEvents, Fields>,
) -> Result<HttpResponse, ApiError> {
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
pub async fn retry(
    state: Data<AppState>,
    Authorised { caller, rest, .. }: Authorised<ReplayEvents, (EventId, OptionalFields)>,
) -> Result<HttpResponse, ApiError> {
    let (EventId(id), OptionalFields(mut fields)) = rest;
    fields.refuse_unknown(&["patch"]);
    let patch = patch(&mut fields, &state.payload_limits);
    let patch = fields.finish(Some(patch))?;
    let mut replayed = replay(&state, &caller, vec![id], false, patch).await?;
    let Some(seen) = replayed.seen.remove(&id) else {
        return Err(missing(&state, id, viewer(&caller)).await);
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
        Verdict::Processed { processed_at } => Ok(submit::success(id, &submitted(seen), processed_at)),
        Verdict::Failed { error, code } => Ok(submit::failed(id, &error, code)),
        Verdict::Rejected { rejection, .. } => Err(ApiError::rejected(rejection, Some(id))),
        _ => Ok(submit::accepted(id, receipt.task_id)),
    }
}

/// The event is cancelled.
#[derive(JsonSchema, Serialize)]
pub struct Cancelled {
    status: &'static str,
    event_id: i64,
}

/// `POST /api/v1/events/{id}/cancel`: one event that waits for its next attempt, or is at work.
pub async fn cancel(
    state: Data<AppState>,
    Authorised { caller, rest: EventId(id), .. }: Authorised<CancelEvents, EventId>,
) -> Result<HttpResponse, ApiError> {
    let store = &state.store;
    let visible_to = viewer(&caller);
    if store.cancel(id, visible_to, &state.principal(&caller), STORE_WAIT).await? {
        facts::cancelled();
    } else {
        let mut seen = store.fetch_event_with_user(vec![id], visible_to, STORE_WAIT).await?;
        match seen.remove(&id).map(|seen| seen.status) {
            None => return Err(missing(&state, id, visible_to).await),
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

/// The merge patch under `patch`; a wrong one is remembered.
fn patch(fields: &mut Fields, limits: &PayloadLimits) -> Option<Patch> {
    let patch = fields.object("patch")?;
    let rejection = match Patch::new(patch, limits) {
        Ok(patch) => return Some(patch),
        Err(rejection) => rejection,
    };
    for flaw in rejection.flaws() {
        let place = flaw.pointer.replacen("/payload", "patch", 1);
        fields.refuse(flaw.code, &place, format!("patch as a payload: {}", flaw.detail));
    }
    None
}

/// What a job would do.
#[derive(Debug, JsonSchema, Serialize)]
pub struct DryRun {
    dry_run: bool,
    kind: &'static str,
    /// Events that match.
    matched: u64,
    /// Whether they were all counted; else there are at least so many.
    complete: bool,
    /// The first of them.
    event_ids: Vec<i64>,
}

/// `POST /api/v1/events/retry`: replays all events that match a filter.
pub async fn retry_matching(
    state: Data<AppState>,
    Authorised { caller, rest: mut fields, .. }: Authorised<ReplayEvents, Fields>,
) -> Result<HttpResponse, ApiError> {
    fields.refuse_unknown(&["filter", "patch", "dry_run", "force"]);
    let patch = patch(&mut fields, &state.payload_limits).map(|patch| patch.as_str().to_owned());
    let is_forced = flag(&mut fields, "force");
    let is_dry = flag(&mut fields, "dry_run");
    let filters = filters_in_body(&mut fields, &caller)?;
    let (filters, is_dry) = fields.finish(filters.zip(is_dry))?;
    let is_forced = is_forced.unwrap_or_default();
    let new = NewJob { kind: JobKind::Retry, filters, patch, is_forced, by: caller.user_id };
    carry_out(&state, &caller, new, is_dry).await
}

/// `POST /api/v1/events/cancel`: cancels all pending events that match a filter.
pub async fn cancel_matching(
    state: Data<AppState>,
    Authorised { caller, rest: mut fields, .. }: Authorised<CancelEvents, Fields>,
) -> Result<HttpResponse, ApiError> {
    fields.refuse_unknown(&["filter", "dry_run"]);
    let is_dry = flag(&mut fields, "dry_run");
    let filters = filters_in_body(&mut fields, &caller)?;
    let (filters, is_dry) = fields.finish(filters.zip(is_dry))?;
    let new = NewJob { kind: JobKind::Cancel, filters, patch: None, is_forced: false, by: caller.user_id };
    carry_out(&state, &caller, new, is_dry).await
}

/// `false` if it is absent.
fn flag(fields: &mut Fields, name: &str) -> Option<bool> {
    if fields.has(name) { fields.flag(name) } else { Some(false) }
}

async fn carry_out(state: &AppState, caller: &Caller, new: NewJob, is_dry: bool) -> Result<HttpResponse, ApiError> {
    check_status(&new)?;
    if is_dry {
        let kind = new.kind.as_str();
        let found = state.store.rehearse_job(new, PIECES_MAX, STORE_WAIT).await?;
        let would = DryRun {
            dry_run: true,
            kind,
            matched: found.matched,
            complete: found.is_complete,
            event_ids: found.event_ids,
        };
        return Ok(json(StatusCode::OK, &would));
    }
    if state.is_draining() {
        return Err(ApiError::new(Problem::Draining, "the server is stopping, nothing was changed"));
    }
    let Some(job) = state.pipeline.make_job(new, &state.principal(caller)).await.map_err(not_changed)? else {
        return Err(ApiError::new(Problem::Overloaded, "too many jobs are running, none was made"));
    };
    audit::job_made(job.id, job.wanted.kind.as_str(), caller.token_id);
    let mut response = json(StatusCode::ACCEPTED, &JobView::of(&job)?);
    response.headers_mut().insert(LOCATION, header_value(format!("{PATH}/{}", job.id)));
    Ok(response)
}

/// Refuses a filter for a status that no event would leave.
fn check_status(new: &NewJob) -> Result<(), ApiError> {
    if !new.states().is_empty() {
        return Ok(());
    }
    let possible = match new.kind {
        JobKind::Retry => "failed, validation_error, cancelled, pending, or processed with force",
        JobKind::Cancel => "pending",
    };
    let status = new.filters.status.map_or("", Status::as_str);
    Err(flaw("/filter/status", format!("filter/status is {status:?}, expected {possible}")))
}
