//! Reads an event that is not in the database, because it waits in a spool for the database to take it.

use crate::domain::event::Event;
use crate::domain::outcome::Status;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::http::state::AppState;
use crate::store::{StoreError, StoredEvent};

/// The event `id` as it was `seen` in the database, else as it waits in this node's spool.
///
/// 404 only if it waits in no other node's spool either.
pub async fn or_spooled(
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
