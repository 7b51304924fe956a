//! Operations, on a port of their own: what the pipeline is doing; `control` changes it.
//!
//! Reading needs a token. `dashboard.trust_local` lets a caller on this very machine read without one, unless the
//! request came through a proxy that says so or under a foreign host name: a web page whose name was rebound to
//! 127.0.0.1 must not read along. A proxy that says nothing cannot be recognised.

use actix_web::http::StatusCode;
use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse};
use schemars::JsonSchema;
use serde::Serialize;

use super::auth::allows;
use super::cluster::{UNDESCRIBED, cluster};
use super::error::ApiError;
use super::problems::Problem;
use super::remote_node;
use super::request::Call;
use super::respond::json;
use crate::domain::scopes::Scope;

/// Headers that a proxy adds, behind which every peer looks local, or a browser, which may stand behind a proxy that
/// adds none: people with a browser log in.
const FOREIGN_HEADERS: [&str; 7] =
    ["forwarded", "x-forwarded-for", "x-real-ip", "via", "origin", "sec-fetch-site", "sec-fetch-mode"];

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
pub async fn pipeline(call: Call) -> Result<HttpResponse, ApiError> {
    may_look(&call, "the state of the pipeline").await?;
    let wanted = remote_node::node_param(call.request.query_string())?;
    let Some(mut seen) = cluster(&call.state).await else {
        return Err(ApiError::new(Problem::PipelineUnavailable, UNDESCRIBED));
    };
    if let Some(wanted) = wanted {
        seen = remote_node::view_of(&call.state, seen, &wanted).await?;
    }
    Ok(json(StatusCode::OK, &seen))
}

/// Whether the caller may see what the service is doing: with a token, or from this machine if it is trusted; `what` names
/// it in the refusal.
pub(super) async fn may_look(call: &Call, what: &str) -> Result<(), ApiError> {
    if call.state.trusts_local && is_local(&call.request) {
        return Ok(());
    }
    permit_view(call, what).await
}

/// As [`may_look`], but always with a token.
pub(super) async fn permit_view(call: &Call, what: &str) -> Result<(), ApiError> {
    let caller = call.state.auth.authenticate(call.credentials()?).await?;
    let may = [Scope::Operate, Scope::ReadAll].into_iter().any(|scope| allows(caller.scopes, scope));
    if may { Ok(()) } else { Err(ApiError::forbidden(Scope::Operate, what)) }
}

/// Whether the request comes from this very machine, and not through a proxy or under a foreign name.
pub(super) fn is_local(request: &HttpRequest) -> bool {
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
