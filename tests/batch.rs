//! Batches: many events in one request and one transaction, lines without end, and packed bodies.

mod encodings;
mod lines;

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::events::{accepted, event, finished, keys, stored, with_uid};
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};

/// Where batches are posted.
const BATCH: &str = "/api/v1/events/batch";

/// Posts a batch with a `Prefer` header.
fn preferring(client: &Client, prefer: &str, batch: &Value) -> Answer {
    let headers = [("Content-Type", "application/json"), ("Prefer", prefer)];
    client.call("POST", BATCH, &headers, Some(batch.to_string().as_bytes()))
}

fn rows(server: &Server) -> usize {
    server.database().texts("SELECT CAST(id AS TEXT) FROM events").len()
}

fn statuses(report: &Value) -> Vec<&str> {
    let results = report["results"].as_array().expect("results");
    results.iter().map(|result| result["status"].as_str().expect("a status")).collect()
}

both_databases! {
    fn a_batch_gets_the_references_report(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let invalid = json!({"event_type": "engagement", "payload": {}});
        let answer = client.post_json(BATCH, &json!({"events": [event("page_view"), invalid, event("click")]}));
        assert_eq!(answer.status, 207, "{answer:?}");
        let report = answer.json();
        let counts = ["total_events", "processed", "failed", "duplicates", "enqueued"].map(|name| report[name].as_i64());
        assert_eq!(counts, [3, 2, 1, 0, 0].map(Some), "{report}");
        assert_eq!(report["status"], "partial");
        let results = &report["results"];
        assert_eq!(keys(&results[0]), ["event_id", "event_name", "index", "processed_at", "status", "user_id"]);
        assert_eq!((&results[0]["status"], &results[0]["event_name"]), (&json!("processed"), &json!("page_view")));
        assert_eq!(results[2]["index"], 2);
        let refused = &results[1];
        assert_eq!((&refused["status"], &refused["code"]), (&json!("validation_error"), &json!("missing_field")));
        assert_eq!(refused["error"], "Missing event_name or event_type");
        assert_eq!(refused["errors"][0]["pointer"], "/event_name");
        let kept = stored(&client, refused["event_id"].as_i64().expect("it is kept"));
        assert_eq!(kept["status"], "validation_error");
        let first = finished(&client, results[0]["event_id"].as_i64().expect("an id"));
        assert_eq!(first["processed_at"], results[0]["processed_at"]);
        let flushes = server.database().texts("SELECT CAST(counts AS TEXT) FROM flushes");
        assert_eq!(flushes.len(), 1, "one transaction: {flushes:?}");
    }

    fn a_batch_may_be_a_bare_array_and_all_well_is_a_200(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let answer = client.post_json(BATCH, &json!([event("a"), event("b")]));
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("success")), "{answer:?}");
        let minimal = preferring(&client, "return=minimal", &json!([event("a"), {"event_name": "b"}]));
        assert_eq!(minimal.header("preference-applied"), Some("return=minimal"));
        assert_eq!((minimal.status, statuses(&minimal.json())), (207, vec!["validation_error"]), "{minimal:?}");
        assert_eq!(minimal.json()["total_events"], 2);
        let bad = client.post_json(BATCH, &json!([1, "s", null, [], {}]));
        assert_eq!((bad.status, &bad.json()["status"]), (422, &json!("failed")), "{bad:?}");
        assert_eq!(bad.json()["results"][1]["code"], "event_not_object");
        assert_eq!(bad.json()["results"][4]["code"], "missing_field");
    }

    fn a_strict_batch_with_an_invalid_event_stores_nothing_and_names_every_flaw(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let batch = json!([event("a"), {"event_name": "b"}, event("c"), 7]);
        let refused = preferring(&client, "handling=strict", &batch);
        assert_eq!(refused.status, 422, "{refused:?}");
        let problem = refused.json();
        assert_eq!((&problem["code"], &problem["retryable"]), (&json!("batch_refused"), &json!(false)), "{problem}");
        assert_eq!(problem["detail"], "2 of 4 events are invalid, nothing was stored");
        let pointers: Vec<_> = problem["errors"].as_array().expect("errors").iter().map(|e| &e["pointer"]).collect();
        assert_eq!(pointers, ["/1/event_type", "/3"]);
        let unknown_user = json!([event("a"), {"event_name": "b", "event_type": "c", "user_id": 999}]);
        let admin = server.client_with(&server.setup().create_user_with_token("ana@example.org", "write,write:all"));
        let refused = preferring(&admin, "handling=strict", &unknown_user);
        assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("batch_refused")), "{refused:?}");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/1/user_id");
        assert_eq!(rows(&server), 0, "neither the valid nor the invalid ones");
        let taken = preferring(&client, "handling=strict", &json!([event("a"), event("b")]));
        assert_eq!((taken.status, taken.header("preference-applied")), (200, Some("handling=strict")), "{taken:?}");
        assert_eq!(rows(&server), 2);
    }

    // Guards the leaders in `keys::take`.
    fn of_one_key_twice_in_a_batch_the_first_valid_one_is_the_event(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let other = json!({"event_name": "other", "event_type": "engagement", "event_uid": "u"});
        let invalid = json!({"event_name": "page_view", "event_uid": "u"});
        let answer = client.post_json(BATCH, &json!([invalid, with_uid("u"), with_uid("u"), other, with_uid("v")]));
        let report = answer.json();
        let expected = ["validation_error", "processed", "duplicate", "failed", "processed"];
        assert_eq!((answer.status, statuses(&report)), (207, expected.to_vec()), "{report}");
        let first = &report["results"][1]["event_id"];
        assert_eq!((&report["results"][2]["event_id"], &report["results"][3]["event_id"]), (first, first));
        assert_eq!(report["results"][3]["code"], "event_uid_conflict");
        assert_eq!(rows(&server), 3);
        let again = client.post_json(BATCH, &json!([with_uid("u"), with_uid("u"), other, with_uid("w")]));
        let report = again.json();
        assert_eq!(statuses(&report), ["duplicate", "duplicate", "failed", "processed"], "{report}");
        assert!((0..3).all(|at| &report["results"][at]["event_id"] == first), "{report}");
        assert_eq!(rows(&server), 4);
    }

    fn an_idempotency_key_of_a_batch_stands_for_each_of_its_events(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let post = |key: &str| {
            let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
            client.call("POST", BATCH, &headers, Some(json!([event("a"), event("b"), with_uid("u")]).to_string().as_bytes()))
        };
        let ids = |answer: &Answer| -> Vec<i64> {
            let report = answer.json();
            report["results"].as_array().expect("results").iter().filter_map(|one| one["event_id"].as_i64()).collect()
        };
        let first = post("k");
        assert_eq!(statuses(&first.json()), ["processed"; 3]);
        let again = post("k");
        assert_eq!((again.status, statuses(&again.json())), (200, vec!["duplicate"; 3]), "{again:?}");
        assert_eq!(ids(&first), ids(&again));
        let other = post("l");
        assert_eq!(statuses(&other.json()), ["processed", "processed", "duplicate"], "its own uid wins");
        assert_eq!(post(&"k".repeat(236)).status, 400);
        assert_eq!(post(&"k".repeat(235)).status, 200);
    }

    fn a_batch_with_another_users_event_needs_the_scope_only_for_that_one(database) {
        let server = Server::start(&database);
        let batch = json!([event("a"), {"event_name": "b", "event_type": "c", "user_id": 999}]);
        let writer = server.client_with(&server.setup().create_user_with_token("ana@example.org", "write"));
        let report = writer.post_json(BATCH, &batch).json();
        assert_eq!(statuses(&report), ["processed", "validation_error"], "{report}");
        assert_eq!(report["results"][1]["code"], "forbidden");
    }

    fn what_is_no_batch_gets_a_clear_error_and_stores_nothing(database) {
        let setup = Setup::new(&database).with_config("limits.batch_events = 3\nlimits.batch_bytes = \"1MiB\"\nlimits.body_bytes = \"1MiB\"\n");
        let mut server = Server::start(setup);
        let client = server.client();
        let long = "x".repeat(1 << 20);
        for (body, status, code) in [
            ("", 400, "invalid_json"),
            ("[", 400, "invalid_json"),
            ("[1,]", 400, "invalid_json"),
            ("[]", 422, "batch_empty"),
            ("{\"events\":[]}", 422, "batch_empty"),
            ("{}", 422, "batch_not_list"),
            ("{\"events\":7}", 422, "batch_not_list"),
            ("\"s\"", 422, "batch_not_list"),
            ("[1,2,3,4]", 413, "batch_too_large"),
            (&format!("[\"{long}\"]"), 413, "body_too_large"),
        ] {
            let answer = client.post_text(BATCH, body);
            let shown: String = body.chars().take(40).collect();
            assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{shown}");
        }
        assert_eq!(rows(&server), 0);
        let nested = client.post_json(BATCH, &json!({"events": [{"events": [event("a")]}, event("b")]}));
        assert_eq!(statuses(&nested.json()), ["validation_error", "processed"], "{nested:?}");
        let heavy = json!({"event_name": "a", "event_type": "b", "payload": {"x": "y".repeat(900_000)}});
        let report = client.post_json(BATCH, &json!([heavy, event("b"), event("c")])).json();
        assert_eq!(statuses(&report), ["processed"; 3]);
    }

    fn of_many_batches_with_one_key_at_once_one_stores(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let batch = json!([with_uid("x"), with_uid("y"), with_uid("z")]);
        let gate = Barrier::new(8);
        std::thread::scope(|scope| {
            let post = || {
                gate.wait();
                client.post_json(BATCH, &batch)
            };
            let posts: Vec<_> = (0..8).map(|_| scope.spawn(post)).collect();
            for post in posts {
                assert_eq!(post.join().expect("no panic").status, 200);
            }
        });
        assert_eq!(rows(&server), 3);
        accepted(&client, &event("after"));
    }
}
