//! Client or server end in the middle, or the server takes little: each event is stored once.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Child;

use super::{ended, file, lines, rows, run, server_with_pace, started};
use crate::support::database::Database;
use crate::support::run::{Guard, signal};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

const EVENTS: usize = 4_000;
/// Requests that the server takes in a second: the import has four hundred.
const REQUESTS: u32 = 100;
const IMPORT: [&str; 4] = ["import", "a.ndjson", "--batch", "10"];

/// A server whose port stays the same over restarts, and a file for it.
fn server(database: &Database) -> Server {
    let server = server_with_pace(database, REQUESTS);
    file(&server, "a.ndjson", lines(EVENTS));
    server
}

/// An import that has got somewhere, and not to its end.
fn under_way(server: &Server) -> (Child, Guard) {
    let (mut child, guard) = started(server.setup(), &IMPORT);
    let state = server.data().join("a.ndjson.gristmill-import");
    let has_begun = || {
        let text = std::fs::read_to_string(&state).ok()?;
        (!text.contains("\"done\":0,")).then_some(())
    };
    wait_for("a state with events", SOON, has_begun, || server.log());
    assert_eq!(child.try_wait().expect("a child can be waited for"), None, "it ended too soon");
    (child, guard)
}

fn assert_each_stored_once(server: &Server) {
    assert_eq!(rows(server, "processed"), EVENTS);
    assert_eq!(server.database().texts("SELECT CAST(id AS TEXT) FROM events").len(), EVENTS);
    assert!(!server.data().join("a.ndjson.gristmill-import").exists(), "the state is removed");
}

both_databases! {
    fn a_client_that_was_killed_goes_on_where_it_was(database) {
        let server = server(&database);
        let (mut child, _guard) = under_way(&server);
        child.kill().expect("a child takes a signal");
        child.wait().expect("a child can be waited for");
        let said = run(server.setup(), &IMPORT, 0);
        assert!(said.err.contains("going on behind the first"), "{}", said.err);
        assert!(said.out.contains(&format!("{EVENTS} stored")), "{}", said.out);
        assert_each_stored_once(&server);
    }

    fn the_refused_events_of_a_killed_client_stand_in_their_file_once(database) {
        let server = server(&database);
        let bad = |number: usize| number % 7 == 3;
        let text = |number: usize, line: &str| match bad(number) {
            true => format!("{{\"event_name\": \"bad\", \"payload\": {{\"number\": {number}}}}}\n"),
            false => format!("{line}\n"),
        };
        let text: String = lines(EVENTS).lines().enumerate().map(|(number, line)| text(number, line)).collect();
        file(&server, "a.ndjson", text);
        for _ in 0..2 {
            let (mut child, _guard) = under_way(&server);
            child.kill().expect("a child takes a signal");
            child.wait().expect("a child can be waited for");
        }
        // As if the power had gone between the writing of the file and of the state.
        let rejects = server.data().join("a.ndjson.rejects.ndjson");
        let mut uncounted = OpenOptions::new().append(true).open(&rejects).expect("it was written");
        uncounted.write_all(b"{\"line\": 1, \"half a li").expect("the disk takes it");
        let said = run(server.setup(), &IMPORT, 3);
        let expected: Vec<u64> = (0..EVENTS).filter(|number| bad(*number)).map(|number| number as u64 + 1).collect();
        assert!(said.out.contains(&format!("{} rejected", expected.len())), "{}", said.out);
        let text = std::fs::read_to_string(&rejects).expect("it was written");
        let told: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert!(told.iter().all(|reject| reject["code"] == "missing_field"), "{text}");
        let numbers: Vec<u64> = told.iter().map(|reject| reject["line"].as_u64().expect("a number")).collect();
        assert_eq!(numbers, expected, "each once, in the order of the file");
        assert_eq!(rows(&server, "processed"), EVENTS - expected.len());
    }

    fn a_client_that_is_asked_to_stop_keeps_its_state_and_says_so(database) {
        let server = server(&database);
        let (child, _guard) = under_way(&server);
        signal(child.id(), "TERM");
        let said = ended(&child.wait_with_output().expect("a child can be waited for"), 1);
        assert!(said.err.contains("interrupted behind the first"), "{}", said.err);
        let other = run(server.setup(), &["import", "a.ndjson", "--batch", "20"], 1);
        assert!(other.err.contains("--batch"), "{}", other.err);
        run(server.setup(), &IMPORT, 0);
        assert_each_stored_once(&server);
    }

    fn a_server_that_is_killed_and_restarted_is_waited_for(database) {
        let mut server = server(&database);
        let (child, _guard) = under_way(&server);
        server.kill9();
        server.restart();
        ended(&child.wait_with_output().expect("a child can be waited for"), 0);
        assert_each_stored_once(&server);
    }

    fn a_rate_limit_slows_the_import_down_and_loses_nothing(database) {
        let limits = "limits.requests_per_second = 10\nlimits.requests_burst = 2";
        let server = Server::start(Setup::new(&database).with_config(limits));
        file(&server, "a.ndjson", lines(500));
        let said = run(server.setup(), &["import", "a.ndjson", "--batch", "25"], 0);
        assert!(said.out.contains("500 stored (0 were there before)"), "{}", said.out);
        assert_eq!(rows(&server, "processed"), 500);
    }
}
