//! `POST /api/v1/events/batch`: many events in one request and one transaction; or lines without end, in `bulk`.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

use super::bulk::{self, Sender};
use super::headers::{Preferences, idempotency_key};
use super::intake::{Intake, TakenEvents};
use super::lines;
use super::read::finish_results;
use super::report::{self, ItemResult, Tally};
use super::submission::{declared, read};
use crate::domain::batch::{BatchError, read_batch};
use crate::domain::cloud_event;
use crate::domain::event::validate;
use crate::domain::rejection::{Flaw, Rejection};
use crate::http::access::{Authorised, PostEvents};
use crate::http::body::{self, RequestBody};
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::media::{AcceptedMedia, Media};
use crate::http::state::AppState;
use crate::http::trace::RequestTrace;
use crate::pipeline::{Handling, Receipt, Room, Verdict};

/// What may be sent as a batch: whatever may be posted. A CloudEvent alone is a batch of one.
pub const BATCH_MEDIA: AcceptedMedia = AcceptedMedia {
    others: &[Media::Ndjson, Media::CloudEvent, Media::CloudEvents],
    accept_post: "application/json, application/x-ndjson, application/cloudevents+json, \
                  application/cloudevents-batch+json",
};

/// Longest `Idempotency-Key` of a batch: `:` and the event's index are added to it.
const KEY_CHARS_MAX: usize = 235;

/// `POST /api/v1/events/batch`.
pub async fn submit_batch(
    state: Data<AppState>,
    Authorised { caller, .. }: Authorised<PostEvents>,
    request: HttpRequest,
    body: RequestBody,
) -> Result<HttpResponse, ApiError> {
    let media = declared(request.headers(), BATCH_MEDIA)?;
    take_many(state, caller, request, body, media).await
}

/// Takes a batch, or lines without end.
pub(super) async fn take_many(
    state: Data<AppState>,
    caller: Arc<Caller>,
    request: HttpRequest,
    body: RequestBody,
    media: Option<Media>,
) -> Result<HttpResponse, ApiError> {
    let headers = request.headers();
    let trace = RequestTrace::of(&request);
    let preferences = Preferences::read(headers);
    let key = batch_key(headers)?;
    let limits = state.body_limits.with_bytes_max(state.limits.batch_bytes);
    let opened = lines::open(&state, &request, media, &limits, true).await?;
    if opened.is_lines {
        let sender = Sender { caller, key, trace };
        return bulk::take_lines(state, headers, opened.body, sender, bulk::STORING).await;
    }
    let mut room = body.room(&state.pipeline)?;
    let body = body::read_unpacked(opened.body, &limits, |bytes| Ok(room.grow(bytes)?)).await?;
    let intake = Intake::new(&caller, key.as_deref(), 0).in_trace(trace);
    let taken = take(intake, headers, media, &body, state.limits.batch_events)?;
    drop(body);
    let mut results = match preferences.handling() {
        Handling::Lenient => hand_in(&state, taken, room).await?,
        Handling::Strict => hand_in_whole(&state, taken, room).await?,
    };
    if let Some(wait) = preferences.wait {
        finish_results(&state, &mut results, wait).await;
    }
    Ok(preferences.applied_to(report::report(&results, Tally::OF_STORED, preferences.is_minimal())))
}

/// Takes the events of a batch; one of CloudEvents may be empty, as theirs says.
pub(super) fn take(
    mut intake: Intake<'_>,
    headers: &HeaderMap,
    media: Option<Media>,
    body: &Bytes,
    max: usize,
) -> Result<TakenEvents, ApiError> {
    let Some(media) = media.filter(|media| *media != Media::CloudEvent) else {
        intake.add(read(headers, media, BATCH_MEDIA, body)?);
        return Ok(intake.finish());
    };
    media.check(body, BATCH_MEDIA)?;
    if media == Media::CloudEvents {
        intake = intake.of(cloud_event::read);
    }
    let texts = match read_batch(body, max) {
        Err(BatchError::Empty { .. }) if media == Media::CloudEvents => Vec::new(),
        texts => texts?,
    };
    texts.into_iter().for_each(|text| intake.take(body, text));
    Ok(intake.finish())
}

fn batch_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = idempotency_key(headers)? else { return Ok(None) };
    if key.len() > KEY_CHARS_MAX {
        let detail = format!("Idempotency-Key is {} characters, expected 1 to {KEY_CHARS_MAX} for a batch", key.len());
        return Err(ApiError::invalid_request(detail));
    }
    Ok(Some(key.into_owned()))
}

/// Hands in what can be handed in: an invalid event is an outcome.
async fn hand_in(state: &AppState, mut taken: TakenEvents, room: Room) -> Result<Vec<ItemResult>, ApiError> {
    let entries = taken.take_entries();
    if entries.is_empty() {
        return Ok(taken.results(Vec::new()));
    }
    let receipts = state.pipeline.process_events_batch(entries, Handling::Lenient, room).await?;
    Ok(taken.results(receipts))
}

/// Hands in all or nothing.
async fn hand_in_whole(state: &AppState, mut taken: TakenEvents, room: Room) -> Result<Vec<ItemResult>, ApiError> {
    let events = taken.len();
    let flaws = taken.flaws(|entry| validate(&entry.submission, &state.payload_limits).err());
    if !flaws.is_empty() {
        return Err(refusal(&flaws, events));
    }
    let entries = taken.take_entries();
    let receipts = state.pipeline.process_events_batch(entries, Handling::Strict, room).await?;
    // What only the line can decide: whether the event's user exists.
    let rejection = |(index, receipt): (u64, &Receipt)| match &receipt.verdict {
        Verdict::Rejected { rejection, .. } => Some((index, rejection.clone())),
        _ => None,
    };
    let flaws: Vec<_> = (0..).zip(&receipts).filter_map(rejection).collect();
    if flaws.is_empty() { Ok(taken.results(receipts)) } else { Err(refusal(&flaws, events)) }
}

/// Names every flaw by its event's place: `/3/payload`.
fn refusal(rejections: &[(u64, Rejection)], events: usize) -> ApiError {
    let placed = |(index, rejection): &(u64, Rejection)| -> Vec<Flaw> {
        let at = |flaw: &Flaw| Flaw { pointer: format!("/{index}{}", flaw.pointer), ..flaw.clone() };
        rejection.flaws().map(at).collect()
    };
    let mut flaws = rejections.iter().flat_map(placed);
    let Some(first) = flaws.next() else { return ApiError::internal("a strict batch was refused without a flaw") };
    let error = rejections.first().map(|(_, rejection)| rejection.error.clone()).unwrap_or_default();
    ApiError::batch_refused(Rejection::with_error(first, error).and(flaws), rejections.len(), events)
}
