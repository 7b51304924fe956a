//! `GET /api/live`: the pipeline and the newest figures as they change, as server-sent events.
//!
//! One look a second per node for all watchers, and none without any. Not guaranteed: that every state is seen, only
//! that the last one is.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::Data;
use bytes::Bytes;
use chrono::TimeDelta;
use serde::Serialize;
use tokio::sync::watch;

use super::sse::{self, LineSource, event};
use crate::http::access::{Authorised, ReadPipeline};
use crate::http::bounds::STORE_WAIT;
use crate::http::cluster::{self, Cluster};
use crate::http::credentials::Credentials;
use crate::http::error::ApiError;
use crate::http::series::{BucketView, begin_of};
use crate::http::shared::{Live, LiveSnapshot};
use crate::http::state::AppState;
use crate::store::Series;

/// How often a node looks while somebody watches.
const LOOK: Duration = Duration::from_secs(1);
/// Seconds of a bucket of the newest figures, the shortest that a series has.
const STEP: i64 = 5;
/// Pending events are counted up to this many: more would take longer than a look may.
const BACKLOG_MAX: u32 = 10_000;

/// The newest figures of all nodes.
#[derive(Serialize)]
struct LiveFigures {
    step_seconds: i64,
    /// The bucket that is being filled, and the one before it.
    buckets: Vec<BucketView>,
    pending: i64,
    /// Whether there are more than were counted.
    pending_and_more: bool,
    /// Events in the spools of all nodes, as they last said.
    spooled: u64,
}

impl Live {
    /// Looks for as long as the future is polled.
    pub async fn run(state: Data<AppState>) {
        loop {
            if state.live.latest.receiver_count() > 0 {
                let before = state.live.latest.borrow().clone();
                let shot = look(&state, before).await;
                state.live.latest.send_if_modified(|latest| std::mem::replace(latest, shot.clone()) != shot);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What does not answer now retains the text of the look before.
async fn look(state: &AppState, mut shot: LiveSnapshot) -> LiveSnapshot {
    let Some(mut cluster) = cluster::cluster(state).await else { return shot };
    let nodes = cluster.nodes.as_deref().unwrap_or_default();
    let spooled = nodes.iter().filter(|node| node.state != "stopped").map(|node| node.spool_events).sum();
    if let Some(figures) = figures(state, spooled).await {
        shot.figures = event("figures", &figures);
    }
    quieten(&mut cluster);
    shot.pipeline = event("pipeline", &cluster);
    shot
}

async fn figures(state: &AppState, spooled: u64) -> Option<LiveFigures> {
    let now = state.store.now(STORE_WAIT).await.ok()?;
    let since = begin_of(now, STEP) - TimeDelta::seconds(STEP);
    let buckets = state.store.series(Series { since, step: STEP }, STORE_WAIT).await.ok()?;
    let pending = state.store.pending_up_to(BACKLOG_MAX + 1, STORE_WAIT).await.ok()?;
    let and_more = pending > i64::from(BACKLOG_MAX);
    Some(LiveFigures {
        step_seconds: STEP,
        buckets: BucketView::all(since, STEP, 2, &buckets),
        pending: pending.min(i64::from(BACKLOG_MAX)),
        pending_and_more: and_more,
        spooled,
    })
}

/// Hides the age of a heartbeat that is young enough: it is not a change.
pub(super) fn quieten(cluster: &mut Cluster) {
    for node in cluster.nodes.iter_mut().flatten().filter(|node| node.state != "silent") {
        node.heartbeat_age_ms = 0;
    }
}

/// The parts that differ from what was last sent.
struct LiveChanges {
    latest: watch::Receiver<LiveSnapshot>,
    sent: LiveSnapshot,
}

/// `GET /api/live`, for the scopes that open the pipeline.
pub async fn follow(
    state: Data<AppState>,
    _: Authorised<ReadPipeline>,
    credentials: Credentials,
) -> Result<HttpResponse, ApiError> {
    let permit = sse::room(&state)?;
    let news = LiveChanges { latest: state.live.latest.subscribe(), sent: LiveSnapshot::default() };
    Ok(sse::stream(state, credentials, permit, news))
}

impl LineSource for LiveChanges {
    async fn next(&mut self) -> Bytes {
        loop {
            let news = self.take();
            if !news.is_empty() {
                return news.into();
            }
            // The sender lives for as long as the server does.
            let _ = self.latest.changed().await;
        }
    }
}

impl LiveChanges {
    fn take(&mut self) -> Vec<u8> {
        let shot = self.latest.borrow_and_update().clone();
        let mut news = Vec::new();
        for (part, sent) in [(&shot.pipeline, &self.sent.pipeline), (&shot.figures, &self.sent.figures)] {
            if part != sent {
                news.extend_from_slice(part);
            }
        }
        self.sent = shot;
        news
    }
}
