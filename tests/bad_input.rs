//! Bad and nasty input: each with its status, code and a text that helps, the same on both databases.

mod bodies;
mod fields;
mod numbers;
mod requests;
mod values;
mod wire;

use serde_json::Value;

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};

/// A server on each database, asked the same.
struct Pair {
    sqlite: Server,
    postgres: Server,
}

impl Pair {
    fn start() -> Self {
        Self::configured("")
    }

    fn configured(text: &str) -> Self {
        let start = |database: &Database| Server::start(Setup::new(database).with_config(text));
        Self { sqlite: start(&Database::sqlite()), postgres: start(&Database::postgres()) }
    }

    /// The clients of both servers, SQLite's first.
    fn clients(&mut self) -> [Client; 2] {
        [self.sqlite.client(), self.postgres.client()]
    }

    fn servers(&mut self) -> [&mut Server; 2] {
        [&mut self.sqlite, &mut self.postgres]
    }

    /// Both servers have to be as well as at their start.
    fn assert_well(&mut self) {
        for server in self.servers() {
            let client = server.client();
            assert_eq!(client.get("/health/ready").status, 200, "{}", server.log());
            accepted(&client, &event("after"));
            assert!(!server.log().contains("panicked"), "{}", server.log());
        }
    }
}

/// What an answer has to be.
struct Expected {
    status: u16,
    code: &'static str,
    /// What the detail has to name: the thing, its value, the limit.
    words: Vec<String>,
}

fn expect(status: u16, code: &'static str, words: &[&str]) -> Expected {
    Expected { status, code, words: words.iter().map(|word| (*word).to_owned()).collect() }
}

/// The first characters of what was sent, for messages.
fn glimpse(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    format!("{text:?} ({} bytes)", bytes.len())
}

/// Asserts that this is the problem expected; gives it without what differs from call to call.
fn problem(what: &str, answer: &Answer, expected: &Expected) -> Value {
    assert_eq!(answer.status, expected.status, "{what} gets {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what} gets {answer:?}");
    let mut problem = answer.json();
    assert_eq!(problem["code"], expected.code, "{what} gets {problem}");
    assert_eq!(problem["status"], expected.status, "{what} gets {problem}");
    assert_eq!(problem["type"], format!("/problems/{}", expected.code), "{what} gets {problem}");
    assert_eq!(problem["retryable"], expected.status == 408, "{what} gets {problem}");
    let detail = problem["detail"].as_str().unwrap_or_default().to_owned();
    for word in &expected.words {
        assert!(detail.contains(word), "{word:?} is missing in the answer to {what}: {problem}");
    }
    assert!(!detail.ends_with('.'), "{problem}");
    problem["request_id"] = Value::Null;
    problem["event_id"] = Value::Null;
    problem
}

/// Sends each body to both servers: the expected problem, the same from both.
fn refused_by_both(clients: &[Client; 2], cases: &[(Vec<u8>, Expected)]) {
    for (body, expected) in cases {
        let what = glimpse(body);
        let [one, other] = clients.each_ref().map(|client| {
            let headers = [("Content-Type", "application/json")];
            problem(&what, &client.call("POST", EVENTS, &headers, Some(body)), expected)
        });
        assert_eq!(one, other, "SQLite and PostgreSQL differ about {what}");
    }
}
