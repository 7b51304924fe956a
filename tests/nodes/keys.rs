//! One key, many clients, several nodes (fault 19).

use std::sync::Barrier;

use super::cluster::{Nodes, number};
use crate::support::database::Database;
use crate::support::events::{EVENTS, id_of};
use crate::support::http::{Answer, Client};

/// Clients that send the same event at the same moment, half of them to each node.
const CLIENTS: usize = 100;

fn body(key: &str, page: &str) -> String {
    format!(
        r#"{{"event_name":"page_view","event_type":"engagement","event_uid":"{key}","payload":{{"page":"{page}"}}}}"#
    )
}

/// Sends one event from all clients at once.
fn at_once(nodes: &Nodes, key: &str) -> Vec<Answer> {
    let clients: Vec<Client> = (0..CLIENTS).map(|index| nodes.client(index % 2)).collect();
    let barrier = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        let send = |client: &Client| {
            barrier.wait();
            client.post_text(EVENTS, &body(key, "/home"))
        };
        let threads: Vec<_> = clients.iter().map(|client| scope.spawn(move || send(client))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a client gets an answer")).collect()
    })
}

/// In each round: one row and one id, also after a crash of a node; another body is refused on both.
pub fn run(rounds: usize) {
    let database = Database::postgres();
    let mut nodes = Nodes::start(&database, &["", ""]);
    for round in 0..rounds {
        let key = format!("key-{round}");
        let answers = at_once(&nodes, &key);
        let first = id_of(&answers[0]);
        for answer in &answers {
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
            assert_eq!(id_of(answer), first, "{answer:?}");
        }
        let new = answers.iter().filter(|answer| answer.json()["duplicate"] == false).count();
        assert_eq!(new, 1, "one of them was first");
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
