//! What is changed about tokens and users at one node is in force at the others within a second.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::Nodes;
use crate::support::database::Database;
use crate::support::events::EVENTS;
use crate::support::http::Client;
use crate::support::wait::{SOON, wait_for};

/// The promise; a slow machine gets more in which to show that it was late.
const IN_FORCE: Duration = Duration::from_secs(1);

const TOKENS: &str = "/api/v1/tokens";

fn made(admin: &Client, path: &str, body: &Value) -> Value {
    let answer = admin.post_json(path, body);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn token(made: &Value) -> &str {
    made["token"].as_str().unwrap_or_else(|| panic!("no secret: {made}"))
}

/// Makes a change and waits until both nodes answer the token with 401; how long the slower one took.
fn refused_by_both(nodes: &Nodes, token: &str, change: impl FnOnce() -> u16) -> Duration {
    let clients = [0, 1].map(|index| nodes.servers[index].client_with(token));
    for client in &clients {
        assert_eq!(client.get(EVENTS).status, 200, "both nodes know the token before the change");
    }
    let status = change();
    assert!((200..300).contains(&status), "{status}");
    let changed = Instant::now();
    let refused = || clients.iter().all(|client| client.get(EVENTS).status == 401).then_some(());
    wait_for("401 from both nodes", SOON, refused, || nodes.logs());
    changed.elapsed()
}

#[test]
fn revoked_rotated_and_disabled_tokens_end_within_a_second_on_every_node() {
    let nodes = Nodes::start(&Database::postgres(), &["", ""]);
    let admin = nodes.client(0);
    let ana = made(&admin, "/api/v1/users", &json!({"email": "ana@example.org"}));
    let wish = json!({"user_id": ana["id"], "scopes": ["read"]});
    let [revoked, rotated, disabled] = [0; 3].map(|_| made(&admin, TOKENS, &wish));
    let path = |made: &Value| format!("{TOKENS}/{}", made["id"]);
    let took = [
        refused_by_both(&nodes, token(&revoked), || admin.call("DELETE", &path(&revoked), &[], None).status),
        refused_by_both(&nodes, token(&rotated), || {
            admin.post_json(&format!("{}/rotate", path(&rotated)), &json!({"overlap": "0s"})).status
        }),
        refused_by_both(&nodes, token(&disabled), || {
            let user = format!("/api/v1/users/{}", ana["id"]);
            let headers = [("Content-Type", "application/json")];
            admin.call("PATCH", &user, &headers, Some(br#"{"disabled":true}"#)).status
        }),
    ];
    assert!(took.iter().all(|took| *took < IN_FORCE), "{took:?}");
}
