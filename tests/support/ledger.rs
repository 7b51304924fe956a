//! The ledger of a load: what became of each key, and whether the service kept its word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::database::Database;
use super::http::Client;
use super::load::body;
use super::wait::wait_for;

/// How long an acknowledged event may take to its final state, three retries included.
const FINAL: Duration = Duration::from_secs(60);

/// What is known about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On its way; nothing was read yet.
    Sent,
    /// A 2xx with this id was read: the event is durable.
    Acknowledged(i64),
    /// This status was read, which says that nothing is stored as processed.
    Rejected(u16),
    /// The connection or the answer was lost, or the answer says that it does not know.
    Unknown,
}

/// One event of the load.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its `event_uid`; the page of its payload is `/` and this key, also where it is posted without one.
    pub key: String,
    /// Whether it is posted with its key.
    pub is_keyed: bool,
    /// What became of it.
    pub state: State,
    /// The status of its answer, if one came.
    pub status: Option<u16>,
    /// Whether the answer says that it is in the node's spool, not in the database.
    pub is_spooled: bool,
    /// When it was sent, counted from the beginning of the load.
    pub sent_after: Duration,
    /// How long its answer, or the loss of it, took.
    pub took: Duration,
}

impl Entry {
    /// An event on its way.
    pub fn sent(key: String, is_keyed: bool) -> Self {
        let sent_after = Duration::ZERO;
        let took = Duration::ZERO;
        Self { key, is_keyed, state: State::Sent, status: None, is_spooled: false, sent_after, took }
    }
}

/// All events of a load.
#[derive(Clone, Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// A ledger with these entries, whose keys are all different.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { entries }
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many events are acknowledged, rejected and unknown.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(State) -> bool| self.entries.iter().filter(|entry| wanted(entry.state)).count();
        (
            count(|state| matches!(state, State::Acknowledged(_))),
            count(|state| matches!(state, State::Rejected(_))),
            count(|state| matches!(state, State::Sent | State::Unknown)),
        )
    }

    /// Panics unless every acknowledged event is there, processed and once; events of unknown fate
    /// are sent again and then are there once too; of rejected ones nothing is processed.
    pub fn verify(&self, client: &Client, database: &Database) {
        let mut keys_by_id = BTreeMap::new();
        for entry in &self.entries {
            let id = match entry.state {
                State::Acknowledged(id) => id,
                State::Sent | State::Unknown => send_again(client, &entry.key),
                State::Rejected(_) => continue,
            };
            if let Some(other) = keys_by_id.insert(id, entry.key.as_str()) {
                panic!("event {id} was given to two keys: {other} and {}", entry.key);
            }
        }
        for (id, key) in &keys_by_id {
            assert_processed(client, *id, key);
        }
        self.assert_single_rows(database, keys_by_id.into_values().collect());
    }

    fn assert_single_rows(&self, database: &Database, expected: BTreeSet<&str>) {
        let stored =
            database.texts("SELECT event_uid FROM events WHERE event_uid IS NOT NULL AND status = 'processed'");
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for key in &stored {
            *counts.entry(key).or_default() += 1;
        }
        for Entry { key, state, .. } in &self.entries {
            let rows = counts.get(key.as_str()).copied().unwrap_or_default();
            let right = usize::from(expected.contains(key.as_str()));
            assert_eq!(rows, right, "processed rows of {key}, whose last answer was {state:?}");
        }
    }
}

/// Sends the event of an unknown key twice more: the second answer has to repeat the first one's id.
fn send_again(client: &Client, key: &str) -> i64 {
    let first = repeat_until_told(client, key);
    let second = repeat_until_told(client, key);
    assert_eq!(second["duplicate"], true, "{key} sent again: {second}");
    assert_eq!(second["event_id"], first["event_id"], "{key} sent again and again");
    first["event_id"].as_i64().unwrap_or_else(|| panic!("{key} sent again: {first}"))
}

fn repeat_until_told(client: &Client, key: &str) -> serde_json::Value {
    let mut last = String::new();
    let told = || {
        let answer = client.post_text("/api/v1/events", &body(key));
        last = format!("{answer:?}");
        matches!(answer.status, 200 | 202).then(|| answer.json())
    };
    let result = super::wait::within(FINAL, told);
    result.unwrap_or_else(|| panic!("{key} sent again was never taken; last answer: {last}"))
}

fn assert_processed(client: &Client, id: i64, key: &str) {
    let read = || client.get(&format!("/api/v1/events/{id}"));
    let answer = wait_for(
        &format!("event {id} ({key}) to be final"),
        FINAL,
        // A node whose database has just come back may still say that it is away.
        || {
            Some(read())
                .filter(|answer| answer.status != 503 && (answer.status != 200 || answer.json()["status"] != "pending"))
        },
        || format!("{:?}", read()),
    );
    assert_eq!(answer.status, 200, "acknowledged event {id} ({key}): {answer:?}");
    let event = answer.json();
    assert_eq!(event["status"], "processed", "acknowledged event {id} ({key})");
    assert_eq!(event["event_uid"], key, "the key of event {id}");
}
