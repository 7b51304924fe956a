//! PostgreSQL as it is met: other encodings and settings, poolers, standbys, several hosts.

mod databases;
mod poolers;
mod switchover;

use crate::support::database::Database;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// A server that has to refuse to start: what it said, in one line, and that it did not wait.
fn refusal(setup: Setup) -> String {
    let mut server = Server::not_started(setup);
    server.spawn();
    let status = server.wait_exit(SOON);
    // The pipe is read by a thread of its own, which may be behind the process's end.
    wait_for("a reason", SOON, || (!server.log().is_empty()).then_some(()), || format!("{status}, but no word"));
    let log = server.log();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(!log.contains("waiting for it"), "{log}");
    log
}

fn number(database: &Database, sql: &str) -> i64 {
    let texts = database.texts(&format!("SELECT CAST(({sql}) AS TEXT)"));
    texts[0].parse().unwrap_or_else(|error| panic!("{sql}: {texts:?}: {error}"))
}
