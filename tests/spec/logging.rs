//! "Logging", "Task Lifecycle Signals": the lines of an event, word for word, and nothing that forges them.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, finished, id_of, stored};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// What follows `[Event id] ` in the log lines of an event, without the fields behind it.
fn lines_of(log: &str, id: i64) -> Vec<String> {
    let mark = format!("[Event {id}] ");
    let texts = log.lines().filter_map(|line| line.split_once(&mark).map(|(_, text)| text));
    texts.map(|text| text.split(" event_id=").next().unwrap_or_default().to_owned()).collect()
}

/// Waits until the event's last line is written.
fn log_with(server: &Server, last: &str) -> String {
    wait_for(
        &format!("{last:?} in the log"),
        SOON,
        || Some(server.log()).filter(|log| log.contains(last)),
        || server.log(),
    )
}

/// The time, level and message of a line in text form; panics when it is none.
fn assert_text_line(line: &str) {
    let time = line.get(..27).unwrap_or_default();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{line:?}");
    let level = line[28..].split(' ').next().unwrap_or_default();
    assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level), "{line:?}");
}

both_databases! {
    fn an_event_leaves_the_references_five_lines_in_order(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("page_view"));
        let event = finished(&client, id);
        let log = log_with(&server, &format!("[Event {id}] Processing completed successfully"));
        let processed_at = event["processed_at"].as_str().expect("a time");
        let user = &event["user_id"];
        assert_eq!(
            lines_of(&log, id),
            [
                "Starting processing".to_owned(),
                format!("User: {user}"),
                "Payload validation passed".to_owned(),
                format!("Marked processed at {processed_at}"),
                "Processing completed successfully".to_owned(),
            ],
            "{log}"
        );
        let first = log.lines().find(|line| line.contains(&format!("[Event {id}] Starting"))).expect("found above");
        let task_id = event["task_id"].as_str().expect("a text");
        for field in [format!("event_id={id}"), format!("task_id={task_id}"), "attempt=1".into(), "stage=".into()] {
            assert!(first.contains(&field), "{field} in {first}");
        }
        log.lines().for_each(assert_text_line);
    }

    fn a_rejected_event_says_why_in_its_lines(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let answer = client.post_json(EVENTS, &json!({"event_name": "a"}));
        let id = id_of(&answer);
        stored(&client, id);
        let log = log_with(&server, "Missing event_name or event_type");
        let lines = lines_of(&log, id);
        assert_eq!(lines.first().map(String::as_str), Some("Starting processing"), "{log}");
        assert!(lines.iter().all(|line| !line.contains("completed successfully")), "{log}");
    }
}

#[test]
fn the_users_email_is_logged_only_when_asked_for() {
    let database = crate::support::database::Database::sqlite();
    let mut server = Server::start(Setup::new(&database).with_config("log.user_email = true"));
    let email = server.database().texts("SELECT email FROM users").pop().expect("the first start makes a user");
    let id = accepted(&server.client(), &event("page_view"));
    let log = log_with(&server, &format!("[Event {id}] Processing completed successfully"));
    assert_eq!(lines_of(&log, id)[1], format!("User: {email}"), "{log}");

    let mut quiet = Server::start(&crate::support::database::Database::sqlite());
    let id = accepted(&quiet.client(), &event("page_view"));
    let log = log_with(&quiet, &format!("[Event {id}] Processing completed successfully"));
    let lines_of_events: Vec<&str> = log.lines().filter(|line| line.contains("[Event ")).collect();
    assert!(lines_of_events.iter().all(|line| !line.contains('@')), "{log}");
}

#[test]
fn json_lines_carry_event_task_attempt_and_stage_as_fields() {
    let database = crate::support::database::Database::sqlite();
    let mut server = Server::start(Setup::new(&database).with_config("log.format = \"json\""));
    let client = server.client();
    let id = accepted(&client, &event("page_view"));
    let task_id = finished(&client, id)["task_id"].clone();
    let log = log_with(&server, &format!("[Event {id}] Processing completed successfully"));
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}")))
        .collect();
    let start = lines.iter().find(|line| line["message"] == format!("[Event {id}] Starting processing"));
    let start = start.unwrap_or_else(|| panic!("no first line in {log}"));
    assert_eq!(start["event_id"], id, "{start}");
    assert_eq!(start["task_id"], task_id, "{start}");
    assert_eq!(start["attempt"], 1, "{start}");
    assert!(start["stage"].is_string() && start["level"].is_string() && start["timestamp"].is_string(), "{start}");
}

