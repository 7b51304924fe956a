//! Refused events that are sent again and again: one row is kept, which counts them.

use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::events::{EVENTS, event, stored};
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};

const BATCH: &str = "/api/v1/events/batch";

/// An event without a type.
fn bad(name: &str, more: &Value) -> Value {
    let mut event = json!({"event_name": name, "payload": {}});
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

/// Asserts that an answer refuses an event that is kept as a row of this id, and was repeated so often.
#[track_caller]
fn assert_refused(answer: &Answer, id: i64, repeats: &Value) {
    let problem = answer.json();
    assert_eq!((answer.status, &problem["code"]), (422, &json!("missing_field")), "{problem}");
    assert_eq!((&problem["event_id"], &problem["repeats"]), (&json!(id), repeats), "{problem}");
}

fn kept(client: &Client, event: &Value) -> i64 {
    client.post_json(EVENTS, event).json()["event_id"].as_i64().expect("the row that is kept")
}

fn rows(server: &Server) -> usize {
    server.database().texts("SELECT CAST(id AS TEXT) FROM events").len()
}

/// The balance: what was received, refused, repeated; it adds up.
#[track_caller]
fn balance(client: &Client) -> (i64, i64, i64) {
    let balance = client.get("/api/v1/stats").json()["balance"].clone();
    let of = |name: &str| balance[name].as_i64().expect("a number");
    let ends = ["processed", "duplicate", "validation_error", "failed", "cancelled", "pending"];
    assert_eq!(of("received"), ends.into_iter().map(of).sum::<i64>(), "{balance}");
    (of("received"), of("validation_error"), of("duplicate"))
}

both_databases! {
    fn a_refused_event_that_is_sent_again_is_counted_with_the_row_that_is_kept(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let event = bad("x", &json!({"event_uid": "bad-1"}));
        let id = kept(&client, &event);
        assert!(stored(&client, id).get("repeats").is_none());
        assert_refused(&client.post_json(EVENTS, &event), id, &json!(1));
        server.restart();
        let client = server.client();
        assert_refused(&client.post_json(EVENTS, &event), id, &json!(2));
        let timeline = client.get(&format!("{EVENTS}/{id}/timeline")).json();
        let listed = client.get(EVENTS).json()["data"][0].clone();
        for shown in [stored(&client, id), timeline, listed] {
            assert_eq!((&shown["id"], &shown["repeats"]), (&json!(id), &json!(2)), "{shown}");
            assert!(shown["last_repeated_at"].as_str() > shown["received_at"].as_str(), "{shown}");
        }
        assert_eq!((rows(&server), balance(&client)), (1, (3, 1, 2)));
    }

    fn what_differs_in_key_content_or_user_has_a_row_of_its_own(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let all = [
            bad("x", &json!({})),
            bad("y", &json!({})),
            bad("x", &json!({"event_uid": "a"})),
            bad("x", &json!({"event_uid": "b"})),
            bad("x", &json!({"payload": {"a": 1}})),
            bad("x", &json!({"payload": [1]})),
            bad("x", &json!({"timestamp": "now"})),
            bad("x", &json!({"timestamp": "then"})),
            json!({"event_type": "x", "payload": {}}),
        ];
        let ids: std::collections::BTreeSet<_> = all.iter().map(|event| kept(&client, event)).collect();
        assert_eq!((ids.len(), rows(&server)), (all.len(), all.len()));
        let keyed = |key: &str| {
            let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
            client.call("POST", EVENTS, &headers, Some(all[0].to_string().as_bytes())).json()["event_id"].clone()
        };
        assert_eq!(keyed("k"), keyed("k"));
        assert_ne!(keyed("k"), keyed("l"));
        // What is not kept tells no events apart.
        assert!(ids.contains(&kept(&client, &bad("x", &json!({"sent_at": 5})))));
        assert_eq!(rows(&server), all.len() + 2);
    }

    fn the_same_bad_event_in_a_batch_or_among_lines_is_kept_once(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let batch = json!([bad("x", &json!({})), event("a"), bad("x", &json!({})), bad("x", &json!({}))]);
        let report = client.post_json(BATCH, &batch);
        assert_eq!(report.status, 207, "{report:?}");
        let results = report.json()["results"].clone();
        let id = results[0]["event_id"].as_i64().expect("the row that is kept");
        for (place, repeats) in [(0, json!(null)), (2, json!(2)), (3, json!(2))] {
            assert_eq!((&results[place]["event_id"], &results[place]["repeats"]), (&json!(id), &repeats), "{results}");
            assert_eq!((&results[place]["status"], &results[place]["code"]), (&json!("validation_error"), &json!("missing_field")));
        }
        let lines = format!("{}\n", bad("x", &json!({}))).repeat(2_500);
        let report = client.call("POST", BATCH, &[("Content-Type", "application/x-ndjson")], Some(lines.as_bytes())).json();
        assert_eq!((&report["failed"], &report["results"][0]["event_id"]), (&json!(2_500), &json!(id)), "{}", report["status"]);
        assert_eq!(stored(&client, id)["repeats"], 2_502);
        assert_eq!((rows(&server), balance(&client)), (2, (2_504, 1, 2_502)));
    }

    fn a_crowd_that_repeats_one_refusal_is_counted_exactly(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let event = bad("x", &json!({"event_uid": "bad-1"}));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let client = client.clone();
                let event = &event;
                scope.spawn(move || (0..25).for_each(|_| assert_eq!(client.post_json(EVENTS, event).status, 422)));
            }
        });
        let id = kept(&client, &event);
        assert_eq!((stored(&client, id)["repeats"].clone(), rows(&server)), (json!(200), 1));
        assert_eq!(balance(&client), (201, 1, 200));
    }

    fn an_event_that_was_mended_goes_on_counting_what_it_was_mended_of(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let event = json!({"event_name": "x", "event_type": "y", "event_uid": "bad-1", "payload": [1]});
        let id = kept(&client, &event);
        let patch = json!({"patch": {"a": 1}});
        let mended = client.post_json(&format!("{EVENTS}/{id}/retry"), &patch);
        assert_eq!((mended.status, &mended.json()["status"]), (200, &json!("success")), "{mended:?}");
        let again = client.post_json(EVENTS, &event);
        assert_eq!((again.status, &again.json()["event_id"], &again.json()["repeats"]), (422, &json!(id), &json!(1)), "{again:?}");
        let shown = stored(&client, id);
        assert_eq!((&shown["status"], &shown["repeats"]), (&json!("processed"), &json!(1)), "{shown}");
        let good = json!({"event_name": "x", "event_type": "y", "event_uid": "bad-1", "payload": {"a": 1}});
        assert_eq!(client.post_json(EVENTS, &good).json()["event_id"], id, "its key is taken");
        assert_eq!(rows(&server), 1);
        balance(&client);
    }

    fn what_is_not_kept_is_not_counted(database) {
        let mut server = Server::start(Setup::new(&database).with_config("pipeline.keep_rejected = false\n"));
        let client = server.client();
        for _ in 0..2 {
            let answer = client.post_json(EVENTS, &bad("x", &json!({}))).json();
            assert!(answer.get("event_id").is_none() && answer.get("repeats").is_none(), "{answer}");
        }
        assert_eq!(rows(&server), 0);
    }
}

#[test]
fn nodes_count_with_the_same_row_also_after_a_kill() {
    let database = Database::postgres();
    let mut first = Server::start(&database);
    let second = Server::start(&database);
    let clients = [first.client(), second.client_with(&first.token())];
    let event = bad("x", &json!({"event_uid": "bad-1"}));
    let crowd = || {
        std::thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| (0..50).for_each(|_| assert_eq!(client.post_json(EVENTS, &event).status, 422)));
            }
        });
    };
    crowd();
    first.kill9();
    let id = kept(&clients[1], &event);
    first.restart();
    let client = first.client();
    assert_refused(&client.post_json(EVENTS, &event), id, &json!(101));
    assert_eq!((rows(&first), balance(&client)), (1, (102, 1, 101)));
}
