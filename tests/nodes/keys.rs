//! One key, many clients, several nodes (fault 19).

use std::sync::Barrier;

use serde_json::Value;

use super::cluster::{Nodes, number};
use crate::support::database::Database;
use crate::support::events::{EVENTS, id_of};
use crate::support::http::{Answer, Client};

/// Clients that send the same event at the same moment, as many to each node.
const CLIENTS: usize = 100;

/// The same, to three nodes.
const CROWD: usize = 50;

const BATCH: &str = "/api/v1/events/batch";
const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn body(key: &str, page: &str) -> String {
    format!(
        r#"{{"event_name":"page_view","event_type":"engagement","event_uid":"{key}","payload":{{"page":"{page}"}}}}"#
    )
}

/// Posts from so many clients at once, of which the first goes to the first node, the second to the second, and so on;
/// `post` knows the client's number.
fn at_once(nodes: &Nodes, clients: usize, post: impl Fn(usize, &Client) -> Answer + Sync) -> Vec<Answer> {
    let connected: Vec<Client> = (0..clients).map(|index| nodes.client(index % nodes.servers.len())).collect();
    let barrier = Barrier::new(clients);
    let send = |index: usize, client: &Client| {
        barrier.wait();
        post(index, client)
    };
    std::thread::scope(|scope| {
        let send = &send;
        let threads = connected.iter().enumerate().map(|(index, client)| scope.spawn(move || send(index, client)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().expect("a client gets an answer")).collect()
    })
}

/// Asserts that all answers tell of one event, and one of them that it is new; its id.
#[track_caller]
fn assert_one_event(answers: &[Answer]) -> i64 {
    let first = id_of(&answers[0]);
    for answer in answers {
        assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        assert_eq!(id_of(answer), first, "{answer:?}");
    }
    let new = answers.iter().filter(|answer| answer.json()["duplicate"] == false).count();
    assert_eq!(new, 1, "one of them was first");
    first
}

/// In each round: one row and one id, also after a crash of a node; another body is refused on both.
pub fn run(rounds: usize) {
    let database = Database::postgres();
    let mut nodes = Nodes::start(&database, &["", ""]);
    for round in 0..rounds {
        let key = format!("key-{round}");
        let answers = at_once(&nodes, CLIENTS, |_, client| client.post_text(EVENTS, &body(&key, "/home")));
        let first = assert_one_event(&answers);
        nodes.servers[round % 2].kill9();
        nodes.servers[round % 2].restart();
        for index in 0..2 {
            let again = nodes.client(index).post_text(EVENTS, &body(&key, "/home"));
            assert_eq!((again.status, id_of(&again)), (200, first), "{again:?}");
            let other = nodes.client(index).post_text(EVENTS, &body(&key, "/other"));
            assert_eq!((other.status, other.json()["code"].as_str()), (409, Some("event_uid_conflict")), "{other:?}");
        }
        let rows = format!("SELECT COUNT(*) FROM events WHERE event_uid = '{key}'");
        assert_eq!(number(&database, &rows), 1);
    }
}

// Guards the unique key of `dedupe_keys`, and that a flush which waits for another node's key reads it afterwards.
#[test]
fn one_key_sent_a_hundred_times_at_once_to_two_nodes_is_one_event() {
    run(2);
}

fn three_nodes() -> Nodes {
    Nodes::start(&Database::postgres(), &["", "", ""])
}

fn count(nodes: &Nodes, condition: &str) -> i64 {
    number(&nodes.database, &format!("SELECT COUNT(*) FROM events WHERE {condition}"))
}

#[test]
fn one_key_posted_fifty_times_at_once_to_three_nodes_is_one_event() {
    let nodes = three_nodes();
    for round in 0..4 {
        let of_event = format!("uid-{round}");
        let answers = at_once(&nodes, CROWD, |_, client| client.post_text(EVENTS, &body(&of_event, "/home")));
        let id = assert_one_event(&answers);
        assert_eq!(count(&nodes, &format!("event_uid = '{of_event}' AND id = {id} AND status = 'processed'")), 1);
        let of_request = format!("key-{round}");
        let keyless = body("", "/home").replace("\"event_uid\":\"\",", "");
        let post = |_, client: &Client| {
            client.call("POST", EVENTS, &[JSON, ("Idempotency-Key", &of_request)], Some(keyless.as_bytes()))
        };
        assert_one_event(&at_once(&nodes, CROWD, post));
        assert_eq!(count(&nodes, "event_uid IS NULL"), round + 1);
        assert_eq!(count(&nodes, "TRUE"), 2 * (round + 1));
    }
}

/// Keys of a batch.
const KEYS: usize = 12;

/// The events of a round's batch, each client's in another order: two nodes must not wait for each other's keys.
fn in_turn(round: usize, client: usize) -> Vec<String> {
    (0..KEYS).map(|place| body(&format!("many-{round}-{}", (place * 5 + client) % KEYS), "/home")).collect()
}

/// The key's event in each answer: its id, and whether it is new there.
fn told(round: usize, answers: &[Answer], key: usize) -> Vec<(i64, bool)> {
    let of_client = |(client, answer): (usize, &Answer)| {
        let place = (0..KEYS).find(|place| (place * 5 + client) % KEYS == key).expect("5 and 12 share no factor");
        let result: Value = match answer.header("content-type") {
            Some("application/x-ndjson") => {
                serde_json::from_str(answer.body.lines().nth(place).expect("a line")).expect("JSON")
            }
            _ => answer.json()["results"][place].clone(),
        };
        assert!(matches!(answer.status, 200 | 202), "round {round}: {answer:?}");
        assert_eq!(result["index"], place, "{answer:?}");
        let status = result["status"].as_str().unwrap_or_default();
        assert!(["processed", "enqueued", "duplicate"].contains(&status), "{answer:?}");
        (result["event_id"].as_i64().expect("an id"), status != "duplicate")
    };
    answers.iter().enumerate().map(of_client).collect()
}

/// Asserts that each key of the round is one event, told by every client.
#[track_caller]
fn assert_each_key_once(nodes: &Nodes, round: usize, answers: &[Answer]) {
    for key in 0..KEYS {
        let told = told(round, answers, key);
        assert!(told.iter().all(|(id, _)| *id == told[0].0), "key {key}: {told:?}");
        assert_eq!(told.iter().filter(|(_, is_new)| *is_new).count(), 1, "key {key}: {told:?}");
        assert_eq!(count(nodes, &format!("event_uid = 'many-{round}-{key}'")), 1);
    }
}

#[test]
fn the_keys_of_a_batch_posted_fifty_times_at_once_to_three_nodes_are_one_event_each() {
    let nodes = three_nodes();
    for round in 0..4 {
        let post = |index, client: &Client| {
            let events = in_turn(round, index).join(",");
            client.post_text(BATCH, &format!("[{events}]"))
        };
        assert_each_key_once(&nodes, round, &at_once(&nodes, CROWD, post));
    }
}

#[test]
fn the_keys_of_lines_posted_fifty_times_at_once_to_three_nodes_are_one_event_each() {
    let nodes = three_nodes();
    for round in 0..4 {
        let post = |index, client: &Client| {
            let headers = [LINES, ("Accept", "application/x-ndjson")];
            client.call("POST", BATCH, &headers, Some(in_turn(round, index).join("\n").as_bytes()))
        };
        assert_each_key_once(&nodes, round, &at_once(&nodes, CROWD, post));
    }
}

#[test]
fn one_key_posted_in_every_way_at_once_to_three_nodes_is_one_event() {
    let nodes = three_nodes();
    for round in 0..4 {
        let key = format!("every-{round}");
        let event = body(&key, "/home");
        let post = |index: usize, client: &Client| match index % 4 {
            0 => client.post_text(EVENTS, &event),
            1 => client.post_text(BATCH, &format!("[{event}]")),
            2 => client.call("POST", BATCH, &[LINES, ("Accept", "application/x-ndjson")], Some(event.as_bytes())),
            _ => client.call("POST", EVENTS, &[JSON, ("Prefer", "wait=10")], Some(event.as_bytes())),
        };
        let answers = at_once(&nodes, CROWD, post);
        let id = |(index, answer): (usize, &Answer)| -> i64 {
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
            let line = answer.body.lines().next().unwrap_or_default();
            let value: Value = serde_json::from_str(line).expect("JSON");
            let value = if index % 4 == 1 { &value["results"][0] } else { &value };
            value["event_id"].as_i64().unwrap_or_else(|| panic!("no id: {answer:?}"))
        };
        let ids: Vec<i64> = answers.iter().enumerate().map(id).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(count(&nodes, &format!("event_uid = '{key}'")), 1);
    }
}

#[test]
fn a_batch_and_lines_under_one_request_key_to_three_nodes_are_stored_once() {
    let nodes = three_nodes();
    let events: Vec<String> =
        (0..KEYS).map(|n| body("", &format!("/{n}")).replace("\"event_uid\":\"\",", "")).collect();
    for (round, kind, text) in [(0, JSON, format!("[{}]", events.join(","))), (1, LINES, events.join("\n"))] {
        let key = format!("whole-{round}");
        let post =
            |_, client: &Client| client.call("POST", BATCH, &[kind, ("Idempotency-Key", &key)], Some(text.as_bytes()));
        let answers = at_once(&nodes, CROWD, post);
        let sum =
            |key: &str| -> i64 { answers.iter().map(|answer| answer.json()[key].as_i64().expect("a number")).sum() };
        let events = i64::try_from(KEYS).expect("small");
        let crowd = i64::try_from(CROWD).expect("small");
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!((sum("processed"), sum("duplicates")), (events, events * (crowd - 1)), "{answers:?}");
        assert_eq!(count(&nodes, "TRUE"), events * (round + 1));
    }
}
