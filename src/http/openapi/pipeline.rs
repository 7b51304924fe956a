//! The operations on the pipeline and its control.

use actix_web::http::Method;
use serde_json::json;

use super::operation::Operation;
use super::schemas::{JSON, Schemas, pool_size};
use crate::domain::rejection::RejectCode;
use crate::domain::scopes::Scope;
use crate::http::cluster::Cluster;
use crate::http::control::POOL_SIZE_MAX;
use crate::http::problems::Problem;
use crate::http::spool::{Retried, SpoolView};
use crate::pipeline::Changed;

/// The tag of them; all are on the operations port alone.
pub const TAG: &str = "Pipeline";
const STREAM: &str = "text/event-stream";
/// What a stream answers.
const ENDLESS: &str = "The events, until the server stops or the token ends";
/// Scopes that open what the service is doing.
const VIEWERS: [Scope; 2] = [Scope::Operate, Scope::ReadAll];

/// All of them.
pub fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let mut operations = shown(schemas);
    operations.extend(controlled(schemas));
    operations
}

fn shown(schemas: &mut Schemas) -> Vec<Operation> {
    vec![
        Operation::new(Method::GET, "/api/pipeline", TAG, "showPipeline", "Show a line of actors and all nodes")
            .says("Of the node that answers, or of another as it told last.")
            .needs(&VIEWERS)
            .parameter("Node")
            .answers(200, "Pools, actors, what is in flight, nodes", schemas.of::<Cluster>())
            .problems(&[Problem::InvalidRequest, Problem::NotFound, Problem::PipelineUnavailable]),
        Operation::new(Method::GET, "/api/live", TAG, "followPipeline", "Follow the line and the newest figures")
            .says("Server-sent events: `pipeline` with what `showPipeline` answers, `figures` of the last seconds.")
            .needs(&VIEWERS)
            .answers_as(200, ENDLESS, STREAM, json!({"type": "string"}))
            .problems(&[Problem::Overloaded]),
        Operation::new(Method::GET, "/api/live/pipeline", TAG, "followNode", "Follow the line of any node")
            .says("Server-sent events: `pipeline` with what `showPipeline` answers, `doubt` while that cannot be told.")
            .needs(&VIEWERS)
            .parameter("Node")
            .answers_as(200, ENDLESS, STREAM, json!({"type": "string"}))
            .problems(&[Problem::InvalidRequest, Problem::NotFound, Problem::PipelineUnavailable, Problem::Overloaded]),
        Operation::new(Method::GET, "/api/live/events", TAG, "followOutcomes", "Follow the newest outcomes")
            .says(
                "Server-sent events: `outcomes` with at most 100 of each moment, the oldest first, and in `complete` whether \
                 these are all; `gap` if some moments were missed.",
            )
            .needs(&[Scope::Read])
            .parameters(&["Status", "EventName", "EventType", "UserId", "ErrorCode"])
            .answers_as(200, ENDLESS, STREAM, json!({"type": "string"}))
            .problems(&[Problem::InvalidRequest, Problem::Overloaded]),
        Operation::new(Method::GET, "/api/live/events/{id}", TAG, "followEvent", "Follow one event")
            .says("Server-sent events: `changed` with its outcome, `gap` if changes were missed.")
            .needs(&[Scope::Read])
            .parameter("Id")
            .answers_as(200, ENDLESS, STREAM, json!({"type": "string"}))
            .problems(&[Problem::NotFound, Problem::EventInSpool, Problem::EventUnreadable, Problem::Overloaded]),
        Operation::new(Method::GET, "/metrics", TAG, "showMetrics", "The metrics, for Prometheus")
            .needs(&VIEWERS)
            .answers_as(200, "Prometheus' text format", "text/plain", json!({"type": "string"})),
    ]
}

fn controlled(schemas: &mut Schemas) -> Vec<Operation> {
    let changed = schemas.of::<Changed>();
    let size = schemas.body("PoolSize", pool_size(POOL_SIZE_MAX));
    let changing = |path, id: &str, summary: &str| {
        Operation::new(Method::POST, path, TAG, id, summary)
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
        Operation::new(Method::GET, "/api/spool", TAG, "showSpool", "Show the spool of the node that answers")
            .needs(&VIEWERS)
            .answers(200, "What waits, and what was set apart", schemas.of::<SpoolView>()),
        Operation::new(Method::POST, "/api/spool/retry", TAG, "retryParked", "Try parked events at once")
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
