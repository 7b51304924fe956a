//! `GET /api/live/events` and `/api/live/events/{id}`: the newest outcomes, and the changes of one event.
//!
//! Who watches the same is told the same text: each look reads once for every set of filters, and once for all watched
//! events together, however many watch. Not guaranteed: that every outcome is told. Of each moment it is the newest ones,
//! with a word whether there were more.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

use super::watcher::{self, News, event};
use crate::domain::scopes::Scope;
use crate::http::bounds::STORE_WAIT;
use crate::http::error::ApiError;
use crate::http::events::{self, OutcomeView};
use crate::http::problems::Problem;
use crate::http::request::Call;
use crate::http::shared::{Newest, OneEvent, Outcomes, Watched};
use crate::http::state::AppState;
use crate::store::{FeedEvent, Filters, StoreError};
use crate::telemetry::condition::Condition;

/// How often a node looks while somebody watches.
const LOOK: Duration = Duration::from_millis(500);
/// Outcomes that are told of one moment: more than a page shows, nobody reads.
const NEWEST_MAX: usize = 100;
/// Sets of filters that are watched at once, each of which costs a look.
const FILTERS_MAX: usize = 32;
/// Moments that somebody who reads slowly may lie behind.
const BEHIND_MAX: usize = 16;

/// The newest outcomes of a moment, the oldest first.
#[derive(Serialize)]
struct Moment<'a> {
    outcomes: Vec<OutcomeView<'a>>,
    /// Whether these are all.
    complete: bool,
}

impl Newest {
    /// Looks for as long as the future is polled.
    pub async fn watch(state: Data<AppState>) {
        let condition = Condition::new("the look at the newest outcomes");
        loop {
            if state.newest.is_watched() {
                condition.note(&look(&state).await);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody is left; forgets what nobody watches.
    fn is_watched(&self) -> bool {
        let mut watched = self.watched();
        watched.outcomes.retain(|_, outcomes| outcomes.told.receiver_count() > 0);
        watched.events.retain(|_, one| one.told.receiver_count() > 0);
        !(watched.outcomes.is_empty() && watched.events.is_empty())
    }

    /// Follows the outcomes after the flush `head`, or those that others follow already.
    fn follow(&self, filters: Filters, head: i64) -> Result<Receiver<Bytes>, ApiError> {
        let outcomes = &mut self.watched().outcomes;
        if outcomes.len() >= FILTERS_MAX && !outcomes.contains_key(&filters) {
            return Err(ApiError::new(Problem::Overloaded, "too many different filters are watched"));
        }
        let outcomes = outcomes.entry(filters).or_insert_with(|| Outcomes { after: head, told: channel() });
        Ok(outcomes.told.subscribe())
    }

    fn follow_event(&self, id: i64, now: Option<FeedEvent>) -> Receiver<Bytes> {
        let events = &mut self.watched().events;
        events.entry(id).or_insert_with(|| OneEvent { last: now, told: channel() }).told.subscribe()
    }

    /// What is to be read from the flush `head` on.
    fn due(&self, head: i64) -> (Vec<(Filters, i64)>, Vec<i64>) {
        let watched = self.watched();
        let behind = watched.outcomes.iter().filter(|(_, outcomes)| outcomes.after < head);
        let outcomes = behind.map(|(filters, outcomes)| (filters.clone(), outcomes.after)).collect();
        (outcomes, watched.events.keys().copied().collect())
    }

    fn tell(&self, filters: &Filters, head: i64, (events, is_all): (Vec<FeedEvent>, bool)) {
        let mut watched = self.watched();
        let Some(outcomes) = watched.outcomes.get_mut(filters) else { return };
        outcomes.after = head;
        if !events.is_empty() || !is_all {
            let moment = Moment { outcomes: events.iter().map(OutcomeView::of).collect(), complete: is_all };
            // Nobody may be left to hear it.
            let _ = outcomes.told.send(event("outcomes", &moment));
        }
    }

    fn tell_changes(&self, events: Vec<FeedEvent>) {
        let mut watched = self.watched();
        for now in events {
            let Some(one) = watched.events.get_mut(&now.id) else { continue };
            if one.last.as_ref() != Some(&now) {
                let _ = one.told.send(event("changed", &OutcomeView::of(&now)));
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
    let (outcomes, ids) = state.newest.due(head);
    for (filters, after) in outcomes {
        let newest = state.store.feed_newest((after, head), &filters, NEWEST_MAX, STORE_WAIT).await?;
        state.newest.tell(&filters, head, newest);
    }
    if !ids.is_empty() {
        state.newest.tell_changes(state.store.feed_events(ids, STORE_WAIT).await?);
    }
    Ok(())
}

/// `GET /api/live/events`, with the filters of the list but for times.
pub async fn follow_outcomes(call: Call) -> Result<HttpResponse, ApiError> {
    let caller = call.authorise(Scope::Read, "reading events").await?;
    let filters = events::filters_of_newest(call.request.query_string(), &caller)?;
    let permit = watcher::room(&call.state)?;
    let head = call.state.store.feed_head(STORE_WAIT).await?;
    let news = call.state.newest.follow(filters, head)?;
    watcher::stream(call, permit, news)
}

/// `GET /api/live/events/{id}`; whoever may not see the event is told that there is none.
pub async fn follow_event(call: Call) -> Result<HttpResponse, ApiError> {
    let id = events::visible_id(&call).await?;
    let permit = watcher::room(&call.state)?;
    let now = call.state.store.feed_events(vec![id], STORE_WAIT).await?.pop();
    let news = call.state.newest.follow_event(id, now);
    watcher::stream(call, permit, news)
}

impl News for Receiver<Bytes> {
    async fn next(&mut self) -> Bytes {
        match self.recv().await {
            Ok(lines) => lines,
            Err(RecvError::Lagged(_)) => Bytes::from_static(b"event: gap\ndata: {}\n\n"),
            // What is watched is kept for as long as somebody does.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
