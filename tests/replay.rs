//! What operators do with stored events, and what a dry run says of events that are not stored.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, finished, keys, stored};
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};

const PROCESS: &str = "/api/v1/events/process";
const VALIDATE: &str = "/api/v1/events/validate";

fn act(client: &Client, id: i64, action: &str) -> Answer {
    client.call("POST", &format!("{EVENTS}/{id}/{action}"), &[], Some(b""))
}

fn statuses(report: &Value) -> Vec<&str> {
    let results = report["results"].as_array().unwrap_or_else(|| panic!("no results: {report}"));
    results.iter().map(|result| result["status"].as_str().expect("a status")).collect()
}

/// The id of an event that is kept as refused.
fn refused(client: &Client) -> i64 {
    // One that was sent before would be found again.
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let answer = client.post_json(EVENTS, &json!({"event_name": "a", "payload": {"number": number}}));
    assert_eq!(answer.status, 422, "{answer:?}");
    answer.json()["event_id"].as_i64().expect("it is kept")
}

/// Mends a refused event as an operator with the database at hand does.
fn mend(server: &Server, id: i64) {
    assert_eq!(server.database().execute(&format!("UPDATE events SET event_type = 'b' WHERE id = {id}")), 1);
}

both_databases! {
    fn stored_events_are_processed_with_the_references_report(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let done = accepted(&client, &event("done"));
        let before = finished(&client, done);
        let mended = refused(&client);
        let bad = refused(&client);
        mend(&server, mended);
        let ids = json!([done, mended, 999_999_999, bad, mended]);
        let answer = client.post_json(PROCESS, &json!({"event_ids": ids}));
        let report = answer.json();
        let expected = ["processed", "processed", "not_found", "validation_error", "processed"];
        assert_eq!((answer.status, statuses(&report)), (207, expected.to_vec()), "{report}");
        assert_eq!((&report["status"], &report["total_events"], &report["failed"]), (&json!("partial"), &json!(5), &json!(2)));
        assert_eq!(report["results"][0]["processed_at"], before["processed_at"], "its stored result");
        assert_eq!(keys(&report["results"][1]), ["event_id", "event_name", "index", "processed_at", "status", "user_id"]);
        assert_eq!(report["results"][3]["error"], "Missing event_name or event_type");
        let event = stored(&client, mended);
        assert_eq!((&event["status"], &event["attempts"], &event["error_code"]), (&json!("processed"), &json!(1), &Value::Null));
        let timeline = client.get(&format!("{EVENTS}/{mended}/timeline")).json();
        assert_eq!(timeline["generation"], 1, "{timeline}");
        let forced = client.post_json(PROCESS, &json!({"event_ids": [done], "force": true}));
        assert_eq!((forced.status, statuses(&forced.json())), (200, vec!["processed"]), "{forced:?}");
        let after = stored(&client, done);
        assert!(after["processed_at"].as_str() > before["processed_at"].as_str(), "{after}");
        assert_eq!(after["properties"]["original"], before["properties"]["original"]);
        let balance = &client.get("/api/v1/stats").json()["balance"];
        let expected = json!({
            "received": 3, "processed": 2, "duplicate": 0, "validation_error": 1, "failed": 0, "cancelled": 0, "pending": 0
        });
        assert_eq!(balance, &expected);
        let audit = server.database().texts("SELECT action || ' ' || CAST(event_id AS TEXT) FROM replays ORDER BY event_id");
        assert_eq!(audit, [format!("replayed {done}"), format!("replayed {mended}"), format!("replayed {bad}")]);
    }

    fn an_event_that_is_at_work_is_left_to_its_worker(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("a"));
        finished(&client, id);
        // As a claim of this very node leaves it, whose lease has just begun.
        let claim = format!(
            "UPDATE events SET status = 'pending', lease_boot = (SELECT boot_id FROM nodes LIMIT 1) WHERE id = {id}"
        );
        assert_eq!(server.database().execute(&claim), 1);
        let answer = act(&client, id, "retry");
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("in_progress")), "{answer:?}");
        assert_eq!(answer.json()["retryable"], true, "its outcome comes by itself");
    }

    // Guards the one transaction of `Store::reopen` and of the flush.
    fn the_number_of_transactions_does_not_grow_with_the_batch(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let ids: Vec<i64> = (0..200).map(|_| accepted(&client, &event("a"))).collect();
        let flushes = || server.database().texts("SELECT CAST(seq AS TEXT) FROM flushes").len();
        let before = flushes();
        let answer = client.post_json(PROCESS, &json!({"event_ids": ids, "force": true}));
        assert_eq!((answer.status, &answer.json()["processed"]), (200, &json!(200)), "{answer:?}");
        assert_eq!(flushes() - before, 2, "one takes back what they were, one says what they are");
    }

    fn foreign_events_are_not_found_and_operators_need_the_scope(database) {
        let mut server = Server::start(&database);
        let id = accepted(&server.client(), &event("a"));
        let ana = server.client_with(&server.setup().create_user_with_token("ana@example.org", "operate"));
        let report = ana.post_json(PROCESS, &json!({"event_ids": [id], "force": true}));
        assert_eq!((report.status, statuses(&report.json())), (422, vec!["not_found"]), "{report:?}");
        for action in ["retry", "cancel"] {
            assert_eq!(act(&ana, id, action).status, 404, "{action}");
        }
        let reader = server.client_with(&server.setup().create_token("ana@example.org", "read,write"));
        assert_eq!(reader.post_json(PROCESS, &json!({"event_ids": [id]})).status, 403);
        assert_eq!((act(&reader, id, "retry").status, act(&reader, id, "cancel").status), (403, 403));
    }

    fn wrong_wishes_are_named(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for (body, status, code) in [
            (json!({}), 422, "missing_field"),
            (json!({"event_ids": "1"}), 422, "invalid_field"),
            (json!({"event_ids": [1, "x"]}), 422, "invalid_field"),
            (json!({"event_ids": [1], "force": 1}), 422, "invalid_field"),
            (json!({"event_ids": []}), 422, "batch_empty"),
            (json!({"event_ids": vec![1; 1_001]}), 413, "batch_too_large"),
            (json!([1]), 422, "invalid_field"),
        ] {
            let answer = client.post_json(PROCESS, &body);
            assert_eq!((answer.status, &answer.json()["code"]), (status, &json!(code)), "{answer:?}");
        }
        assert_eq!(act(&client, 999_999_999, "retry").status, 404);
        assert_eq!(client.call("POST", &format!("{EVENTS}/01/cancel"), &[], None).status, 404);
    }

    fn one_event_is_retried_with_the_references_return_value(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = refused(&client);
        let again = act(&client, id, "retry");
        assert_eq!((again.status, &again.json()["code"]), (422, &json!("missing_field")), "{again:?}");
        mend(&server, id);
        let done = act(&client, id, "retry");
        assert_eq!(done.status, 200, "{done:?}");
        assert_eq!(keys(&done.json()), ["event_id", "event_name", "event_type", "processed_at", "status", "user_id"]);
        let over = act(&client, id, "retry");
        assert_eq!((over.status, &over.json()["code"]), (409, &json!("not_replayable")), "{over:?}");
        assert_eq!(over.json()["detail"], format!("event {id} is processed, there is nothing to retry"));
    }

    fn what_is_no_event_to_cancel_says_so(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("a"));
        finished(&client, id);
        let answer = act(&client, id, "cancel");
        assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("not_replayable")), "{answer:?}");
    }

    fn a_dry_run_judges_as_a_post_does_and_stores_nothing(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let valid = client.post_json(VALIDATE, &event("a"));
        assert_eq!((valid.status, valid.json()), (200, json!({"status": "valid"})), "{valid:?}");
        let invalid = client.post_json(VALIDATE, &json!({"event_name": "a", "payload": []}));
        assert_eq!((invalid.status, &invalid.json()["code"]), (422, &json!("payload_not_object")), "{invalid:?}");
        assert_eq!(invalid.json()["event_id"], Value::Null);
        let unknown = client.post_json(VALIDATE, &json!({"event_name": "a", "event_type": "b", "user_id": 999}));
        assert_eq!((unknown.status, &unknown.json()["code"]), (422, &json!("user_unknown")), "{unknown:?}");
        let batch = client.post_json(VALIDATE, &json!({"events": [event("a"), 7, {"event_name": "b"}]}));
        let report = batch.json();
        assert_eq!((batch.status, statuses(&report)), (207, vec!["valid", "validation_error", "validation_error"]));
        assert_eq!((&report["valid"], &report["failed"]), (&json!(1), &json!(2)));
        assert_eq!(client.post_json(VALIDATE, &json!([event("a")])).json()["status"], "success");
        assert_eq!(client.post_text(VALIDATE, "{").status, 400);
        assert_eq!(server.database().texts("SELECT CAST(id AS TEXT) FROM events"), Vec::<String>::new());
    }

    fn a_dry_run_judges_lines_without_end_line_by_line(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let other = json!({"event_name": "a", "event_type": "b", "user_id": 999});
        let good = format!("{}\n", event("a")).repeat(2_500);
        let body = format!("{good}{{\n\n7\n{other}\n{{\"event_name\": \"a\"}}");
        let post = |accept: &str, body: &str| {
            let headers = [("Content-Type", "application/x-ndjson"), ("Accept", accept), ("Idempotency-Key", "k")];
            client.call("POST", VALIDATE, &headers, Some(body.as_bytes()))
        };
        let answer = post("*/*", &body);
        let report = answer.json();
        assert_eq!(keys(&report), ["complete", "failed", "results", "status", "total_events", "valid"]);
        let figures = ["total_events", "valid", "failed", "complete"].map(|key| report[key].clone());
        assert_eq!((answer.status, figures), (207, [json!(2_504), json!(2_500), json!(4), json!(true)]), "{report}");
        let codes = |results: &[Value]| -> Vec<Value> {
            results.iter().map(|result| json!([result["index"], result["status"], result["code"]])).collect()
        };
        let expected = [(2_500, "invalid_json"), (2_501, "event_not_object"), (2_502, "user_unknown"), (2_503, "missing_field")];
        let expected = expected.map(|(index, code)| json!([index, "validation_error", code]));
        assert_eq!(codes(report["results"].as_array().expect("results")), expected);
        let streamed = post("application/x-ndjson", &body);
        let lines: Vec<Value> = streamed.body.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((streamed.status, lines.len()), (200, 2_505));
        assert_eq!((&lines[0]["status"], codes(&lines[2_500..2_504])), (&json!("valid"), expected.to_vec()));
        assert_eq!(lines[2_504], json!({"summary": {"status": "partial", "total_events": 2_504, "valid": 2_500, "failed": 4}}));
        let fine = post("*/*", &good);
        assert_eq!((fine.status, &fine.json()["results"]), (200, &json!([])), "{fine:?}");
        let bad = post("*/*", "7\n");
        assert_eq!((bad.status, &bad.json()["status"]), (422, &json!("failed")), "{bad:?}");
        assert_eq!(post("*/*", "\n").json()["code"], "batch_empty");
        assert_eq!(server.database().texts("SELECT CAST(id AS TEXT) FROM events"), Vec::<String>::new());
        assert_eq!(server.database().texts("SELECT key FROM dedupe_keys"), Vec::<String>::new());
    }

    fn a_dry_run_takes_cloud_events_in_each_mode(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let one = json!({"specversion": "1.0", "type": "t", "source": "s", "id": "1"});
        let broken = json!({"specversion": "1.0", "type": "t", "source": "s"});
        let post = |kind: &str, body: &Value| {
            client.call("POST", VALIDATE, &[("Content-Type", kind)], Some(body.to_string().as_bytes()))
        };
        let structured = post("application/cloudevents+json", &one);
        assert_eq!((structured.status, structured.json()), (200, json!({"status": "valid"})), "{structured:?}");
        let refused = post("application/cloudevents+json", &broken);
        assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (422, &json!("/id")), "{refused:?}");
        let batch = post("application/cloudevents-batch+json", &json!([one, broken]));
        assert_eq!((batch.status, statuses(&batch.json())), (207, vec!["valid", "validation_error"]), "{batch:?}");
        let headers = [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "s"), ("Content-Type", "text/plain")];
        let binary = client.call("POST", VALIDATE, &headers, Some(b"text"));
        assert_eq!((binary.status, &binary.json()["errors"][0]["pointer"]), (422, &json!("/id")), "{binary:?}");
        let whole = [&headers[..], &[("ce-id", "1")]].concat();
        assert_eq!(client.call("POST", VALIDATE, &whole, Some(b"text")).status, 200);
        let unknown = client.call("POST", VALIDATE, &[("Content-Type", "text/csv")], Some(b"a,b"));
        let taken = "application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json";
        assert_eq!((unknown.status, unknown.header("accept-post")), (415, Some(taken)), "{unknown:?}");
        assert_eq!(server.database().texts("SELECT CAST(id AS TEXT) FROM events"), Vec::<String>::new());
    }
}

