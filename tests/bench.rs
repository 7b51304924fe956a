//! `gristmill bench`, the real binary with the servers that it starts: that a report is consistent, that every row is
//! verified, and that nothing is left behind. Never a speed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::database::{Database, Kind};
use crate::support::run::{self, Ending, Guard};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, within};

/// A bench in a folder of its own.
fn bench(database: &Database, arguments: &[&str]) -> (Command, PathBuf) {
    let folder = run::folder("bench");
    let mut command = Setup::new(database).gristmill(&["bench", "--warm-up", "200ms"]);
    command.arg("--folder").arg(&folder);
    if database.kind() == Kind::Postgres {
        command.args(["--database", database.url()]);
    }
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    (command, folder)
}

/// The report of a second; nothing may be left of it.
#[track_caller]
fn report(database: &Database, arguments: &[&str]) -> Value {
    let (mut command, folder) = bench(database, &[&["--json", "--seconds", "1"], arguments].concat());
    let child = command.spawn().expect("the binary starts");
    let pid = child.id();
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(output.status.success(), "{}", text(&output));
    assert_nothing_left(database, pid, &folder);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output)))
}

fn text(Output { stdout, stderr, .. }: &Output) -> String {
    String::from_utf8_lossy(&[&stdout[..], &stderr[..]].concat()).into_owned()
}

#[track_caller]
fn assert_nothing_left(database: &Database, pid: u32, folder: &Path) {
    let left: Vec<_> = std::fs::read_dir(folder).expect("the folder is ours").collect();
    assert!(left.is_empty(), "{left:?}");
    if database.kind() == Kind::Postgres {
        let made = format!("SELECT datname::text FROM pg_database WHERE datname LIKE 'gristmill\\_bench\\_{pid}\\_%'");
        assert_eq!(database.texts(&made), [""; 0]);
    }
}

#[track_caller]
fn number(report: &Value, pointer: &str) -> f64 {
    report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("no number at {pointer}: {report:#}"))
}

/// What holds of every report.
#[track_caller]
fn assert_consistent(report: &Value) {
    let acknowledged = number(report, "/rows/acknowledged");
    assert!(acknowledged > 0.0 && report["verified"] == true, "{report:#}");
    assert_eq!(number(report, "/rows/verified"), acknowledged);
    assert_eq!((&report["errors"]["answers"], &report["errors"]["connections"]), (&json!({}), &json!(0)));
    let percentiles = ["p50", "p90", "p99", "p99_9", "max"].map(|name| number(report, &format!("/latency_ms/{name}")));
    assert!(percentiles[0] > 0.0 && percentiles.is_sorted(), "{percentiles:?}");
    let seconds = number(report, "/seconds");
    assert!(seconds >= 1.0 && number(report, "/events_per_second") * seconds <= acknowledged, "{report:#}");
    assert!(number(report, "/processor_us_per_event/server") > 0.0, "{report:#}");
    assert!(number(report, "/memory_bytes/peak") >= number(report, "/memory_bytes/end"), "{report:#}");
}

both_databases! {
    fn single_events_are_measured_with_their_limits_and_every_row_is_verified(database) {
        let report = report(&database, &["--connections", "8"]);
        assert_consistent(&report);
        assert!(number(&report, "/events_per_transaction") >= 1.0);
        assert!(number(&report, "/limits/empty_route/requests_per_second") > 0.0);
        assert!(number(&report, "/limits/bare_insert/rows_per_second") > 0.0);
        let database_time = &report["processor_us_per_event"]["database"];
        assert_eq!(database_time.is_number(), database.kind() == Kind::Postgres, "{report:#}");
    }

    fn batches_lines_and_mixtures_are_measured(database) {
        for (mode, per_request) in [("batch", "20"), ("lines", "250"), ("mixed", "5")] {
            let sizes = ["--payload", "mix", "--per-request", per_request];
            let report = report(&database, &[&["--mode", mode, "--connections", "2", "--no-limits"], &sizes[..]].concat());
            assert_consistent(&report);
            assert_eq!((&report["mode"], &report["limits"]), (&json!(mode), &Value::Null));
            // One request of lines may take longer than is measured here.
            assert!(report.get("latency_ms_of").is_none() || mode == "mixed", "{report:#}");
        }
    }

    fn a_row_that_is_missing_fails_the_run(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let url = server.url("");
        let arguments = ["bench", "--seconds", "3", "--connections", "2", "--no-limits"];
        let mut command = server.setup().gristmill(&arguments);
        command.args(["--yes", "--url", &url, "--token", &token]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the binary starts");
        let ids = "SELECT CAST(id AS TEXT) FROM events WHERE status = 'processed' ORDER BY id LIMIT 2";
        let are_there = within(SOON, || (database.texts(ids).len() == 2).then_some(()));
        assert!(are_there.is_some(), "no rows after {SOON:?}");
        assert_eq!(database.execute(&format!("DELETE FROM events WHERE id = {}", database.texts(ids)[0])), 1);
        let output = child.wait_with_output().expect("a child can be waited for");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(" acknowledged, 1 missing"), "{}", text(&output));
    }

    fn a_server_that_is_killed_fails_the_run_and_leaves_nothing_behind(database) {
        let (mut command, folder) = bench(&database, &["--seconds", "5", "--no-limits"]);
        let child = command.spawn().expect("the binary starts");
        let pid = child.id();
        run::signal(wait_for_server(&folder), "KILL");
        let output = child.wait_with_output().expect("a child can be waited for");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        // It may be met at the start or under load.
        let reasons = ["no answer from", "the server ended before it was ready"];
        assert!(reasons.iter().any(|reason| text(&output).contains(reason)), "{}", text(&output));
        assert_nothing_left(&database, pid, &folder);
    }

    fn an_interrupted_run_leaves_nothing_behind(database) {
        let (mut command, folder) = bench(&database, &["--seconds", "60"]);
        let mut child = command.spawn().expect("the binary starts");
        let _guard = Guard::new(&child, Ending::Kill);
        let server = wait_for_server(&folder);
        run::signal(child.id(), "INT");
        let status = within(SOON, || child.try_wait().expect("a child can be waited for"));
        assert_eq!(status.and_then(|status| status.code()), Some(1));
        assert!(!run::is_alive(server));
        assert_nothing_left(&database, child.id(), &folder);
    }
}

