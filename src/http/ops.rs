//! Operations, on a port of their own: what the pipeline is doing; `control` changes it.
//!
//! Reading needs a token, or `dashboard.trust_local` and a caller on this very machine (`access`).

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use schemars::JsonSchema;
use serde::Serialize;

use super::access::{AuthorisedOrLocal, ReadPipeline};
use super::cluster::{NodeParams, UNDESCRIBED, cluster, view_of};
use super::error::ApiError;
use super::params::Params;
use super::problems::Problem;
use super::respond::json;
use super::state::AppState;

/// The paths of this port.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Index")]
pub(super) struct Index {
    service: &'static str,
    version: &'static str,
    routes: [&'static str; 20],
}

/// What there is on this port, beside the dashboard and the routes of the API that it calls.
pub(super) fn index() -> HttpResponse {
    let routes = [
        "/api/live",
        "/api/live/events",
        "/api/live/events/{id}",
        "/api/live/pipeline",
        "/api/pipeline",
        "/api/pipeline/pause",
        "/api/pipeline/resume",
        "/api/pipeline/pools/{pool}",
        "/api/pipeline/pools/{pool}/pause",
        "/api/pipeline/pools/{pool}/resume",
        "/api/pipeline/pools/{pool}/restart",
        "/api/session",
        "/api/spool",
        "/api/spool/retry",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/openapi.json",
        "/problems",
        "/problems/{code}",
    ];
    json(StatusCode::OK, &Index { service: "gristmill", version: env!("CARGO_PKG_VERSION"), routes })
}

/// `GET /api/pipeline`: actors per pool, their restarts, what is in flight, and every node of the cluster.
pub async fn pipeline(
    state: Data<AppState>,
    AuthorisedOrLocal { rest: Params(NodeParams { node }), .. }: AuthorisedOrLocal<ReadPipeline, Params<NodeParams>>,
) -> Result<HttpResponse, ApiError> {
    let Some(mut seen) = cluster(&state).await else {
        return Err(ApiError::new(Problem::PipelineUnavailable, UNDESCRIBED));
    };
    if let Some(wanted) = node {
        seen = view_of(&state, seen, &wanted).await?;
    }
    Ok(json(StatusCode::OK, &seen))
}
