//! Health: is the process alive, and can it durably accept events.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use schemars::JsonSchema;
use serde::Serialize;

use super::error::{ApiError, RETRY_AFTER as DELAY, whole_seconds};
use super::request::{Call, json};

/// The answer of both.
#[derive(JsonSchema, Serialize)]
pub(super) struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
}

impl Health {
    pub fn live() -> Self {
        Self { status: "live", reasons: Vec::new() }
    }

    pub fn not_ready(reasons: Vec<String>) -> Self {
        Self { status: "not_ready", reasons }
    }
}

/// Always 200 while the process can answer at all; it touches no database.
pub async fn live(_: Call) -> Result<HttpResponse, ApiError> {
    Ok(json(StatusCode::OK, &Health::live()))
}

/// 200 if an event that is posted now can be stored durably, else 503 with every reason.
pub async fn ready(call: Call) -> Result<HttpResponse, ApiError> {
    let mut reasons = call.state.pipeline.readiness();
    if call.state.is_draining() {
        reasons.insert(0, "the server is stopping".to_owned());
    }
    if reasons.is_empty() {
        return Ok(json(StatusCode::OK, &Health { status: "ready", reasons }));
    }
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &Health::not_ready(reasons));
    response.headers_mut().insert(RETRY_AFTER, whole_seconds(DELAY).into());
    Ok(response)
}
