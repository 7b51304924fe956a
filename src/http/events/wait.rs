//! Waits for an event to be finished, by asking the store: a retry may happen on any node.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::http::state::{AppState, STORE_WAIT};
use crate::store::{StoreError, StoredEvent};

/// First pause between two looks; an event that was just written off to a retry takes seconds.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_millis(500);

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
        let is_final = matches!(&seen, Ok(Some(event)) if event.status.is_final());
        let left = deadline.saturating_duration_since(Instant::now());
        if is_final || matches!(seen, Ok(None)) || left.is_zero() || state.is_draining() {
            return seen;
        }
        sleep(pause.min(left)).await;
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}
