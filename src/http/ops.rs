//! Operations, on a port of their own: what the pipeline is doing, and how many actors do it.
//!
//! A caller on this very machine needs no token to look, unless the request came through a proxy or under a foreign host
//! name: a web page whose name was rebound to 127.0.0.1 must not read along.

use actix_web::http::StatusCode;
use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::auth::allows;
use super::body;
use super::error::ApiError;
use super::media::{JSON_ONLY, Media};
use super::problems::Problem;
use super::request::{Call, json};
use super::state::AppState;
use crate::domain::scopes::Scope;
use crate::pipeline::{BootView, NotResized, PipelineView};

/// Most actors of a pool, as in `config.toml`.
const POOL_SIZE_MAX: usize = 64;

/// Longest name of a pool that is repeated in an answer, in characters.
const POOL_NAME_CHARS_MAX: usize = 40;

/// Headers that a proxy adds, behind which every peer looks local, or a browser, which may stand behind a proxy that adds
/// none: who looks with a browser logs in.
const FOREIGN_HEADERS: [&str; 7] =
    ["forwarded", "x-forwarded-for", "x-real-ip", "via", "origin", "sec-fetch-site", "sec-fetch-mode"];

#[derive(Serialize)]
struct Index {
    service: &'static str,
    version: &'static str,
    routes: [&'static str; 8],
}

/// What there is on this port, beside the dashboard and the routes of the API that it asks.
pub(super) fn index() -> HttpResponse {
    let routes = [
        "/api/live",
        "/api/pipeline",
        "/api/pipeline/pools/{pool}",
        "/api/session",
        "/health/live",
        "/health/ready",
        "/problems",
        "/problems/{code}",
    ];
    json(StatusCode::OK, &Index { service: "gristmill", version: env!("CARGO_PKG_VERSION"), routes })
}

/// The line of the node that answers, and all nodes.
#[derive(Serialize)]
pub(super) struct Cluster {
    #[serde(flatten)]
    line: PipelineView,
    /// Null while the database does not answer.
    pub nodes: Option<Vec<BootView>>,
}

/// Actors per pool, their restarts, what is in flight, and every node of the cluster.
pub async fn pipeline(call: Call) -> Result<HttpResponse, ApiError> {
    if !is_local(&call.request) {
        permit_view(&call).await?;
    }
    match cluster(&call.state).await {
        Some(cluster) => Ok(json(StatusCode::OK, &cluster)),
        None => Err(ApiError::new(Problem::PipelineUnavailable, "the pipeline did not describe itself")),
    }
}

/// Whether the caller may see the state of the pipeline.
pub(super) async fn permit_view(call: &Call) -> Result<(), ApiError> {
    let caller = call.state.auth.authenticate(call.headers()).await?;
    if ![Scope::Operate, Scope::ReadAll].into_iter().any(|scope| allows(caller.scopes, scope)) {
        return Err(ApiError::forbidden(Scope::Operate, "the state of the pipeline"));
    }
    Ok(())
}

/// What the cluster looks like now; `None` if this node's pipeline does not answer.
pub(super) async fn cluster(state: &AppState) -> Option<Cluster> {
    let line = state.pipeline.describe().await?;
    Some(Cluster { line, nodes: state.pipeline.nodes().await })
}

/// What is to become of a pool.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resizing {
    size: usize,
}

/// `POST /api/pipeline/pools/{pool}`: another number of actors, until the process ends. A page in a browser on this
/// machine could post here, so a token is always needed.
pub async fn resize_pool(call: Call) -> Result<HttpResponse, ApiError> {
    call.authorise_operator(Scope::Operate, "resizing a pool").await?;
    let media = Media::declared(call.headers(), JSON_ONLY)?;
    let pool = call.request.match_info().get("pool").unwrap_or_default().to_owned();
    let body = body::read(call.request.headers(), call.payload, &call.state.body_limits, |_| Ok(())).await?;
    media.check(&body, JSON_ONLY)?;
    let size = wanted_size(&body)?;
    match call.state.pipeline.resize(&pool, size).await {
        Ok(view) => Ok(json(StatusCode::OK, &view)),
        Err(NotResized::NoSuchPool) => {
            let pool: String = pool.chars().take(POOL_NAME_CHARS_MAX).collect();
            let detail = format!("there is no pool {pool:?}, expected validators, normalizers or persisters");
            Err(ApiError::new(Problem::NotFound, detail))
        }
        Err(NotResized::Unsupervised) => Err(ApiError::new(Problem::PipelineUnavailable, "the supervisor is gone")),
    }
}

fn wanted_size(body: &[u8]) -> Result<usize, ApiError> {
    let value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::new(Problem::InvalidJson, format!("the body is not JSON: {error}")))?;
    let Resizing { size } =
        Resizing::deserialize(value).map_err(|error| ApiError::invalid_request(format!("the body: {error}")))?;
    if !(1..=POOL_SIZE_MAX).contains(&size) {
        return Err(ApiError::invalid_request(format!("size is {size}, expected 1 to {POOL_SIZE_MAX}")));
    }
    Ok(size)
}

fn is_local(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let is_peer_local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_foreign = FOREIGN_HEADERS.iter().any(|name| headers.contains_key(*name));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    is_peer_local && !is_foreign && host.is_none_or(is_loopback_name)
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn local(peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = TestRequest::default().peer_addr(peer.parse().expect("an address"));
        for header in headers {
            request = request.insert_header(*header);
        }
        is_local(&request.to_http_request())
    }

    #[test]
    fn a_pool_has_one_to_64_actors() {
        let size = |body: &str| wanted_size(body.as_bytes()).map_err(|error| error.problem().entry().code);
        assert_eq!((size(r#"{"size":1}"#), size(r#"{"size":64}"#)), (Ok(1), Ok(64)));
        for body in
            [r#"{"size":0}"#, r#"{"size":65}"#, r#"{"size":-1}"#, r#"{"size":1.5}"#, "{}", "[]", r#"{"size":1,"a":1}"#]
        {
            assert_eq!(size(body), Err("invalid_request"), "{body}");
        }
        assert_eq!(size("size=2"), Err("invalid_json"));
    }

    #[test]
    fn only_a_direct_caller_on_this_machine_is_local() {
        for host in ["localhost:5555", "127.0.0.1:5555", "[::1]:5555", "[::1]", "LOCALHOST"] {
            assert!(local("127.0.0.1:9", &[("host", host)]), "{host}");
        }
        assert!(local("[::ffff:127.0.0.1]:9", &[("host", "localhost")]));
        assert!(!local("10.0.0.1:9", &[("host", "localhost")]));
        assert!(!local("127.0.0.1:9", &[("host", "evil.example")]));
        for (name, value) in [("x-forwarded-for", "10.0.0.1"), ("x-real-ip", "10.0.0.1"), ("sec-fetch-site", "none")] {
            assert!(!local("127.0.0.1:9", &[("host", "localhost"), (name, value)]), "{name}");
        }
    }
}
