//! `GET /api/live/events` and `/api/live/events/{id}`: the newest outcomes, and the changes of one event.
//!
//! Watchers of the same get the same text: each look reads once for every set of filters, and once for all watched
//! events together, however many watch. Not guaranteed: that every outcome is sent. Of each moment it is the newest
//! ones, with a word whether there were more.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

use super::sse::{self, LineSource, event};
use crate::http::access::{Authorised, ReadEvents};
use crate::http::bounds::STORE_WAIT;
use crate::http::credentials::Credentials;
use crate::http::error::ApiError;
use crate::http::events::{self, NewestParams, OutcomeView};
use crate::http::params::Params;
use crate::http::path::EventId;
use crate::http::problems::Problem;
use crate::http::shared::{LiveOutcomes, OneEvent, Outcomes, Subscriptions};
use crate::http::state::AppState;
use crate::store::{FeedEvent, Filters, StoreError};
use crate::telemetry::condition::Condition;

/// How often a node looks while somebody watches.
const LOOK: Duration = Duration::from_millis(500);
/// Outcomes that are sent of one moment: more than a page shows, nobody reads.
const NEWEST_MAX: usize = 100;
/// Sets of filters that are watched at once, each of which costs a look.
const FILTERS_MAX: usize = 32;
/// Moments that a slow reader may lie behind.
const BEHIND_MAX: usize = 16;

/// The newest outcomes of a moment, the oldest first.
#[derive(Serialize)]
struct Moment<'a> {
    outcomes: Vec<OutcomeView<'a>>,
    /// Whether these are all.
    complete: bool,
}

impl LiveOutcomes {
    /// Looks for as long as the future is polled.
    pub async fn run(state: Data<AppState>) {
        let condition = Condition::new("the look at the newest outcomes");
        loop {
            if state.live_outcomes.has_subscribers() {
                condition.note(&look(&state).await);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody is left; forgets what nobody watches.
    fn has_subscribers(&self) -> bool {
        let mut subscriptions = self.subscriptions();
        subscriptions.outcomes.retain(|_, outcomes| outcomes.sender.receiver_count() > 0);
        subscriptions.events.retain(|_, one| one.sender.receiver_count() > 0);
        !(subscriptions.outcomes.is_empty() && subscriptions.events.is_empty())
    }

    /// Follows the outcomes after the flush `head`, or those that others follow already.
    fn follow(&self, filters: Filters, head: i64) -> Result<Receiver<Bytes>, ApiError> {
        let outcomes = &mut self.subscriptions().outcomes;
        if outcomes.len() >= FILTERS_MAX && !outcomes.contains_key(&filters) {
            return Err(ApiError::new(Problem::Overloaded, "too many different filters are watched"));
        }
        let outcomes = outcomes.entry(filters).or_insert_with(|| Outcomes { after: head, sender: channel() });
        Ok(outcomes.sender.subscribe())
    }

    fn follow_event(&self, id: i64, now: Option<FeedEvent>) -> Receiver<Bytes> {
        let events = &mut self.subscriptions().events;
        events.entry(id).or_insert_with(|| OneEvent { last: now, sender: channel() }).sender.subscribe()
    }

    /// What is to be read from the flush `head` on.
    fn due(&self, head: i64) -> (Vec<(Filters, i64)>, Vec<i64>) {
        let subscriptions = self.subscriptions();
        let behind = subscriptions.outcomes.iter().filter(|(_, outcomes)| outcomes.after < head);
        let outcomes = behind.map(|(filters, outcomes)| (filters.clone(), outcomes.after)).collect();
        (outcomes, subscriptions.events.keys().copied().collect())
    }

    fn publish(&self, filters: &Filters, head: i64, (events, is_all): (Vec<FeedEvent>, bool)) {
        let mut subscriptions = self.subscriptions();
        let Some(outcomes) = subscriptions.outcomes.get_mut(filters) else { return };
        outcomes.after = head;
        if !events.is_empty() || !is_all {
            let moment = Moment { outcomes: events.iter().map(OutcomeView::of).collect(), complete: is_all };
            // Nobody may be left to hear it.
            let _ = outcomes.sender.send(event("outcomes", &moment));
        }
    }

    fn publish_changes(&self, events: Vec<FeedEvent>) {
        let mut subscriptions = self.subscriptions();
        for now in events {
            let Some(one) = subscriptions.events.get_mut(&now.id) else { continue };
            if one.last.as_ref() != Some(&now) {
                let _ = one.sender.send(event("changed", &OutcomeView::of(&now)));
                one.last = Some(now);
            }
        }
    }
}

fn channel() -> Sender<Bytes> {
    broadcast::channel(BEHIND_MAX).0
}

async fn look(state: &AppState) -> Result<(), StoreError> {
    let head = state.store.feed_head(STORE_WAIT).await?;
    let (outcomes, ids) = state.live_outcomes.due(head);
    for (filters, after) in outcomes {
        let newest = state.store.feed_newest((after, head), &filters, NEWEST_MAX, STORE_WAIT).await?;
        state.live_outcomes.publish(&filters, head, newest);
    }
    if !ids.is_empty() {
        state.live_outcomes.publish_changes(state.store.feed_events(ids, STORE_WAIT).await?);
    }
    Ok(())
}

/// `GET /api/live/events`, with the filters of the list but for times.
pub async fn follow_outcomes(
    state: Data<AppState>,
    Authorised { caller, rest: Params(params), .. }: Authorised<ReadEvents, Params<NewestParams>>,
    credentials: Credentials,
) -> Result<HttpResponse, ApiError> {
    let filters = params.filters(&caller)?;
    let permit = sse::room(&state)?;
    let head = state.store.feed_head(STORE_WAIT).await?;
    let news = state.live_outcomes.follow(filters, head)?;
    Ok(sse::stream(state, credentials, permit, news))
}

/// `GET /api/live/events/{id}`; 404 for an event that the caller may not see.
pub async fn follow_event(
    state: Data<AppState>,
    Authorised { caller, rest: EventId(id), .. }: Authorised<ReadEvents, EventId>,
    credentials: Credentials,
) -> Result<HttpResponse, ApiError> {
    events::check_visible(&state, id, &caller).await?;
    let permit = sse::room(&state)?;
    let now = state.store.feed_events(vec![id], STORE_WAIT).await?.pop();
    let news = state.live_outcomes.follow_event(id, now);
    Ok(sse::stream(state, credentials, permit, news))
}

impl LineSource for Receiver<Bytes> {
    async fn next(&mut self) -> Bytes {
        match self.recv().await {
            Ok(lines) => lines,
            Err(RecvError::Lagged(_)) => Bytes::from_static(b"event: gap\ndata: {}\n\n"),
            // The sender lives for as long as it has a receiver.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
