//! The operations of the operations port: the part of the API that is served there too, with what is different there, and
//! what there is on that port alone.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::operation::Operation;
use super::schemas::{JSON, Schemas, pool_size};
use crate::domain::rejection::RejectCode;
use crate::domain::scopes::Scope;
use crate::http::cluster::Cluster;
use crate::http::control::POOL_SIZE_MAX;
use crate::http::dashboard::SessionView;
use crate::http::ops::Index;
use crate::http::problems::Problem;
use crate::http::spool::{Retried, SpoolView};
use crate::pipeline::Changed;

const DASHBOARD: &str = "Dashboard";
const PIPELINE: &str = "Pipeline";
const DOCUMENTS: &str = "Documents";
const HTML: &str = "text/html";
const STREAM: &str = "text/event-stream";
/// What a stream answers.
const ENDLESS: &str = "The events, until the server stops or the token ends";

/// What is served on the API's port alone: events are taken there, in all their forms.
const API_ONLY: [(Method, &str); 7] = [
    (Method::POST, "/api/v1/events"),
    (Method::POST, "/api/v1/events/batch"),
    (Method::POST, "/api/v1/events/process"),
    (Method::POST, "/api/v1/events/validate"),
    (Method::GET, "/api/v1/events/export"),
    (Method::GET, "/openapi.json"),
    (Method::GET, "/docs"),
];
/// Scopes that open what the service is doing.
const VIEWERS: [Scope; 2] = [Scope::Operate, Scope::ReadAll];
/// Statuses under which the login is shown again.
const REFUSED: [u16; 8] = [400, 401, 408, 413, 415, 429, 500, 503];

/// All of them, of which `api` are those of the API.
pub fn operations(schemas: &mut Schemas, api: Vec<Operation>) -> Vec<Operation> {
    let is_shared = |operation: &Operation| !API_ONLY.contains(&(operation.method.clone(), operation.path));
    let mut operations: Vec<Operation> = api.into_iter().filter(is_shared).collect();
    operations.extend(dashboard(schemas));
    operations.extend(pipeline(schemas));
    operations.extend(control(schemas));
    operations.into_iter().map(Operation::on_the_operations_port).collect()
}