#[test]
fn text_from_clients_neither_breaks_a_line_nor_forges_one() {
    let mut server = Server::start(
        Setup::new(&crate::support::database::Database::sqlite())
            .with_config("log.level = \"debug\"\nlog.event_lines_per_second = 100000"),
    );
    let client = server.client();
    let forged = "x\r\n[Event 1] Processing completed successfully\u{1b}[2J\u{2028}[Event 1] gone\u{202e}";
    let bodies = [
        json!({"event_name": forged, "event_type": forged, "event_uid": forged, "payload": {"page": forged, forged: 1}}),
        json!({"event_name": forged, "event_type": 7, "timestamp": forged}),
        json!({"event_name": "a", "event_type": "b", "user_id": forged}),
        json!({"event_name": "a", "event_type": "b", "payload": {forged: "\u{0}"}}),
    ];
    for body in &bodies {
        client.post_json(EVENTS, body);
    }
    client.get("/api/v1/events/%0d%0a[Event%201]%20Processing%20completed%20successfully");
    client.get("/api/v1/events?cursor=%0d%0a[Event%201]%20gone%1b[2J");
    let id = accepted(&client, &event("last"));
    let log = log_with(&server, &format!("[Event {id}] Processing completed successfully"));
    log.lines().for_each(assert_text_line);
    for line in log.lines() {
        assert!(line.matches("[Event ").count() <= 1 || line.contains('"'), "forged: {line:?}");
        let hidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
        assert!(!line.chars().any(hidden), "{line:?}");
    }
}

#[test]
fn beyond_the_rate_events_are_counted_in_one_summary_a_second_and_none_is_left_out() {
    let database = crate::support::database::Database::sqlite();
    let mut server = Server::start(Setup::new(&database).with_config("log.event_lines_per_second = 10"));
    let client = server.client();
    for n in 0..300 {
        accepted(&client, &event(&format!("n{n}")));
    }
    let told = || {
        let log = server.log();
        let full = log.matches("Processing completed successfully").count();
        let counted = log.lines().filter_map(|line| line.rsplit_once(" events=")?.1.parse::<usize>().ok());
        (full, counted.sum::<usize>())
    };
    wait_for(
        "all 300 events in lines or summaries",
        SOON,
        || (told().0 + told().1 == 300).then_some(()),
        || format!("{:?} with lines and in summaries\n{}", told(), server.log()),
    );
    let (full, counted) = told();
    assert!(full < counted, "{full} of 300 events have all their lines at 10 lines a second");
}

#[test]
fn a_flush_leaves_a_line_at_debug_only() {
    let database = crate::support::database::Database::sqlite();
    let mut server = Server::start(Setup::new(&database).with_config("log.level = \"info,gristmill=debug\""));
    accepted(&server.client(), &event("page_view"));
    let is_flush = |line: &&str| line.contains("DEBUG") && line.to_lowercase().contains("flush");
    wait_for("a debug line per flush", SOON, || server.log().lines().find(is_flush).map(|_| ()), || server.log());
}

#[test]
fn the_log_holds_no_secret() {
    let mut server =
        Server::start(Setup::new(&crate::support::database::Database::postgres()).with_config("log.level = \"trace\""));
    let token = server.token();
    let client = server.client();
    let id = accepted(&client, &json!({"event_name": "a", "event_type": "b", "payload": {"card": "4111-secret"}}));
    finished(&client, id);
    let wrong = format!("gm_{}", "Z".repeat(43));
    assert_eq!(server.client_with(&wrong).get(EVENTS).status, 401);
    let log = server.log();
    let without_first_start: String = log.lines().filter(|line| !line.contains("curl")).collect();
    for secret in [token.as_str(), wrong.as_str(), "4111-secret"] {
        assert!(!without_first_start.contains(secret), "{secret} stands in the log");
    }
}
