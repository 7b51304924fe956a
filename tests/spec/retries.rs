//! "Retry Logic", "Processing Errors": a transient failure comes back with growing delays, and at last is given up.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::support::events::{accepted, event, finished, keys, post_and_wait, stored};
use crate::support::server::{Server, Setup};

/// Every attempt at an event of this name ends in a transient error.
const ALWAYS: &str = "[[faults]]\nstage = \"normalizer\"\nevent_name = \"unlucky\"\naction = \"error\"\n";

fn time(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

both_databases! {
    fn four_attempts_with_doubling_delays_and_then_the_references_failure(database) {
        let setup = Setup::new(&database).with_config(ALWAYS).with_config("retry.delay = \"300ms\"\nretry.jitter = 0.0");
        let mut server = Server::start(setup);
        let client = server.client();
        let answer = post_and_wait(&client, &event("unlucky"), 60);
        assert_eq!(answer.status, 200, "{answer:?}");
        let value = answer.json();
        assert_eq!(keys(&value), ["error", "event_id", "retries_exhausted", "status"]);
        assert_eq!(value["status"], "failed");
        assert_eq!(value["retries_exhausted"], true);
        let error = value["error"].as_str().unwrap_or_default();
        assert!(error.starts_with("Processing error: "), "{value}");
        let id = value["event_id"].as_i64().expect("a number");
        let event = stored(&client, id);
        for (key, expected) in [
            ("status", json!("failed")),
            ("processed", json!(false)),
            ("processed_at", Value::Null),
            ("processing_error", json!(error)),
            ("error_code", json!("retries_exhausted")),
            ("attempts", json!(4)),
            ("next_attempt_at", Value::Null),
        ] {
            assert_eq!(event[key], expected, "{key} of {event}");
        }
        let sql = format!("SELECT CAST(attempt AS TEXT) FROM attempts WHERE event_id = {id} ORDER BY attempt");
        assert_eq!(server.database().texts(&sql), ["1", "2", "3", "4"]);
        let sql = format!("SELECT CAST(ended_at AS TEXT) FROM attempts WHERE event_id = {id} ORDER BY attempt");
        let ends: Vec<DateTime<Utc>> = server.database().texts(&sql).iter().map(|text| lenient(text)).collect();
        for (pair, delay) in ends.windows(2).zip([300, 600, 1200]) {
            let waited = (pair[1] - pair[0]).num_milliseconds();
            assert!(waited >= delay, "{waited} ms between attempts, at least {delay} ms were due: {ends:?}");
        }
    }

    fn the_retry_delay_of_the_environment_is_the_base_of_the_first_wait(database) {
        let setup = Setup::new(&database).with_config(ALWAYS).with_env("EVENT_RETRY_DELAY", "60");
        let mut server = Server::start(setup);
        let client = server.client();
        let id = accepted(&client, &event("unlucky"));
        let event = stored(&client, id);
        assert_eq!((&event["status"], &event["attempts"]), (&json!("pending"), &json!(1)), "{event}");
        let delay = time(&event["next_attempt_at"]) - time(&event["received_at"]);
        let seconds = delay.num_milliseconds() as f64 / 1000.0;
        assert!((54.0..70.0).contains(&seconds), "60 s and a tenth either way, not {seconds}: {event}");
        let wait = post_and_wait(&client, &crate::support::events::event("unlucky"), 1);
        assert_eq!(wait.status, 202, "the wait is over before the end: {wait:?}");
        assert_eq!(wait.json()["status"], "enqueued");
    }

    fn with_no_retries_the_first_failure_is_the_last(database) {
        let setup = Setup::new(&database).with_config(ALWAYS).with_env("EVENT_MAX_RETRIES", "0");
        let mut server = Server::start(setup);
        let client = server.client();
        let answer = post_and_wait(&client, &event("unlucky"), 30);
        assert_eq!(answer.json()["retries_exhausted"], true, "{answer:?}");
        let id = answer.json()["event_id"].as_i64().expect("a number");
        assert_eq!(finished(&client, id)["attempts"], 1);
    }
}

#[test]
fn failures_and_retries_get_their_lines_beyond_the_rate_of_lines() {
    let setup = Setup::new(&crate::support::database::Database::sqlite())
        .with_config(ALWAYS)
        .with_config("log.event_lines_per_second = 1\nretry.delay = \"100ms\"");
    let mut server = Server::start(setup);
    let client = server.client();
    let ids: Vec<i64> = (0..30).map(|_| accepted(&client, &event("unlucky"))).collect();
    for id in ids {
        assert_eq!(finished(&client, id)["status"], "failed");
        let mark = format!("[Event {id}] ");
        let lines = || server.log().lines().filter(|line| line.contains(&mark)).count();
        crate::support::wait::wait_for(
            &format!("three retries and a failure of event {id} in the log"),
            crate::support::wait::SOON,
            || (lines() >= 4).then_some(()),
            || server.log(),
        );
    }
}

/// A time as the databases print it: with a blank in place of the `T`, or an offset of hours only.
fn lenient(text: &str) -> DateTime<Utc> {
    let text = text.replace(' ', "T");
    let text = if text.ends_with("+00") { text.replace("+00", "Z") } else { text };
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
