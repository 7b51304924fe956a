//! Reads an event that is not in the database, because it waits in a spool for the database to take it.

use crate::domain::event::Event;
use crate::domain::outcome::Status;
use crate::http::error::ApiError;
use crate::http::problems::Problem;
use crate::http::state::{AppState, STORE_WAIT};
use crate::store::{StoreError, StoredEvent};

/// The event `id` as it was `seen` in the database, else as it waits in this node's spool.
///
/// 404 only if no node's spool can hold it.
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
    match (state.pipeline.spooled_event(id).await?, seen) {
        (Some(event), _) if is_visible(&event) => Ok(waiting(event)),
        (_, Err(error)) => Err(error.into()),
        (None, Ok(_)) if state.store.is_of_a_node_with_a_spool(id, STORE_WAIT).await? => Err(ApiError::new(
            Problem::EventInSpool,
            format!("event {id} is not in the database yet, if it exists: the node that took it has a spool to drain"),
        )),
        _ => Err(ApiError::new(Problem::NotFound, format!("there is no event {id}"))),
    }
}

/// The row that the event is to become.
fn waiting(event: Event) -> StoredEvent {
    StoredEvent {
        id: event.id,
        task_id: event.task_id,
        user_id: event.user_id,
        payload: event.payload().map(|payload| payload.as_str().to_owned()),
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
        next_attempt_at: None,
        timestamp: event.submission.timestamp,
        received_at: event.received_at,
        processed_at: None,
    }
}
