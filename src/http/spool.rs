//! The spool of the node that answers, on the operations port: what is parked in it and why, and to have that tried again.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use schemars::JsonSchema;
use serde::Serialize;

use super::access::{Authorised, ReadSpool, RetryParked};
use super::error::ApiError;
use super::fields::OptionalFields;
use super::respond::json;
use super::state::AppState;
use crate::domain::timestamp;
use crate::store::Parked;

/// Most parked units that are shown.
const UNITS_MAX: usize = 100;

/// What the spool holds.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Spool")]
pub(super) struct SpoolView {
    /// Events that wait for the database.
    events: u64,
    /// Bytes of all events in it, parked ones too.
    bytes: u64,
    /// At this size it takes no more.
    bytes_limit: u64,
    /// When the oldest event that waits came.
    #[schemars(extend("format" = "date-time"))]
    oldest: Option<String>,
    /// Events that were set apart.
    parked_events: u64,
    /// Their units, the oldest 100.
    parked: Vec<ParkedView>,
}

/// A unit that the database did not take.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ParkedUnit")]
pub(crate) struct ParkedView {
    unit: i64,
    events: i64,
    /// Why it was not stored when it was tried last.
    reason: String,
    /// When it was set apart.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// How often it was tried in vain.
    tries: i64,
    /// When it is tried again; null if only a command has that done.
    #[schemars(extend("format" = "date-time"))]
    next_try: Option<String>,
}

impl From<Parked> for ParkedView {
    fn from(parked: Parked) -> Self {
        Self {
            unit: parked.unit,
            events: parked.events,
            reason: parked.reason,
            since: timestamp::render(parked.since),
            tries: parked.tries,
            next_try: parked.next_try.map(timestamp::render),
        }
    }
}

/// The parked units that are tried again.
#[derive(JsonSchema, Serialize)]
pub(super) struct Retried {
    units: u64,
}

/// `GET /api/spool`.
pub async fn show(state: Data<AppState>, _: Authorised<ReadSpool>) -> Result<HttpResponse, ApiError> {
    let pipeline = &state.pipeline;
    let (level, bytes_limit) =
        pipeline.spool_level().map(|(level, limits)| (level, limits.bytes_max)).unwrap_or_default();
    let parked = pipeline.parked_units(UNITS_MAX).await?.into_iter().map(ParkedView::from).collect();
    let view = SpoolView {
        events: level.events,
        bytes: level.bytes,
        bytes_limit,
        oldest: level.oldest.map(timestamp::render),
        parked_events: level.parked,
        parked,
    };
    Ok(json(StatusCode::OK, &view))
}

/// `POST /api/spool/retry`: has parked units tried at once; with `give_up` what is still refused then ends as failed.
pub async fn retry(
    state: Data<AppState>,
    authorised: Authorised<RetryParked, OptionalFields>,
) -> Result<HttpResponse, ApiError> {
    let OptionalFields(mut fields) = authorised.rest;
    fields.refuse_unknown(&["give_up"]);
    let gives_up = if fields.has("give_up") { fields.flag("give_up") } else { Some(false) };
    let gives_up = fields.finish(gives_up)?;
    Ok(json(StatusCode::OK, &Retried { units: state.pipeline.retry_parked(gives_up).await? }))
}