#[cfg(feature = "fault-injection")]
both_databases! {
    fn a_waiting_event_is_cancelled_once_and_never_tried_again(database) {
        let fault = "[[faults]]\nstage = \"validator\"\nevent_name = \"fails\"\naction = \"error\"\n";
        let mut server = Server::start(Setup::new(&database).with_config(fault).with_env("EVENT_RETRY_DELAY", "60"));
        let client = server.client();
        let id = accepted(&client, &event("fails"));
        assert_eq!(stored(&client, id)["status"], "pending");
        for _ in 0..2 {
            let answer = act(&client, id, "cancel");
            assert_eq!((answer.status, answer.json()), (200, json!({"status": "cancelled", "event_id": id})), "{answer:?}");
        }
        let event = stored(&client, id);
        assert_eq!((&event["status"], &event["next_attempt_at"], &event["attempts"]), (&json!("cancelled"), &Value::Null, &json!(1)));
        let balance = client.get("/api/v1/stats").json()["balance"].clone();
        assert_eq!((&balance["received"], &balance["cancelled"], &balance["pending"]), (&json!(1), &json!(1), &json!(0)));
        let replayed = act(&client, id, "retry");
        assert_eq!(replayed.status, 202, "it fails again and waits: {replayed:?}");
        assert_eq!(stored(&client, id)["attempts"], 1, "counted anew");
    }
}
