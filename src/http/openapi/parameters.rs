//! Parameters and headers that operations share, by their names among the document's components.

use serde_json::{Value, json};

use super::schemas::DURATION_PATTERN;
use crate::domain::actor_kind::ActorKind;
use crate::domain::outcome::Status;
use crate::http::events::WAIT_SECONDS_MAX;
use crate::http::params::{PAGE_DEFAULT, PAGE_MAX};
use crate::store::Action;

/// What a header may consist of.
const VISIBLE_PATTERN: &str = r"^[\t\x20-\x7e]*$";

/// Every parameter.
pub fn parameters() -> Value {
    let pools: Vec<&str> = ActorKind::controlled().map(ActorKind::pool_name).collect();
    let id = json!({"type": "integer", "format": "int64", "minimum": 1});
    let text = json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\u0000]*$"});
    let time = json!({"type": "string", "format": "date-time"});
    let visible = json!({"type": "string", "pattern": VISIBLE_PATTERN});
    // Everything that a header can carry.
    let anything = json!({"type": "string", "pattern": r"^[\t\x20-\x7e\u0080-\u00ff]*$"});
    let wait = format!(
        "`wait=N`: the answer comes when the outcome is known, or after N seconds, of which \
         {WAIT_SECONDS_MAX} are the most. Of a batch \
         also `handling=strict`: one invalid event refuses all, and `return=minimal`: only results that are no success."
    );
    json!({
        "Id": parameter("path", "id", "Its number.", &id),
        "Asset": parameter("path", "name", "The file's name.", &json!({"type": "string", "minLength": 1})),
        "Pool": parameter("path", "pool", "Its name.", &json!({"enum": pools})),
        "Node": query("node", "Another node's line: its name, if only one lives that has it, or its `boot_id`.", &json!({"type": "string"})),
        "Code": parameter("path", "code", "The problem's code.", &json!({"type": "string", "minLength": 1})),
        "Status": query("status", "Its state.", &json!({"enum": Status::ALL.map(Status::as_str)})),
        "EventName": query("event_name", "Its exact name.", &text),
        "EventType": query("event_type", "Its exact type. Needs a time range.", &text),
        "UserId": query("user_id", "Whose it is; another user than the token's needs the scope `read:all`.", &id),
        "Action": query("action", "What was done.", &json!({"enum": Action::ALL.map(Action::as_str)})),
        "ByUser": query("by_user", "Who did it.", &id),
        "ErrorCode": query("error_code", "Why it failed. Needs a time range.", &text),
        "ReceivedAfter": query("received_after", "Received at this time or later.", &time),
        "ReceivedBefore": query("received_before", "Received before this time.", &time),
        "Order": query("order", "In the order of arrival.", &json!({"enum": ["asc", "desc"], "default": "desc"})),
        "Limit": query(
            "limit", "Most rows of the page.",
            &json!({"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}),
        ),
        "Cursor": query("cursor", "Where the page begins: `next_cursor` of the one before.", &json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"})),
        "Window": query(
            "window", "How far back, from 1m to 7d.",
            &json!({"type": "string", "pattern": DURATION_PATTERN, "default": "1h"}),
        ),
        "By": query("by", "Tells the figures of each event type as well.", &json!({"enum": ["event_type"]})),
        "IdempotencyKey": header(
            "Idempotency-Key", "The key of an event without `event_uid`; of a batch the part before `:index`. Also in quotes, which do not count.",
            &json!({"type": "string", "pattern": "^([!#-~][!-~]{0,254}|\"([ !#-\\[\\]-~]|\\\\[\"\\\\]){1,255}\")$"}),
        ),
        "Prefer": header("Prefer", &wait, &anything),
        "TraceParent": header("traceparent", "W3C Trace Context: the trace of which the events are part. Ignored if it is malformed.", &anything),
        "TraceState": header("tracestate", "W3C Trace Context: what tracing systems say to each other. Ignored if it is malformed.", &anything),
        "LastEventId": header("Last-Event-ID", "The last id that was seen: what followed it comes first.", &visible),
    })
}

/// Every header of answers.
pub fn headers() -> Value {
    let text = |description: &str| json!({"description": description, "schema": {"type": "string"}});
    json!({
        "X-Request-Id": text("The request's name in logs: the client's own, or a new one."),
        "Server-Timing": text("How long the server worked on it, in milliseconds."),
        "Location": text("Where it is found."),
        "Set-Cookie": text("The session, or nothing in its place."),
        "Link": text("The next page, with `rel=\"next\"`, if there is one."),
        "Preference-Applied": text("Which preferences were heeded."),
        "WWW-Authenticate": text("What the token lacks."),
        "Retry-After": {
            "description": "Seconds after which it is worth trying again.",
            "schema": {"type": "integer", "minimum": 1},
        },
    })
}

fn parameter(place: &str, name: &str, description: &str, schema: &Value) -> Value {
    json!({"in": place, "name": name, "description": description, "required": place == "path", "schema": schema})
}

fn query(name: &str, description: &str, schema: &Value) -> Value {
    parameter("query", name, description, schema)
}

fn header(name: &str, description: &str, schema: &Value) -> Value {
    parameter("header", name, description, schema)
}
