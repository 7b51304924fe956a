//! The whole reference description in one session, from its first heading to its example: each return value word for word.
//!
//! What stands beside the reference's members is ours and not looked at here; the other files of this folder do.

use std::process::Command;

use chrono::{DateTime, NaiveDateTime};
use serde_json::{Map, Value, json};

use crate::support::events::{EVENTS, accepted, finished, keys, post_and_wait, stored, with_payload};
use crate::support::http::Client;
use crate::support::lacks::{self, skips};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

const BATCH: &str = "/api/v1/events/batch";

/// "Submit and Process", 1, as it stands there.
const SUBMIT: &str = r#"curl -X POST http://localhost:8000/api/v1/events \
  -H "Authorization: Bearer <TOKEN>" \
  -d '{
    "event_name": "page_view",
    "event_type": "engagement",
    "payload": {"page": "/home", "duration": 45}
  }'"#;

/// "Submit and Process", 2, with curl in place of a browser.
const MONITOR: &str = "curl http://localhost:5555";

/// "Submit and Process", 3.
const CHECK: &str = r#"curl http://localhost:8000/api/v1/events/1 \
  -H "Authorization: Bearer <TOKEN>""#;

/// "Testing": "Check worker logs", behind the command that gives the log.
const GREP: &str = r#"grep "Event 1\]""#;

/// A transient failure at each attempt, and short waits.
const UNLUCKY: &str = "retry = { delay = \"100ms\", jitter = 0.0 }\nlog.user_email = true\n\
    [[faults]]\nstage = \"normalizer\"\nevent_name = \"unlucky\"\naction = \"error\"\n";

/// Runs a line of the reference with the server's own ports and token.
fn shell(server: &mut Server, line: &str) -> String {
    let line = line
        .replace("localhost:8000", &server.address().to_string())
        .replace("localhost:5555", &server.dashboard_address().to_string())
        .replace("<TOKEN>", &server.token())
        .replace("curl ", "curl --silent --show-error --noproxy '*' ");
    let output = Command::new("sh").args(["-c", &line]).output().expect("sh starts");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("an answer is text")
}

/// The members of these names.
fn only(value: &Value, names: &[&str]) -> Value {
    let of = |name: &&str| Some(((*name).to_owned(), value.get(*name)?.clone()));
    names.iter().filter_map(of).collect::<Map<_, _>>().into()
}

/// A time in ISO format, in UTC; the reference writes it without a zone.
#[track_caller]
fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    assert!(DateTime::parse_from_rfc3339(text).is_ok() && text.ends_with('Z'), "{text}");
    assert!(NaiveDateTime::parse_from_str(&text.replace('Z', ""), "%Y-%m-%dT%H:%M:%S%.f").is_ok(), "{text}");
}

both_databases! {
    fn the_references_session_has_its_return_values_word_for_word(database) {
        if skips(&[lacks::program("curl")]) {
            return;
        }
        let mut server = Server::start(Setup::new(&database).with_config(UNLUCKY));
        submit_monitor_and_check(&mut server);
        let client = server.client();
        logging(&mut server, &client);
        validation(&client);
        normalization(&client);
        return_values(&client);
        retries(&client);
        batch(&server, &client);
        stored_events(&client);
        metrics(&client);
    }
}

/// "Example Usage".
fn submit_monitor_and_check(server: &mut Server) {
    let text = shell(server, SUBMIT);
    let receipt: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(only(&receipt, &["event_id", "status"]), json!({"event_id": 1, "status": "enqueued"}));
    assert!(receipt["task_id"].as_str().is_some_and(|id| !id.is_empty()), "{receipt}");
    assert!(!shell(server, MONITOR).is_empty());
    finished(&server.client(), 1);
    let text = shell(server, CHECK);
    let event: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(only(&event, &["id", "processed"]), json!({"id": 1, "processed": true}));
    assert_time(&event["processed_at"]);
    assert_time(&event["properties"]["normalized_at"]);
    let mut properties = event["properties"].clone();
    properties.as_object_mut().expect("an object").remove("normalized_at");
    let original = json!({"page": "/home", "duration": 45});
    assert_eq!(properties, json!({"original": original, "page": "/home", "duration": 45.0}));
    assert!(text.replace(' ', "").contains("\"duration\":45.0"), "a float is written as one: {text}");
}

