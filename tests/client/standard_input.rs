//! Events from standard input, and what is told on a terminal.

use std::io::Write;
use std::process::{Output, Stdio};
use std::thread;

use serde_json::{Value, json};

use super::{ended, file, lines, rows};
use crate::support::lacks::{self, skips};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// Runs a command that reads these bytes.
fn fed(setup: &Setup, arguments: &[&str], input: Vec<u8>) -> Output {
    let mut command = setup.gristmill(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("it was asked for");
    // The command may end before it has read all of it.
    let feeder = thread::spawn(move || stdin.write_all(&input).is_ok());
    let output = child.wait_with_output().expect("a child can be waited for");
    feeder.join().expect("no panic");
    output
}

both_databases! {
    fn standard_input_is_imported_and_leaves_no_state(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        let text = format!("{}{{\"event_name\": \"a\"}}\n{}", lines(700), lines(1));
        let import = ["import", "-", "--format", "ndjson", "--batch", "50"];
        let said = ended(&fed(setup, &import, text.clone().into_bytes()), 3);
        assert!(said.out.contains("701 stored (0 were there before), 1 rejected"), "{}", said.out);
        let rejects = std::fs::read_to_string(server.data().join("stdin.rejects.ndjson")).expect("it was written");
        let reject: Value = serde_json::from_str(&rejects).expect("one line of JSON");
        assert_eq!((&reject["line"], &reject["code"]), (&json!(701), &json!("missing_field")), "{reject}");
        assert!(!server.data().join("stdin.gristmill-import").exists());
        let again = ended(&fed(setup, &import, text.into_bytes()), 3);
        assert!(again.out.contains("701 stored (0 were there before)"), "a run has keys of its own: {}", again.out);
        let table = ended(&fed(setup, &["import", "-", "--format", "csv"], b"event_name,event_type\na,b\n".to_vec()), 0);
        assert!(table.out.contains("1 stored"), "{}", table.out);
        assert_eq!(rows(&server, "processed"), 2 * 701 + 1);
        let formless = ended(&fed(setup, &["import", "-"], Vec::new()), 1);
        assert!(formless.err.contains("--format"), "{}", formless.err);
        let stateful = ended(&fed(setup, &["import", "-", "--format", "csv", "--state", "s"], Vec::new()), 1);
        assert!(stateful.err.contains("--state"), "{}", stateful.err);
        let empty = ended(&fed(setup, &import, Vec::new()), 0);
        assert!(empty.out.contains("0 stored"), "{}", empty.out);
    }

    fn what_arrives_now_and_then_is_stored_while_the_input_stays_open(database) {
        let server = Server::start(&database);
        let mut command = server.setup().gristmill(&["import", "-", "--format", "ndjson"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("it was asked for");
        for count in 1..=2 {
            stdin.write_all(lines(1).as_bytes()).expect("it is read");
            let stored = || (rows(&server, "processed") == count).then_some(());
            wait_for("the line to be stored", SOON, stored, || server.log());
        }
        drop(stdin);
        let said = ended(&child.wait_with_output().expect("a child can be waited for"), 0);
        assert!(said.out.contains("2 stored"), "{}", said.out);
    }

    fn one_event_is_sent_from_standard_input(database) {
        let server = Server::start(&database);
        let event = b"\n {\"event_name\": \"from stdin\",\n \"event_type\": \"b\"}\n".to_vec();
        let said = ended(&fed(server.setup(), &["send", "-", "--wait", "10"], event), 0);
        let value: Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!((&value["status"], &value["event_name"]), (&json!("success"), &json!("from stdin")), "{value}");
        let said = ended(&fed(server.setup(), &["send", "-"], Vec::new()), 1);
        assert!(said.err.contains("the event is not JSON"), "{}", said.err);
        assert_eq!(rows(&server, "processed"), 1);
    }

    fn a_terminal_has_one_line_that_changes_and_is_gone_in_the_end(database) {
        if skips(&[lacks::program("script")]) {
            return;
        }
        let server = Server::start(&database);
        file(&server, "a.ndjson", lines(2_000));
        let import = server.setup().gristmill(&["import", "a.ndjson", "--batch", "20", "--connections", "1"]);
        let words = [import.get_program()].into_iter().chain(import.get_args());
        let line: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
        // It gives its command a terminal, and copies what is written there.
        let mut script = std::process::Command::new("script");
        script.args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"]);
        for (name, value) in import.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let output = script.current_dir(server.data()).stdin(Stdio::null()).output().expect("script starts");
        let said = ended(&output, 0);
        let shown: Vec<&str> = said.out.split("\r\u{1b}[K").collect();
        assert!(shown.len() >= 3, "{:?}", said.out);
        let first = shown[1];
        let last = shown[shown.len() - 1];
        assert!(first.contains(" events, ") && first.contains("/s, 0 rejected") && !first.contains('\n'), "{:?}", said.out);
        assert!(last.starts_with("2000 events in ") && last.contains("2000 stored"), "{:?}", said.out);
        assert_eq!(rows(&server, "processed"), 2_000);
    }
}
