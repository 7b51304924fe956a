//! Takes one event: reads it, hands it to the pipeline, and answers once it is durable.

use std::time::Duration;

use actix_web::HttpResponse;

use super::answers::{self, SubmittedFields};
use super::key::{conflict, idempotency_key};
use super::prefer::Preferences;
use super::submission::{declared, owner, read};
use super::{batch, wait};
use crate::domain::dedupe::DedupeKey;
use crate::domain::outcome::Status;
use crate::domain::scopes::Scope;
use crate::http::body;
use crate::http::error::ApiError;
use crate::http::media::{AcceptedMedia, Media};
use crate::http::request::Call;
use crate::http::request_trace::RequestTrace;
use crate::http::state::AppState;
use crate::pipeline::{Entry, Receipt, Room, Verdict};

/// What one event may be sent as.
const EVENT_MEDIA: AcceptedMedia = AcceptedMedia {
    others: &[Media::CloudEvent, Media::CloudEvents],
    accept_post: "application/json, application/cloudevents+json, application/cloudevents-batch+json",
};

/// `POST /api/v1/events`. Checked in this order: token, headers, body. Senders of CloudEvents know one address for all
/// modes, so a batch of them is taken as well.
pub async fn submit(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Write, "posting events").await?;
    let media = declared(call.headers(), EVENT_MEDIA)?;
    if media == Some(Media::CloudEvents) {
        return batch::take_many(call, caller, media).await;
    }
    let headers = call.request.headers();
    let trace = RequestTrace::of(&call);
    let preferences = Preferences::read(headers).of_one_event();
    let header_key = idempotency_key(headers)?;
    let mut room = call.room()?;
    let make_room = |bytes| Ok(room.grow(bytes)?);
    let body = body::read(headers, call.payload, &call.state.body_limits, make_room).await?;
    let mut submission = read(headers, media, EVENT_MEDIA, &body)?;
    trace.take_in(&mut submission);
    drop(body);
    let user_id = owner(&submission, &caller)?;
    let key = DedupeKey::of(&submission, user_id, header_key.as_deref());
    match preferences.wait {
        None => {
            let is_keyed = key.is_some();
            let receipt = hand_in(&call.state, Entry { user_id, submission, key }, room).await?;
            Ok(enqueued(receipt, is_keyed))
        }
        Some(wait) => {
            let submitted = SubmittedFields {
                event_name: submission.event_name.clone().unwrap_or_default(),
                event_type: submission.event_type.clone().unwrap_or_default(),
                user_id,
            };
            let is_keyed = key.is_some();
            let receipt = hand_in(&call.state, Entry { user_id, submission, key }, room).await?;
            let answer = waited(&call.state, receipt, &submitted, wait, is_keyed).await?;
            Ok(preferences.applied_to(answer))
        }
    }
}

/// Hands in one event; what was not stored under an id of its own, or refused, is an error.
async fn hand_in(state: &AppState, entry: Entry, room: Room) -> Result<Receipt, ApiError> {
    let key = entry.key.as_ref().map(|key| (key.namespace, key.text.clone()));
    let receipt = state.pipeline.process_event(entry, room).await?;
    match receipt.verdict {
        Verdict::Rejected { rejection, kept, repeats } => Err(ApiError::rejected(rejection, kept).repeated(repeats)),
        Verdict::Conflict { of } => Err(conflict(key, of)),
        verdict => Ok(Receipt { verdict, ..receipt }),
    }
}

fn enqueued(receipt: Receipt, is_keyed: bool) -> HttpResponse {
    match receipt.verdict {
        Verdict::Duplicate { of, of_task_id, status, differs, .. } => {
            answers::duplicate(of, of_task_id, status, differs)
        }
        Verdict::Spooled => answers::spooled(receipt.event_id, receipt.task_id, is_keyed),
        _ => answers::accepted(receipt.event_id, receipt.task_id),
    }
}

async fn waited(
    state: &AppState,
    receipt: Receipt,
    submitted: &SubmittedFields,
    wait: Duration,
    is_keyed: bool,
) -> Result<HttpResponse, ApiError> {
    let id = match &receipt.verdict {
        Verdict::Processed { processed_at } => {
            return Ok(answers::success(receipt.event_id, submitted, *processed_at));
        }
        Verdict::Failed { error, code } => return Ok(answers::failed(receipt.event_id, error, code)),
        Verdict::Duplicate { of, status: Status::Processed, processed_at: Some(processed_at), .. } => {
            return Ok(answers::success(*of, submitted, *processed_at));
        }
        Verdict::Duplicate { of, .. } => *of,
        // Its end waits for the database, which may be away for long.
        Verdict::Spooled => return Ok(enqueued(receipt, is_keyed)),
        _ => receipt.event_id,
    };
    // The event is durable: that its end cannot be seen now is not an error.
    match wait::finished(state, id, None, wait).await {
        Ok(Some(event)) if event.status.is_final() => answers::outcome(&event),
        _ => Ok(enqueued(receipt, is_keyed)),
    }
}
