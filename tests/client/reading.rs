//! What the client reads: exports, figures, outcomes as they happen.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::{ended, file, lines, run, server_with_pace, started};
use crate::support::events::{EVENTS, accepted, event, finished, id_of};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// The lines that a command prints, as it prints them.
fn told_lines(child: &mut Child) -> Receiver<String> {
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let (sender, told) = channel();
    // The test may be over before the command is.
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    told
}

both_databases! {
    fn an_export_writes_what_matches_and_its_file_only_when_it_is_whole(database) {
        let mut server = Server::start(&database);
        file(&server, "a.ndjson", lines(700));
        run(server.setup(), &["import", "a.ndjson"], 0);
        let client = server.client();
        finished(&client, accepted(&client, &event("other")));
        // Laid out over many lines, two of which look like lines of the export's own.
        let forged = "{\"event_name\": \"pretty\", \"event_type\": \"a\", \"payload\": {\"x\":\n{\"cursor\":1}\n,\"y\":\n{\"summary\":1}\n}}";
        let answer = client.call("POST", EVENTS, &[("Content-Type", "application/json")], Some(forged.as_bytes()));
        finished(&client, id_of(&answer));
        let said = run(server.setup(), &["export"], 0);
        assert_eq!(said.out.lines().count(), 702);
        assert!(said.err.contains("702 events exported"), "{}", said.err);
        run(server.setup(), &["export", "--name", "other", "-o", "b.ndjson"], 0);
        let text = std::fs::read_to_string(server.data().join("b.ndjson")).expect("the file is there");
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((events.len(), &events[0]["event_name"]), (1, &json!("other")));
        let wrong = run(server.setup(), &["export", "--status", "odd", "-o", "c.ndjson"], 1);
        assert!(wrong.err.contains("status"), "{}", wrong.err);
        assert!(!server.data().join("c.ndjson").exists());
    }

    fn an_export_that_breaks_off_is_a_failure(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let heavy = json!({"event_name": "a", "event_type": "b", "payload": {"x": "y".repeat(500_000)}});
        for _ in 0..100 {
            accepted(&client, &heavy);
        }
        let (child, _guard) = started(server.setup(), &["export"]);
        // What nobody reads fills the buffers on the way, long before the end.
        let mut first = [0; 1];
        let mut child = child;
        child.stdout.as_mut().expect("a pipe").read_exact(&mut first).expect("it has begun");
        server.kill9();
        let output = child.wait_with_output().expect("a child can be waited for");
        let said = ended(&output, 1);
        assert!(said.err.contains("broke off"), "{}", said.err);
    }

    fn outcomes_are_followed_over_a_restart_of_the_server_and_none_is_left_out(database) {
        let mut server = server_with_pace(&database, 1_000);
        let (mut child, _guard) = started(server.setup(), &["tail", "--type", "engagement"]);
        let told = told_lines(&mut child);
        let client = server.client();
        // A stream begins when it is open; until then what happens is not told.
        let post = || {
            accepted(&client, &event("before"));
            told.recv_timeout(std::time::Duration::from_secs(1)).ok()
        };
        wait_for("an outcome", SOON, post, || server.log());
        for round in 0..3 {
            let last = format!("last-{round}");
            let first = format!("first-{round}");
            accepted(&server.client(), &event(&last));
            if round == 1 { server.terminate(); server.wait_exit(SOON); } else { server.kill9(); }
            server.restart();
            // Nobody may be there to hear of it yet.
            accepted(&server.client(), &event(&first));
            let mut missing = vec![last, first];
            let all = || {
                let lines = told.try_iter().map(|line| serde_json::from_str::<Value>(&line).expect("a line of JSON"));
                lines.for_each(|outcome| missing.retain(|name| outcome["event_name"] != name.as_str()));
                missing.is_empty().then_some(())
            };
            wait_for("both outcomes", SOON, all, || server.log());
        }
        child.kill().expect("a child takes a signal");
        let said = child.wait_with_output().expect("a child can be waited for");
        let complaints = String::from_utf8_lossy(&said.stderr);
        assert!(complaints.contains("again in") && !complaints.contains("outcomes may be missing"), "{complaints}");
    }

    fn figures_and_outcomes_are_printed(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let (mut child, _guard) = started(server.setup(), &["tail", "--name", "seen"]);
        let told = told_lines(&mut child);
        // A stream begins when it is open; until then what happens is not told.
        let post = || {
            accepted(&client, &event("unseen"));
            accepted(&client, &event("seen"));
            told.recv_timeout(std::time::Duration::from_secs(1)).ok()
        };
        let line = wait_for("an outcome", SOON, post, || server.log());
        let outcome: Value = serde_json::from_str(&line).expect("a line of JSON");
        assert_eq!((&outcome["event_name"], &outcome["status"]), (&json!("seen"), &json!("processed")), "{outcome}");
        let figures: Value = serde_json::from_str(&run(server.setup(), &["stats", "--json"], 0).out).expect("JSON");
        assert_eq!(figures["balance"]["received"], figures["balance"]["processed"], "{figures}");
        let shown = run(server.setup(), &["stats"], 0).out;
        assert!(["p50_ms", "p95_ms", "p99_ms"].iter().all(|name| shown.contains(name)), "{shown}");
        child.kill().expect("a child takes a signal");
        child.wait().expect("a child can be waited for");
    }
}
