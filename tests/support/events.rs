//! Events as tests post them and read them back.

use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Answer, Client};
use super::wait::wait_for;

/// Where events are posted.
pub const EVENTS: &str = "/api/v1/events";

/// How long an event may take to its final state, all retries included.
const FINAL: Duration = Duration::from_secs(60);

/// A valid event of this name.
pub fn event(name: &str) -> Value {
    json!({"event_name": name, "event_type": "engagement", "payload": {"page": "/home", "duration": 45}})
}

/// A valid event with this payload.
pub fn with_payload(payload: &Value) -> Value {
    json!({"event_name": "page_view", "event_type": "engagement", "payload": payload})
}

/// A valid event with this dedupe key.
pub fn with_uid(uid: &str) -> Value {
    json!({"event_name": "page_view", "event_type": "engagement", "event_uid": uid, "payload": {"page": "/home"}})
}

/// Posts an event that has to be accepted as new and gives its id.
pub fn accepted(client: &Client, event: &Value) -> i64 {
    let answer = client.post_json(EVENTS, event);
    assert_eq!(answer.status, 202, "{event} gets {answer:?}");
    id_of(&answer)
}

/// The id that an answer carries.
pub fn id_of(answer: &Answer) -> i64 {
    answer.json()["event_id"].as_i64().unwrap_or_else(|| panic!("an answer without event_id: {answer:?}"))
}

/// The event as it stands now.
pub fn stored(client: &Client, id: i64) -> Value {
    let answer = client.get(&format!("{EVENTS}/{id}"));
    assert_eq!(answer.status, 200, "event {id}: {answer:?}");
    answer.json()
}

/// The event in its final state.
pub fn finished(client: &Client, id: i64) -> Value {
    wait_for(
        &format!("event {id} to be final"),
        FINAL,
        || Some(stored(client, id)).filter(|event| event["status"] != "pending"),
        || stored(client, id).to_string(),
    )
}

/// Posts, with `Prefer: wait` and further headers, and gives the answer.
pub fn post_and_wait(client: &Client, event: &Value, seconds: u32) -> Answer {
    let wait = format!("wait={seconds}");
    let headers = [("Content-Type", "application/json"), ("Prefer", wait.as_str())];
    client.call("POST", EVENTS, &headers, Some(event.to_string().as_bytes()))
}

/// The names of an object's members, sorted.
pub fn keys(value: &Value) -> Vec<&str> {
    let members = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    let mut keys: Vec<&str> = members.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
