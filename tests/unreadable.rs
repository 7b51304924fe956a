//! Rows that cannot be read: whatever became of one, the others are told, exported, processed and replayed.

mod claims;
mod jobs;
mod lists;

use serde_json::Value;

use crate::support::database::{Database, Kind};
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::{Answer, Client};
use crate::support::server::Server;

/// What is set in a row to damage it, and the word by which the damage is told.
type Damage = (&'static str, &'static str);

/// Values that SQLite's columns take although they are none of theirs.
const ON_SQLITE: [Damage; 9] = [
    ("payload = '{'", "payload"),
    ("payload = X'7bff7d'", "payload"),
    ("payload = CAST(X'7b22ff227d' AS TEXT)", "payload"),
    ("task_id = 'x'", "task_id"),
    ("timestamp = 'soon'", "timestamp"),
    ("received_at = 'soon'", "received_at"),
    ("attempts = 'many'", "attempts"),
    ("event_name = X'ff'", "event_name"),
    ("user_id = 'nobody'", "user_id"),
];

/// Values that the driver could not take, and numbers that are longer than may be read once they are written out.
const ON_POSTGRES: [Damage; 6] = [
    (LONG_NUMBERS, "payload"),
    ("timestamp = 'infinity'", "timestamp"),
    ("timestamp = '0044-03-15 BC'", "timestamp"),
    ("received_at = 'infinity'", "received_at"),
    ("received_at = '294000-01-01'", "received_at"),
    ("task_id = task_id, timestamp = '-infinity'", "timestamp"),
];

/// 39 MB as text, and few bytes as it is stored.
const LONG_NUMBERS: &str = "payload = ('{\"a\":[' || repeat('1e131071,', 300) || '0]}')::jsonb";

/// More than a gigabyte as text, which PostgreSQL cannot write out.
const TOO_LONG_FOR_POSTGRES: &str = "payload = ('{\"a\":[' || repeat('0e-16383,', 70000) || '0]}')::jsonb";

fn damages(database: &Database) -> &'static [Damage] {
    match database.kind() {
        Kind::Sqlite => &ON_SQLITE,
        Kind::Postgres => &ON_POSTGRES,
    }
}

/// The damage that makes a payload unreadable, whichever database it is.
fn of_payload(database: &Database) -> &'static str {
    damages(database)[0].0
}

fn damage(database: &Database, id: i64, what: &str) {
    assert_eq!(database.execute(&format!("UPDATE events SET {what} WHERE id = {id}")), 1, "{what}");
}

/// Posts an event for each damage, with a sound one before each and after the last; the ids of the sound ones and those of
/// the others, which are damaged once they are processed.
fn mixed(server: &mut Server) -> (Vec<i64>, Vec<(i64, Damage)>) {
    let client = server.client();
    let database = server.database().clone();
    let sent = |name: &str| {
        let id = accepted(&client, &event(name));
        assert_eq!(finished(&client, id)["status"], "processed");
        id
    };
    let mut sound = vec![sent("sound")];
    let mut damaged = Vec::new();
    for what in damages(&database) {
        let id = sent("damaged");
        damage(&database, id, what.0);
        damaged.push((id, *what));
        sound.push(sent("sound"));
    }
    (sound, damaged)
}

fn show(client: &Client, id: i64) -> Answer {
    client.get(&format!("{EVENTS}/{id}"))
}

/// Asserts that the answer names the event and the damage, as a problem of its own.
fn assert_told(answer: &Answer, id: i64, word: &str) {
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (500, &Value::from("event_unreadable")), "{answer:?}");
    assert_eq!((&problem["event_id"], &problem["retryable"]), (&Value::from(id), &Value::from(false)), "{problem}");
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.starts_with(&format!("event {id} cannot be read: ")) && detail.contains(word), "{problem}");
}
