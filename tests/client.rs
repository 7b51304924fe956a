//! The command-line client, the real binary against a real server: imports of every format, interruptions of either
//! side, single events, and what is wrong with the command line.

mod formats;
mod interruptions;
mod large_file;
mod one_event;
mod pipeline;
mod reading;
mod standard_input;
mod top;

use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use serde_json::json;

use crate::support::database::Database;
use crate::support::postgres::free_port;
use crate::support::run::{Ending, Guard};
use crate::support::server::{Server, Setup};

/// What a run of the binary said, after it ended with this code.
struct Said {
    out: String,
    err: String,
}

#[track_caller]
fn ended(output: &Output, code: i32) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = Said { out: text(&output.stdout), err: text(&output.stderr) };
    assert_eq!(output.status.code(), Some(code), "{}\n{}", said.out, said.err);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    said
}

/// Runs a command beside the server, which it has to find by itself.
#[track_caller]
fn run(setup: &Setup, arguments: &[&str], code: i32) -> Said {
    ended(&setup.command(arguments), code)
}

/// A command that goes on while the test does.
fn started(setup: &Setup, arguments: &[&str]) -> (Child, Guard) {
    let mut command = setup.gristmill(arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let guard = Guard::new(&child, Ending::Kill);
    (child, guard)
}

/// A server whose port stays the same over restarts, and that takes at most so many requests in a second: an import lasts,
/// however fast the machine is.
fn server_with_pace(database: &Database, requests: u32) -> Server {
    let port = format!("http.bind = \"127.0.0.1:{}\"", free_port());
    let pace = format!("limits.requests_per_second = {requests}\nlimits.requests_burst = {requests}");
    Server::start(Setup::new(database).with_config(&port).with_config(&pace))
}

/// A file in the server's folder.
fn file(server: &Server, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = server.data().join(name);
    std::fs::write(&path, content).expect("the folder is ours");
    path
}

/// That many valid events, a line each.
fn lines(events: usize) -> String {
    let line = |number| {
        let event = json!({"event_name": "page_view", "event_type": "e", "payload": {"number": number}});
        format!("{event}\n")
    };
    (0..events).map(line).collect()
}

fn rows(server: &Server, status: &str) -> usize {
    let sql = format!("SELECT CAST(id AS TEXT) FROM events WHERE status = '{status}'");
    server.database().texts(&sql).len()
}
