//! I4: an event whose answer was lost, sent again with its key, is stored once and has one id.

use std::collections::HashMap;

use super::verdict::Verdict;
use crate::support::http::Client;
use crate::support::ledger::{Ledger, State};
use crate::support::load::body;
use crate::support::wait::{SOON, within};

/// Clients that send again side by side.
const CLIENTS: usize = 8;

/// Sends every unknown key twice more; the ids that they have in the end.
pub fn unknown_keys(client: &Client, ledger: &Ledger, verdict: &mut Verdict) -> HashMap<String, i64> {
    let is_unknown = |state| matches!(state, State::Sent | State::Unknown);
    let unknown = ledger.entries().iter().filter(|entry| entry.is_keyed && is_unknown(entry.state));
    let keys: Vec<&str> = unknown.map(|entry| entry.key.as_str()).collect();
    if keys.is_empty() {
        return HashMap::new();
    }
    let told = std::thread::scope(|scope| {
        let part = keys.chunks(keys.len().div_ceil(CLIENTS));
        let threads: Vec<_> =
            part.map(|keys| scope.spawn(|| keys.iter().map(|key| twice(client, key)).collect::<Vec<_>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a client thread ran through")).collect::<Vec<_>>()
    });
    let mut ids = HashMap::new();
    for (key, told) in keys.into_iter().zip(told) {
        match told {
            Ok(id) => drop(ids.insert(key.to_owned(), id)),
            Err(finding) => verdict.extend([finding]),
        }
    }
    ids
}

/// The second answer has to repeat the first one's id, and to say so.
fn twice(client: &Client, key: &str) -> Result<i64, String> {
    let first = until_told(client, key)?;
    let second = until_told(client, key)?;
    if second["duplicate"] != true || second["event_id"] != first["event_id"] {
        return Err(format!("I4: {key} sent again got {first}, and again {second}"));
    }
    first["event_id"].as_i64().ok_or_else(|| format!("I4: {key} sent again got {first}"))
}

fn until_told(client: &Client, key: &str) -> Result<serde_json::Value, String> {
    let mut last = String::new();
    let told = || {
        let answer = client.post_text("/api/v1/events", &body(key));
        last = format!("{answer:?}");
        matches!(answer.status, 200 | 202).then(|| answer.json())
    };
    within(SOON, told).ok_or_else(|| format!("I4: {key} sent again is never taken; the last answer was {last}"))
}
