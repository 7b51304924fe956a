//! `GET /api/v1/events/{id}/timeline`: what happened to an event, attempt by attempt.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, finished, id_of, keys};
use crate::support::http::Client;
use crate::support::server::{Server, Setup};

fn timeline(client: &Client, id: i64) -> Value {
    let answer = client.get(&format!("{EVENTS}/{id}/timeline"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key}: {value}"))
}

both_databases! {
    fn a_timeline_begins_with_the_receipt_and_ends_with_the_attempt_that_finished_the_event(database) {
        let mut server = Server::start(Setup::new(&database).with_config("node.name = \"mill\""));
        let client = server.client();
        let id = accepted(&client, &event("page_view"));
        let event = finished(&client, id);
        let timeline = timeline(&client, id);
        let wanted = [
            "attempts", "changes", "finished_at", "generation", "id", "next_attempt_at", "processed_at", "received_at", "status", "task_id",
        ];
        assert_eq!(keys(&timeline), wanted);
        for key in ["id", "task_id", "status", "received_at", "processed_at"] {
            assert_eq!(timeline[key], event[key], "{key}");
        }
        let [attempt] = &timeline["attempts"].as_array().expect("a list")[..] else { panic!("{timeline}") };
        assert_eq!((&attempt["attempt"], text(attempt, "outcome"), text(attempt, "node")), (&json!(1), "processed", "mill"));
        assert_eq!((&attempt["error"], &attempt["error_code"], &attempt["stage"]), (&Value::Null, &Value::Null, &Value::Null));
        assert!(text(&timeline, "received_at") <= text(attempt, "started_at"), "{timeline}");
        assert!(text(attempt, "started_at") <= text(attempt, "ended_at"), "{timeline}");
        assert_eq!(attempt["ended_at"], timeline["finished_at"]);
        let rejected = id_of(&client.post_text(EVENTS, r#"{"event_name":"a","payload":{}}"#));
        let timeline = self::timeline(&client, rejected);
        let attempt = &timeline["attempts"][0];
        assert_eq!((text(attempt, "outcome"), text(attempt, "error_code")), ("validation_error", "missing_field"));
        assert_eq!(timeline["attempts"].as_array().map(Vec::len), Some(1), "{timeline}");
    }

    fn whoever_may_not_see_an_event_is_told_that_there_is_none(database) {
        let mut server = Server::start(&database);
        let ana = server.client();
        let id = accepted(&ana, &event("page_view"));
        let bob = server.setup().create_user_with_token("bob@example.org", "read,write");
        let bob = server.client_with(&bob);
        let answers = [id, id + 1_000_000].map(|id| bob.get(&format!("{EVENTS}/{id}/timeline")));
        assert_eq!(answers.each_ref().map(|answer| answer.status), [404, 404]);
        assert_eq!(ana.get(&format!("{EVENTS}/0/timeline")).status, 404);
        let writer = server.setup().create_token("bob@example.org", "write");
        assert_eq!(server.client_with(&writer).get(&format!("{EVENTS}/{id}/timeline")).status, 403);
        assert_eq!(ana.post_text(&format!("{EVENTS}/{id}/timeline"), "{}").status, 405);
    }
}

#[cfg(feature = "fault-injection")]
both_databases! {
    fn every_failed_attempt_is_in_the_timeline_and_the_next_one_too(database) {
        let rule = |name, times| {
            format!("[[faults]]\nstage = \"normalizer\"\nevent_name = {name:?}\naction = \"error\"\ntimes = {times}\n")
        };
        let config = format!("retry = {{ delay = \"100ms\", jitter = 0.0 }}\n{}{}", rule("twice", 2), rule("always", 0));
        let mut server = Server::start(Setup::new(&database).with_config(&config));
        let client = server.client();
        for (name, status, outcomes) in [
            ("twice", "processed", ["failed", "failed", "processed"].as_slice()),
            ("always", "failed", ["failed"; 4].as_slice()),
        ] {
            let id = accepted(&client, &event(name));
            let waiting = timeline(&client, id);
            assert!(waiting["status"] != "pending" || waiting["next_attempt_at"].is_string(), "{waiting}");
            assert_eq!(finished(&client, id)["status"], status);
            let timeline = timeline(&client, id);
            let attempts = timeline["attempts"].as_array().expect("a list");
            let seen: Vec<&str> = attempts.iter().map(|attempt| text(attempt, "outcome")).collect();
            assert_eq!(seen, outcomes, "{timeline}");
            assert_eq!((text(&attempts[0], "stage"), text(&attempts[0], "error_code")), ("normalizer", "injected"));
            assert!(text(&attempts[0], "error").starts_with("Processing error: "), "{timeline}");
            let numbers: Vec<i64> = attempts.iter().filter_map(|attempt| attempt["attempt"].as_i64()).collect();
            assert_eq!(numbers, (1..=attempts.len().try_into().expect("few")).collect::<Vec<i64>>());
            assert_eq!(timeline["next_attempt_at"], Value::Null);
        }
    }
}
