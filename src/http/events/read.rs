//! Gives one event back by its id: as it is stored, as it waits in a spool, or once it is finished.
//!
//! Waiting is done by querying the store: a retry may happen on any node.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::{Instant, sleep};

use super::headers::Preferences;
use super::report::ItemResult;
use super::view::{EventView, TimelineView};
use crate::domain::event::Event;
use crate::domain::outcome::Status;
use crate::domain::scopes::Scope;
use crate::http::access::{Authorised, ReadEvents};
use crate::http::bounds::STORE_WAIT;
use crate::http::caller::Caller;
use crate::http::error::ApiError;
use crate::http::path::EventId;
use crate::http::problems::Problem;
use crate::http::respond::json;
use crate::http::state::AppState;
use crate::store::{StoreError, StoredEvent};

/// First pause between two looks; an event that was just written off to a retry takes seconds.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// `GET /api/v1/events/{id}`, with `Prefer: wait=N` when the event is finished.
pub async fn show(
    state: Data<AppState>,
    Authorised { caller, rest: EventId(id), .. }: Authorised<ReadEvents, EventId>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let preferences = Preferences::read(request.headers()).of_one_event();
    let seen = finished(&state, id, viewer(&caller), preferences.wait.unwrap_or_default()).await;
    let event = or_spooled(&state, id, viewer(&caller), seen).await?;
    let response = json(StatusCode::OK, &EventView::of(&event));
    Ok(preferences.applied_to(response))
}

/// `GET /api/v1/events/{id}/timeline`; 404 for an event that the caller may not see.
pub async fn timeline(
    state: Data<AppState>,
    Authorised { caller, rest: EventId(id), .. }: Authorised<ReadEvents, EventId>,
) -> Result<HttpResponse, ApiError> {
    let Some(timeline) = state.store.timeline(id, viewer(&caller), STORE_WAIT).await? else {
        return Err(missing(&state, id, viewer(&caller)).await);
    };
    Ok(json(StatusCode::OK, &TimelineView::of(id, timeline)))
}

/// 404 for an event that the caller may not see.
pub async fn check_visible(state: &AppState, id: i64, caller: &Caller) -> Result<(), ApiError> {
    let seen = state.store.event(id, viewer(caller), STORE_WAIT).await;
    or_spooled(state, id, viewer(caller), seen).await.map(drop)
}

/// The user whose events the caller sees: its own, or with `None` everyone's.
pub(super) fn viewer(caller: &Caller) -> Option<i64> {
    if caller.scopes.has(Scope::ReadAll) { None } else { Some(caller.user_id) }
}

/// Waits for the results that are pending, all of them with one query at a time.
pub async fn finish_results(state: &AppState, results: &mut [ItemResult], wait: Duration) {
    let deadline = Instant::now() + wait;
    let mut pause = PAUSE_MIN;
    loop {
        let pending: Vec<i64> =
            results.iter().filter(|result| result.is_pending()).filter_map(ItemResult::event_id).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if pending.is_empty() || left.is_zero() || state.is_draining() {
            return;
        }
        sleep(pause.min(left)).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
        // The events are durable: that their ends cannot be seen now is not an error.
        let Ok(states) = state.store.final_states(pending, STORE_WAIT).await else { continue };
        for result in results.iter_mut().filter(|result| result.is_pending()) {
            if let Some(end) = result.event_id().and_then(|id| states.get(&id)) {
                result.finish(end);
            }
        }
    }
}

/// The event as it stands when it is finished, `wait` is over or the server stops, whichever comes first.
///
/// An error or `None` is what the last look gave.
pub async fn finished(
    state: &AppState,
    id: i64,
    visible_to: Option<i64>,
    wait: Duration,
) -> Result<Option<StoredEvent>, StoreError> {
    let deadline = Instant::now() + wait;
    let mut pause = PAUSE_MIN;
    loop {
        let seen = state.store.event(id, visible_to, STORE_WAIT).await;
        let is_final = match &seen {
            Ok(event) => event.as_ref().is_none_or(|event| event.status.is_final()),
            Err(error) => !error.is_transient(),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if is_final || left.is_zero() || state.is_draining() {
            return seen;
        }
        sleep(pause.min(left)).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// The event `id` as it was `seen` in the database, else as it waits in this node's spool.
///
/// 404 only if it waits in no other node's spool either.
async fn or_spooled(
    state: &AppState,
    id: i64,
    visible_to: Option<i64>,
    seen: Result<Option<StoredEvent>, StoreError>,
) -> Result<StoredEvent, ApiError> {
    if let Ok(Some(event)) = seen {
        return Ok(event);
    }
    let is_visible = |event: &Event| visible_to.is_none_or(|user_id| user_id == event.user_id);
    if let Some(event) = state.pipeline.spooled_event(id).await?.filter(is_visible) {
        return Ok(waiting(event));
    }
    seen?;
    if state.pipeline.may_be_spooled_by_peer(id).await? {
        let detail = format!("event {id} is not in the database; the node that gave out this id has a spool to drain");
        return Err(ApiError::new(Problem::EventInSpool, detail));
    }
    // It may have gone from a spool to the database between the looks.
    let event = state.store.event(id, visible_to, STORE_WAIT).await?;
    event.ok_or_else(|| ApiError::new(Problem::NotFound, format!("there is no event {id}")))
}

/// The error for the event `id`, which is not in the database, where the request needs it to be.
pub async fn missing(state: &AppState, id: i64, visible_to: Option<i64>) -> ApiError {
    match or_spooled(state, id, visible_to, Ok(None)).await {
        Ok(_) => {
            ApiError::new(Problem::EventInSpool, format!("event {id} waits in this node's spool for the database"))
        }
        Err(error) => error,
    }
}

/// The row that the event is to become.
fn waiting(event: Event) -> StoredEvent {
    StoredEvent {
        id: event.id,
        trace_id: event.trace_id(),
        task_id: event.task_id,
        user_id: event.user_id,
        payload: event.payload().and_then(|payload| serde_json::from_str(payload.as_str()).ok()),
        event_name: event.submission.event_name,
        event_type: event.submission.event_type,
        event_uid: event.submission.event_uid,
        status: Status::Pending,
        properties: None,
        processing_error: None,
        error_code: None,
        attempts: 0,
        generation: 0,
        duplicate_of: None,
        repeats: None,
        last_repeated_at: None,
        next_attempt_at: None,
        timestamp: event.submission.timestamp,
        received_at: event.received_at,
        processed_at: None,
    }
}