fn dashboard(schemas: &mut Schemas) -> Vec<Operation> {
    let page = || json!({"type": "string"});
    let asset = Operation::new(Method::GET, "/assets/{name}", DASHBOARD, "showAsset", "A file of the dashboard")
        .parameter("Asset")
        .answers_nothing(304, "It is still the one of `If-None-Match`")
        .problems(&[Problem::NotFound]);
    let log_in = Operation::new(Method::POST, "/login", DASHBOARD, "logIn", "Open a session for a token")
        .says("The cookie is the session, a token of the same user with the same scopes that ends with this one.")
        .form(json!({"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}}))
        .answers_nothing(303, "It is open")
        .with_header(303, "Location")
        .with_header(303, "Set-Cookie");
    vec![
        Operation::new(Method::GET, "/", DASHBOARD, "showDashboard", "The dashboard, or what there is on this port")
            .needs_token()
            .answers(200, "The paths of this port, for programs", schemas.of::<Index>())
            .answers_as(200, "", HTML, page()),
        Operation::new(Method::GET, "/login", DASHBOARD, "showLogin", "The page on which one logs in")
            .answers_as(200, "The page", HTML, page())
            .answers_nothing(303, "Who is known is sent to the dashboard")
            .with_header(303, "Location"),
        REFUSED.iter().fold(log_in, |operation, status| {
            operation.answers_as(*status, "No session; the page says why", HTML, page())
        }),
        Operation::new(Method::POST, "/logout", DASHBOARD, "logOut", "End the session")
            .says("A token that is no session is left alone.")
            .needs_token()
            .answers_nothing(204, "There is no session now")
            .with_header(204, "Set-Cookie")
            .problems(&[Problem::OutcomeUnknown]),
        ["text/css", "image/svg+xml", "text/javascript"]
            .into_iter()
            .fold(asset, |operation, media| operation.answers_as(200, "The file", media, page())),
        Operation::new(Method::GET, "/api/session", DASHBOARD, "showSession", "Who the token's user is")
            .needs_token()
            .answers(200, "The user, and what the token may do", schemas.of::<SessionView<'_>>()),
        Operation::new(Method::GET, "/openapi.json", DOCUMENTS, "showOpenApi", "This document").needs_token().answers(
            200,
            "The document",
            json!({"type": "object"}),
        ),
    ]
}

fn pipeline(schemas: &mut Schemas) -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/api/pipeline", PIPELINE, "showPipeline", "Show a line of actors and all nodes")
            .says("Of the node that answers, or of another as it told last.")
            .needs(&VIEWERS)
            .parameter("Node")
            .answers(200, "Pools, actors, what is in flight, nodes", schemas.of::<Cluster>())
            .problems(&[Problem::InvalidRequest, Problem::NotFound, Problem::PipelineUnavailable]),
        Operation::new(Method::GET, "/api/live", PIPELINE, "followPipeline", "Follow the line and the newest figures")
            .says("Server-sent events: `pipeline` with what `showPipeline` answers, `figures` of the last seconds.")
            .needs(&VIEWERS)
            .answers_as(200, ENDLESS, STREAM, json!({"type": "string"}))
            .problems(&[Problem::Overloaded]),
        Operation::new(Method::GET, "/api/live/pipeline", PIPELINE, "followNode", "Follow the line of any node")
            .says("Server-sent events: `pipeline` with what `showPipeline` answers, `doubt` while that cannot be told.")
            .needs(&VIEWERS)
            .parameter("Node")
            .answers_as(200, ENDLESS, STREAM, json!({"type": "string"}))
            .problems(&[Problem::InvalidRequest, Problem::NotFound, Problem::PipelineUnavailable, Problem::Overloaded]),
        Operation::new(Method::GET, "/api/live/events", PIPELINE, "followOutcomes", "Follow the newest outcomes")
            .says(
                "Server-sent events: `outcomes` with at most 100 of each moment, the oldest first, and in `complete` whether \
                 these are all; `gap` if some moments were missed.",
            )
            .needs(&[Scope::Read])
            .parameters(&["Status", "EventName", "EventType", "UserId", "ErrorCode"])
            .answers_as(200, ENDLESS, STREAM, json!({"type": "string"}))
            .problems(&[Problem::InvalidRequest, Problem::Overloaded]),
        Operation::new(Method::GET, "/api/live/events/{id}", PIPELINE, "followEvent", "Follow one event")
            .says("Server-sent events: `changed` with its outcome, `gap` if changes were missed.")
            .needs(&[Scope::Read])
            .parameter("Id")
            .answers_as(200, ENDLESS, STREAM, json!({"type": "string"}))
            .problems(&[Problem::NotFound, Problem::EventInSpool, Problem::EventUnreadable, Problem::Overloaded]),
        Operation::new(Method::GET, "/metrics", PIPELINE, "showMetrics", "The metrics, for Prometheus")
            .needs(&VIEWERS)
            .answers_as(200, "Prometheus' text format", "text/plain", json!({"type": "string"})),
    ]
}

fn control(schemas: &mut Schemas) -> Vec<Operation> {
    let changed = schemas.of::<Changed>();
    let size = schemas.body("PoolSize", pool_size(POOL_SIZE_MAX));
    let changing = |path, id: &str, summary: &str| {
        Operation::new(Method::POST, path, PIPELINE, id, summary)
            .needs(&[Scope::Operate])
            .answers(200, "What the node that answers has then", changed.clone())
            .problems(&[Problem::OutcomeUnknown, Problem::PipelineUnavailable])
    };
    let nothing = || [(JSON, json!({"type": "object", "maxProperties": 0}))];
    let plain = |path, id: &str, summary: &str| {
        changing(path, id, summary).body(false, &nothing()).problems(&[Problem::Rejected(RejectCode::InvalidField)])
    };
    let of_pool =
        |path, id: &str, summary: &str| plain(path, id, summary).parameter("Pool").problems(&[Problem::NotFound]);
    let stays = "On every node, also after restarts.";
    vec![
        plain("/api/pipeline/pause", "pausePipeline", "Hand the whole line nothing more").says(stays),
        plain("/api/pipeline/resume", "resumePipeline", "Go on with the line")
            .says("On every node. What is paused by itself stays so."),
        changing("/api/pipeline/pools/{pool}", "resizePool", "Give a pool another size")
            .says(stays)
            .parameter("Pool")
            .body(true, &[(JSON, size)])
            .problems(&[Problem::NotFound]),
        Operation::new(Method::GET, "/api/spool", PIPELINE, "showSpool", "Show the spool of the node that answers")
            .needs(&VIEWERS)
            .answers(200, "What waits, and what was set apart", schemas.of::<SpoolView>()),
        Operation::new(Method::POST, "/api/spool/retry", PIPELINE, "retryParked", "Try parked events at once")
            .says("Of the node that answers. With `give_up` what the database still refuses ends as failed.")
            .needs(&[Scope::Operate])
            .body(false, &[(JSON, json!({"type": "object", "properties": {"give_up": {"type": "boolean"}}, "additionalProperties": false}))])
            .answers(200, "How many units are tried", schemas.of::<Retried>())
            .problems(&[Problem::Rejected(RejectCode::InvalidField)]),
        of_pool("/api/pipeline/pools/{pool}/pause", "pausePool", "Hand a pool nothing more").says(stays),
        of_pool("/api/pipeline/pools/{pool}/resume", "resumePool", "Go on with a pool").says("On every node."),
        of_pool("/api/pipeline/pools/{pool}/restart", "restartPool", "Replace each actor of a pool")
            .says("On every node, once. No event is lost or charged for it."),
    ]
}

/// The cookie of a session beside the bearer token.
pub fn security_schemes(token: &Value, cookie: &str) -> Value {
    json!({"token": token, "session": {"type": "apiKey", "in": "cookie", "name": cookie,
        "description": "The session of a token. A change with it needs the header `X-Gristmill-Request: 1`."}})
}
