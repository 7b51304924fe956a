//! Waits for an event to be finished, by querying the store: a retry may happen on any node.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::report::ItemResult;
use crate::http::bounds::STORE_WAIT;
use crate::http::state::AppState;
use crate::store::{StoreError, StoredEvent};

/// First pause between two looks; an event that was just written off to a retry takes seconds.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Waits for the results that are pending, all of them with one query at a time.
pub async fn results(state: &AppState, results: &mut [ItemResult], wait: Duration) {
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