/// "Logging", and the line with grep.
fn logging(server: &mut Server, client: &Client) {
    let done = || server.log().contains("[Event 1] Processing completed successfully").then_some(());
    wait_for("the last line of event 1", SOON, done, || server.log());
    let file = server.data().join("log");
    std::fs::write(&file, server.log()).expect("the folder is ours");
    let found = shell(server, &format!("{GREP} {}", file.display()));
    let texts: Vec<&str> =
        found.lines().filter_map(|line| line.split_once("[Event 1] ")).map(|(_, text)| text).collect();
    let email = &server.database().texts("SELECT email FROM users")[0];
    let processed_at = stored(client, 1)["processed_at"].as_str().expect("a time").to_owned();
    let expected = [
        "Starting processing".to_owned(),
        format!("User: {email}"),
        "Payload validation passed".to_owned(),
        format!("Marked processed at {processed_at}"),
        "Processing completed successfully".to_owned(),
    ];
    assert_eq!(texts.len(), expected.len(), "{found}");
    for (text, start) in texts.iter().zip(expected) {
        assert!(text.starts_with(&start), "{text} does not start with {start}");
    }
}

/// "Payload Validation", "Validation Errors (Non-retryable)".
fn validation(client: &Client) {
    let fill = "x".repeat((1 << 20) - json!({"fill": ""}).to_string().len());
    let deep = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "in": inner }));
    for payload in [json!({}), Value::Null, json!({ "fill": fill }), deep(10)] {
        accepted(client, &with_payload(&payload));
    }
    for (event, error) in [
        (with_payload(&json!({ "fill": format!("{fill}x") })), "Payload exceeds 1MB size limit"),
        (with_payload(&deep(11)), "payload is 11 levels deep, limit 10"),
        (with_payload(&json!([])), "payload is an array, expected an object or null"),
        (json!({"event_type": "engagement"}), "Missing event_name or event_type"),
        (json!({"event_name": "page_view"}), "Missing event_name or event_type"),
        // The payload comes first.
        (json!({"payload": 7}), "payload is a number, expected an object or null"),
    ] {
        let answer = client.post_json(EVENTS, &event);
        assert!((400..500).contains(&answer.status), "a response of the 400 series: {answer:?}");
        let problem = answer.json();
        // In a problem `status` is the number of HTTP: the reference's word is the outcome.
        let value = json!({"status": problem["outcome"], "event_id": problem["event_id"], "error": problem["error"]});
        let id = problem["event_id"].as_i64().expect("an id");
        assert_eq!(value, json!({"status": "validation_error", "event_id": id, "error": error}));
        let kept = stored(client, id);
        assert_eq!((&kept["processing_error"], &kept["processed"]), (&json!(error), &json!(false)), "{kept}");
        assert_eq!((&kept["next_attempt_at"], &problem["retryable"]), (&Value::Null, &json!(false)), "no retry");
    }
}

/// "Payload Normalization", "Event Fields Updated".
fn normalization(client: &Client) {
    let payload =
        json!({"page": " /dashboard ", "referrer": "\thttps://a.example ", "duration": "45.5", "scroll_depth": "deep"});
    let event = finished(client, accepted(client, &with_payload(&payload)));
    let properties = &event["properties"];
    assert_eq!(keys(properties), ["duration", "normalized_at", "original", "page", "referrer", "scroll_depth"]);
    assert_time(&properties["normalized_at"]);
    let expected = json!({
        "original": payload, "page": "/dashboard", "referrer": "https://a.example", "duration": 45.5, "scroll_depth": 0.0
    });
    assert_eq!(only(properties, &["original", "page", "referrer", "duration", "scroll_depth"]), expected);
    let expected = json!({"payload": payload, "processed": true, "processing_error": null});
    assert_eq!(only(&event, &["payload", "processed", "processing_error"]), expected);
    assert_time(&event["processed_at"]);
}

/// "Return Values": success.
fn return_values(client: &Client) {
    let answer = post_and_wait(client, &with_payload(&json!({"page": "/"})), 30);
    let value = answer.json();
    let event = stored(client, value["event_id"].as_i64().expect("an id"));
    let expected = json!({
        "status": "success", "event_id": event["id"], "event_name": "page_view", "event_type": "engagement",
        "user_id": event["user_id"], "processed_at": event["processed_at"]
    });
    assert_eq!((answer.status, value), (200, expected));
}

