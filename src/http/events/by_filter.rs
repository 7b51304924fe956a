//! All events that match a filter, replayed or cancelled by a job.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use schemars::JsonSchema;
use serde::Serialize;

use super::replay_request;
use crate::domain::outcome::Status;
use crate::domain::scopes::Scope;
use crate::http::accounts::not_changed;
use crate::http::auth::Caller;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::fields::{self, Fields};
use crate::http::jobs::{JobView, PATH};
use crate::http::problems::Problem;
use crate::http::request::Call;
use crate::http::respond::{header_value, json};
use crate::http::state::AppState;
use crate::store::{JobKind, NewJob};
use crate::telemetry::audit;

/// Pieces of the table that a dry run looks at, of 2,000 rows each.
const PIECES_MAX: usize = 50;

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
pub async fn retry_matching(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Operate, "replaying events").await?;
    let (state, mut fields) = fields::read(call).await?;
    fields.refuse_unknown(&["filter", "patch", "dry_run", "force"]);
    let patch = replay_request::patch(&mut fields, &state.payload_limits).map(|patch| patch.as_str().to_owned());
    let is_forced = flag(&mut fields, "force");
    let is_dry = flag(&mut fields, "dry_run");
    let filters = replay_request::filters(&mut fields, &caller)?;
    let (filters, is_dry) = fields.finish(filters.zip(is_dry))?;
    let is_forced = is_forced.unwrap_or_default();
    let new = NewJob { kind: JobKind::Retry, filters, patch, is_forced, by: caller.user_id };
    carry_out(&state, &caller, new, is_dry).await
}

/// `POST /api/v1/events/cancel`: cancels all pending events that match a filter.
pub async fn cancel_matching(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Operate, "cancelling events").await?;
    let (state, mut fields) = fields::read(call).await?;
    fields.refuse_unknown(&["filter", "dry_run"]);
    let is_dry = flag(&mut fields, "dry_run");
    let filters = replay_request::filters(&mut fields, &caller)?;
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
        let (matched, complete, event_ids) = (found.matched, found.is_complete, found.event_ids);
        return Ok(json(StatusCode::OK, &DryRun { dry_run: true, kind, matched, complete, event_ids }));
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
    Err(replay_request::flaw("/filter/status", format!("filter/status is {status:?}, expected {possible}")))
}