/// The process id of the server that a bench has started in its folder.
fn wait_for_server(folder: &Path) -> u32 {
    let ports = within(SOON, || {
        let run = std::fs::read_dir(folder).ok()?.next()?.ok()?.path();
        std::fs::read_to_string(run.join("data/ports.json")).ok()
    });
    let ports: Value = serde_json::from_str(&ports.expect("a server is started")).expect("JSON");
    ports["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a process id")
}

#[test]
fn requests_of_an_open_loop_are_due_at_fixed_times_and_those_that_are_late_are_charged() {
    let database = Database::sqlite();
    let slow = report(&database, &["--rate", "20", "--no-limits"]);
    assert_consistent(&slow);
    let due = number(&slow, "/latency_ms/requests");
    let seconds = number(&slow, "/seconds");
    // On a busy machine the last ones may be late.
    assert!((due - 20.0 * seconds).abs() <= 1.0 && number(&slow, "/errors/unsent") <= 0.2 * due, "{slow:#}");
    let fast = report(&database, &["--rate", "1000000", "--no-limits", "--connections", "4"]);
    let due = number(&fast, "/latency_ms/requests");
    let unsent = number(&fast, "/errors/unsent");
    // No machine takes that many: what was not sent waited for most of the time.
    assert!(unsent > 0.9 * due && number(&fast, "/latency_ms/max") >= 1_000.0, "{fast:#}");
}

#[test]
fn two_builds_are_measured_by_turns() {
    let other = env!("CARGO_BIN_EXE_gristmill");
    let report =
        report(&Database::sqlite(), &["--against", other, "--rounds", "2", "--no-limits", "--connections", "4"]);
    let rounds = report["rounds"].as_array().expect("a list");
    assert_eq!(rounds.len(), 2);
    for report in rounds.iter().flat_map(|round| round.as_array().expect("a pair")) {
        assert_consistent(report);
    }
    let figures = report["figures"].as_array().expect("a list");
    let names: Vec<&str> = figures.iter().filter_map(|figure| figure["figure"].as_str()).collect();
    assert_eq!(names, ["events_per_second", "p50_ms", "p99_ms", "server_us_per_event", "memory_bytes_peak"]);
    for figure in figures {
        let ratios = ["ratio_min", "ratio", "ratio_max"].map(|name| number(figure, &format!("/{name}")));
        assert!(ratios[0] > 0.0 && ratios.is_sorted(), "{figure}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_with_its_reason() {
    let setup = Setup::new(&Database::sqlite());
    for (arguments, code, reason) in [
        (&["--url", "http://127.0.0.1:1"][..], 2, "--yes"),
        (&["--url", "http://127.0.0.1:1", "--yes"], 1, "a token is needed"),
        (&["--against", "http://127.0.0.1:1"], 1, "--yes permits that"),
        (&["--against", "/no/such/program", "--rounds", "1", "--no-limits"], 1, "cannot start /no/such/program"),
        (&["--against", "/bin/false", "--rounds", "1", "--no-limits"], 1, "the server ended before it was ready"),
        (&["--database", "postgres://u@127.0.0.1:1/db"], 1, "--database"),
        (&["--mode", "batch", "--per-request", "1001"], 1, "at most 1000"),
        (&["--folder", "/no/such/folder"], 1, "/no/such/folder"),
    ] {
        let mut words = vec!["bench", "--seconds", "1", "--warm-up", "0s"];
        words.extend(arguments);
        let output = setup.command(&words);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(reason), "{arguments:?}: {}", text(&output));
    }
}