/// "Retry Logic", "Return Values": failure with retries exhausted, "Database Persistence Errors".
fn retries(client: &Client) {
    let unlucky = json!({"event_name": "unlucky", "event_type": "engagement", "payload": {}});
    let value = post_and_wait(client, &unlucky, 60).json();
    let error = value["error"].as_str().expect("a text");
    assert!(error.starts_with("Processing error: ") && error.chars().count() <= 255, "{value}");
    let expected =
        json!({"status": "failed", "event_id": value["event_id"], "error": error, "retries_exhausted": true});
    assert_eq!(value, expected);
    let id = value["event_id"].as_i64().expect("an id");
    let event = stored(client, id);
    assert_eq!((&event["processing_error"], &event["attempts"]), (&json!(error), &json!(4)), "the first and 3 retries");
    let timeline = client.get(&format!("{EVENTS}/{id}/timeline")).json();
    let times = |key: &str| -> Vec<DateTime<chrono::Utc>> {
        let attempts = timeline["attempts"].as_array().expect("a list");
        attempts.iter().map(|attempt| attempt[key].as_str().expect("a time").parse().expect("RFC 3339")).collect()
    };
    let waits = times("ended_at").into_iter().zip(times("started_at").into_iter().skip(1));
    let waits: Vec<i64> = waits.map(|(end, start)| (start - end).num_milliseconds()).collect();
    assert!(waits.len() == 3 && waits.iter().zip([100, 200, 400]).all(|(wait, due)| *wait >= due - 5), "{waits:?}");
}

/// "Batch Event Processing": 100 events of which 98 are processed, in one transaction.
fn batch(server: &Server, client: &Client) {
    let good = json!({"event_name": "page_view", "event_type": "engagement", "payload": {"page": "/"}});
    let mut events = vec![good.clone(); 100];
    events[1] = json!({"event_type": "engagement"});
    events[99] = json!({"event_name": "page_view"});
    let flushes = || server.database().texts("SELECT CAST(seq AS TEXT) FROM flushes").len();
    let before = flushes();
    let report = client.post_json(BATCH, &json!({ "events": events })).json();
    assert_eq!(flushes() - before, 1, "a single transaction for all events");
    let counts = json!({"status": "partial", "total_events": 100, "processed": 98, "failed": 2});
    assert_eq!(only(&report, &["status", "total_events", "processed", "failed"]), counts);
    let results = report["results"].as_array().expect("results");
    assert_eq!(results.len(), 100);
    for (index, result) in results.iter().enumerate() {
        let event = stored(client, result["event_id"].as_i64().expect("an id"));
        let expected = match index {
            1 | 99 => json!({
                "event_id": event["id"], "status": "validation_error", "error": "Missing event_name or event_type"
            }),
            _ => json!({
                "event_id": event["id"], "status": "processed", "event_name": "page_view", "user_id": event["user_id"],
                "processed_at": event["processed_at"]
            }),
        };
        let names = ["event_id", "status", "error"];
        let names =
            if index % 98 == 1 { &names[..] } else { &["event_id", "status", "event_name", "user_id", "processed_at"] };
        assert_eq!(only(result, names), expected, "{result}");
    }
    let all = client.post_json(BATCH, &json!([good, good])).json();
    let counts = json!({"status": "success", "total_events": 2, "processed": 2, "failed": 0});
    assert_eq!(only(&all, &["status", "total_events", "processed", "failed"]), counts);
}

/// `process_events_batch` takes ids of stored events; "Returns (None, None) if event not found".
fn stored_events(client: &Client) {
    let report = client.post_json("/api/v1/events/process", &json!({"event_ids": [1, 999_999_999]})).json();
    let counts = json!({"status": "partial", "total_events": 2, "processed": 1, "failed": 1});
    assert_eq!(only(&report, &["status", "total_events", "processed", "failed"]), counts);
    let event = stored(client, 1);
    let expected = json!({
        "event_id": 1, "status": "processed", "event_name": "page_view", "user_id": event["user_id"],
        "processed_at": event["processed_at"]
    });
    let names = ["event_id", "status", "event_name", "user_id", "processed_at"];
    assert_eq!(only(&report["results"][0], &names), expected);
    assert_eq!(report["results"][1]["status"], "not_found");
    assert_eq!(client.get(&format!("{EVENTS}/999999999")).status, 404);
}

/// "Metrics": five figures, by their own names.
fn metrics(client: &Client) {
    let figures = client.get("/api/v1/stats").json();
    for name in ["events_per_minute", "average_processing_ms", "retry_rate", "failure_rate"] {
        assert!(figures[name].as_f64().is_some_and(|figure| figure > 0.0), "{name} in {figures}");
    }
    let batches = figures["batch_throughput"].as_object().expect("figures");
    assert!(batches.values().all(|figure| figure.as_f64().is_some_and(|figure| figure > 0.0)), "{figures}");
}
