//! `GET /api/v1/limits`: the limits that apply to a client, as they are in effect on this node.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use schemars::JsonSchema;
use serde::Serialize;

use super::access::{AnyToken, Authorised};
use super::error::ApiError;
use super::events::WAIT_SECONDS_MAX;
use super::params::{PAGE_DEFAULT, PAGE_MAX};
use super::respond::json;
use super::state::AppState;
use crate::domain::submission::NAME_CHARS_MAX;

/// Named like the keys of `[limits]` where there is one; what is not limited is null.
#[derive(JsonSchema, Serialize)]
pub struct Limits {
    payload_bytes: usize,
    payload_depth: usize,
    body_bytes: usize,
    number_chars: usize,
    /// Characters of `event_name`, `event_type` and `event_uid`.
    name_chars: usize,
    /// Events and bytes of a batch; lines may be any number, each of at most `body_bytes`.
    batch_events: usize,
    batch_bytes: usize,
    requests_per_second: Option<u32>,
    requests_burst: Option<u32>,
    /// Rows on a page of a list when `limit` is not given, and at most.
    page_default: u64,
    page_max: u64,
    /// Seconds of `Prefer: wait`.
    wait_seconds: u64,
}

/// The limits in effect, for any valid token.
pub async fn show(state: Data<AppState>, _: Authorised<AnyToken>) -> Result<HttpResponse, ApiError> {
    let limits = &state.limits;
    let rate = &state.rate;
    let view = Limits {
        payload_bytes: limits.payload_bytes,
        payload_depth: limits.payload_depth,
        body_bytes: limits.body_bytes,
        number_chars: limits.number_chars,
        name_chars: NAME_CHARS_MAX,
        batch_events: limits.batch_events,
        batch_bytes: limits.batch_bytes,
        requests_per_second: rate.as_ref().map(|_| limits.requests_per_second),
        requests_burst: rate.as_ref().map(|rate| rate.burst()),
        page_default: PAGE_DEFAULT,
        page_max: PAGE_MAX,
        wait_seconds: WAIT_SECONDS_MAX,
    };
    Ok(json(StatusCode::OK, &view))
}
