//! Health: is the process alive, and can it durably accept events.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::web::Data;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::{ApiError, RETRY_AFTER as DELAY, whole_seconds};
use super::respond::json;
use super::state::AppState;
use crate::domain::timestamp;
use crate::telemetry::condition::FailingCondition;

/// The answer of both.
#[derive(JsonSchema, Serialize)]
pub(super) struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    /// What fails on the way of events onto a disk, also where the spool takes them meanwhile, or keeps pending ones waiting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<Failing>,
}

/// Something that fails.
#[derive(JsonSchema, Serialize)]
struct Failing {
    /// As the log and `gristmill_failures_total` name it.
    what: &'static str,
    /// When it began.
    since: String,
    /// How often it was tried in vain since then.
    failures: u64,
    /// What failed last; the log has the database's own words.
    error: String,
}

impl From<FailingCondition> for Failing {
    fn from(FailingCondition { what, since, failures, outline }: FailingCondition) -> Self {
        Self { what, since: timestamp::render(since), failures, error: outline }
    }
}

impl Health {
    pub fn live() -> Self {
        Self { status: "live", reasons: Vec::new(), failing: Vec::new() }
    }

    pub fn not_ready(reasons: Vec<String>) -> Self {
        Self { status: "not_ready", reasons, failing: Vec::new() }
    }
}

/// Always 200 while the process can answer at all; it touches no database.
pub async fn live() -> Result<HttpResponse, ApiError> {
    Ok(json(StatusCode::OK, &Health::live()))
}

/// 200 if an event that is posted now can be stored durably, else 503 with every reason.
pub async fn ready(state: Data<AppState>) -> Result<HttpResponse, ApiError> {
    let reasons = state.readiness();
    let failing = state.pipeline.failing().into_iter().map(Failing::from).collect();
    if reasons.is_empty() {
        return Ok(json(StatusCode::OK, &Health { status: "ready", reasons, failing }));
    }
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &Health { failing, ..Health::not_ready(reasons) });
    response.headers_mut().insert(RETRY_AFTER, whole_seconds(DELAY).into());
    Ok(response)
}
