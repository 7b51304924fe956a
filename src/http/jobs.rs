//! `/api/v1/jobs`: how far the replays and cancellations by filter have come, and how to stop them.

use std::collections::BTreeMap;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::access::{Authorised, FollowJobs};
use super::accounts::pages::PageParams;
use super::accounts::{no_such, not_changed};
use super::bounds::STORE_WAIT;
use super::caller::Caller;
use super::error::ApiError;
use super::params::Params;
use super::path::JobId;
use super::respond::json;
use super::state::AppState;
use crate::domain::outcome::Status;
use crate::domain::scopes::Scope;
use crate::domain::timestamp::render;
use crate::store::{Filters, Job};
use crate::telemetry::audit;

/// Where jobs are.
pub const PATH: &str = "/api/v1/jobs";

/// A job as it is answered.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Job")]
pub struct JobView {
    id: i64,
    #[schemars(extend("enum" = ["retry", "cancel"]))]
    kind: &'static str,
    #[schemars(extend("enum" = ["running", "done", "failed", "cancelled"]))]
    status: &'static str,
    filter: FilterView,
    patch: Option<Box<RawValue>>,
    force: bool,
    /// Events that matched so far.
    matched: i64,
    /// Of these: those that were reopened or cancelled.
    changed: i64,
    /// Of these: those that somebody else had changed by then, or was at work on.
    skipped: i64,
    /// Of these: how many were refused, by code.
    refused: BTreeMap<String, i64>,
    error: Option<String>,
    by: i64,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    #[schemars(extend("format" = "date-time"))]
    updated_at: String,
    #[schemars(extend("format" = "date-time"))]
    finished_at: Option<String>,
}

/// A job's filter.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "JobFilter")]
pub struct FilterView {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    received_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    received_before: Option<String>,
}

/// `GET /api/v1/jobs`: the newest first.
pub async fn list(
    state: Data<AppState>,
    Authorised { caller, rest: Params(params), .. }: Authorised<FollowJobs, Params<PageParams>>,
) -> Result<HttpResponse, ApiError> {
    let page = params.page(PATH)?;
    // No job has the id 0: it stands for the beginning of the list.
    let before = if page.after == 0 { i64::MAX } else { page.after };
    let mut rows = state.store.jobs_before(viewer(&caller), before, page.fetched(), STORE_WAIT).await?;
    let next = page.cut(&mut rows, |job| job.id);
    Ok(page.respond(rows.iter().map(JobView::of).collect::<Result<Vec<_>, _>>()?, next))
}

/// `GET /api/v1/jobs/{id}`.
pub async fn show(
    state: Data<AppState>,
    Authorised { caller, rest: JobId(id), .. }: Authorised<FollowJobs, JobId>,
) -> Result<HttpResponse, ApiError> {
    let job = find(&state, &caller, id).await?;
    Ok(json(StatusCode::OK, &JobView::of(&job)?))
}

/// `POST /api/v1/jobs/{id}/cancel`: stops it where it is; one that has ended stays as it is.
pub async fn stop(
    state: Data<AppState>,
    Authorised { caller, rest: JobId(id), .. }: Authorised<FollowJobs, JobId>,
) -> Result<HttpResponse, ApiError> {
    let job = find(&state, &caller, id).await?;
    if job.finished_at.is_none() {
        state.store.stop_job(job.id, &state.principal(&caller), STORE_WAIT).await.map_err(not_changed)?;
        audit::job_stopped(job.id, caller.token_id);
    }
    let job = find(&state, &caller, id).await?;
    Ok(json(StatusCode::OK, &JobView::of(&job)?))
}

async fn find(state: &AppState, caller: &Caller, id: i64) -> Result<Job, ApiError> {
    state.store.job(id, viewer(caller), STORE_WAIT).await?.ok_or_else(|| no_such("job", id))
}

/// The user whose jobs the caller sees: its own, or with `None` everyone's.
fn viewer(caller: &Caller) -> Option<i64> {
    let sees_all = caller.scopes.has(Scope::ReadAll) || caller.scopes.has(Scope::Admin);
    if sees_all { None } else { Some(caller.user_id) }
}

impl JobView {
    /// The form of `job`.
    pub fn of(job: &Job) -> Result<Self, ApiError> {
        let wanted = &job.wanted;
        let patch = wanted.patch.clone().map(RawValue::from_string).transpose();
        Ok(Self {
            id: job.id,
            kind: wanted.kind.as_str(),
            status: job.status.as_str(),
            filter: FilterView::of(&wanted.filters),
            patch: patch.map_err(|_| ApiError::internal("a stored patch is not JSON"))?,
            force: wanted.is_forced,
            matched: job.matched,
            changed: job.changed,
            skipped: job.skipped,
            refused: job.refused.clone(),
            error: job.error.clone(),
            by: wanted.by,
            created_at: render(job.created_at),
            updated_at: render(job.updated_at),
            finished_at: job.finished_at.map(render),
        })
    }
}

impl FilterView {
    fn of(filters: &Filters) -> Self {
        Self {
            status: filters.status.map(Status::as_str),
            event_name: filters.event_name.clone(),
            event_type: filters.event_type.clone(),
            user_id: filters.user_id,
            error_code: filters.error_code.clone(),
            received_after: filters.received_after.map(render),
            received_before: filters.received_before.map(render),
        }
    }
}
