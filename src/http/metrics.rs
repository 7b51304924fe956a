//! `GET /metrics` on the operations port, for Prometheus.
//!
//! It answers whatever else does not: each look at something is bounded, and what does not answer is left out. The
//! database is queried only while heartbeats reach it, by one scrape at a time, and rests after that.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Data;
use tokio::time::timeout;

use super::access::{AuthorisedOrLocal, ReadMetrics};
use super::error::ApiError;
use super::shared::{Backlogs, CachedBacklog};
use super::state::AppState;
use crate::clock;
use crate::pipeline::PipelineView;
use crate::store::Backlog;
use crate::telemetry::scrape::{
    self, ActorFigures, BacklogFigures, ConnectionFigures, Figures, LineFigures, SpoolFigures,
};

/// Longest wait for the Supervisor, and for the database.
const WAIT: Duration = Duration::from_secs(1);

/// How long what was counted in the database is good.
const REST_MIN: Duration = Duration::from_secs(2);

/// It is counted anew at most so much of the time: the count of a long backlog takes its time.
const REST_FACTOR: u32 = 20;

/// The page of metrics.
pub async fn scrape(state: Data<AppState>, _: AuthorisedOrLocal<ReadMetrics>) -> Result<HttpResponse, ApiError> {
    let page = scrape::page(&figures(&state).await);
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, scrape::MEDIA_TYPE)).body(page))
}

async fn figures(state: &AppState) -> Figures {
    let is_database_up = state.pipeline.is_database_up();
    let line = timeout(WAIT, state.pipeline.describe()).await.ok().flatten();
    let backlog = if is_database_up { state.backlogs.look(state).await } else { None };
    Figures {
        database: state.store.kind_name(),
        is_ready: state.readiness().is_empty(),
        is_database_up,
        claims_fail_for: state.pipeline.claims_fail_for().unwrap_or_default(),
        line: line.map(|line| of_line(&line, state.pipeline.in_flight_limits())),
        spool: Some(of_spool(state)),
        backlog: backlog.map(of_backlog),
        connections: of_connections(state),
    }
}

impl Backlogs {
    /// What waits in the database; simultaneous scrapes query it once.
    async fn look(&self, state: &AppState) -> Option<Backlog> {
        let mut seen = self.0.lock().await;
        if let Some(seen) = seen.filter(|seen| Instant::now() < seen.good_until) {
            return seen.backlog;
        }
        let began = Instant::now();
        let backlog = state.store.backlog(WAIT).await.ok();
        let rest = (began.elapsed() * REST_FACTOR).max(REST_MIN);
        *seen = Some(CachedBacklog { backlog, good_until: Instant::now() + rest });
        backlog
    }
}

fn of_line(line: &PipelineView, (events_max, bytes_max): (usize, usize)) -> LineFigures {
    let actors = line.pools.iter().map(|pool| ActorFigures {
        // A pool has its stage's name, in the plural where there may be several actors.
        stage: pool.name.trim_end_matches('s'),
        running: pool.actors.iter().filter(|actor| actor.state == "running").count(),
        mailbox: pool.actors.iter().map(|actor| actor.mailbox).sum(),
    });
    LineFigures {
        generation: line.generation,
        actors: actors.collect(),
        events: (line.in_flight.events, events_max),
        bytes: (line.in_flight.bytes, bytes_max),
        retries_waiting: line.retries_waiting,
        claims_held: line.claims_held,
    }
}

fn of_spool(state: &AppState) -> SpoolFigures {
    let Some((level, limits)) = state.pipeline.spool_level() else { return SpoolFigures::default() };
    let oldest = level.oldest.and_then(|oldest| (clock::now() - oldest).to_std().ok());
    SpoolFigures {
        events: level.events,
        bytes: (level.bytes, limits.bytes_max),
        parked: level.parked,
        oldest: oldest.unwrap_or_default(),
    }
}

fn of_backlog(backlog: Backlog) -> BacklogFigures {
    let oldest = backlog.oldest.and_then(|oldest| (clock::now() - oldest).to_std().ok());
    BacklogFigures { events: backlog.events, oldest: oldest.unwrap_or_default() }
}

fn of_connections(state: &AppState) -> Vec<ConnectionFigures> {
    let pools = state.store.connections().into_iter();
    pools
        .map(|use_of| ConnectionFigures { pool: use_of.pool, used: use_of.used, idle: use_of.idle, most: use_of.most })
        .collect()
}
