//! One key, one event: `event_uid` and `Idempotency-Key`, also in a crowd and over a crash.

use std::sync::Barrier;

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, finished, id_of, keys, post_and_wait, with_uid};
use crate::support::http::{Answer, Client};
use crate::support::server::Server;

/// Posts with an `Idempotency-Key`.
fn post_keyed(client: &Client, key: &str, event: &Value) -> Answer {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    client.call("POST", EVENTS, &headers, Some(event.to_string().as_bytes()))
}

/// Asserts that an answer says: this is the event of that id again.
fn assert_duplicate(answer: &Answer, of: i64) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let receipt = answer.json();
    assert_eq!((&receipt["event_id"], &receipt["duplicate"]), (&json!(of), &json!(true)), "{receipt}");
    assert_eq!(receipt["event_status"], "processed", "{receipt}");
}

/// Asserts that an answer says: this key belongs to another event, of that id.
fn assert_conflict(answer: &Answer, of: i64) {
    assert_eq!(answer.status, 409, "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["code"], "event_uid_conflict", "{problem}");
    assert_eq!(problem["retryable"], false, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&of.to_string())), "{problem}");
}

fn rows(server: &Server) -> usize {
    server.database().texts("SELECT CAST(id AS TEXT) FROM events").len()
}

both_databases! {
    fn the_same_uid_with_the_same_content_is_the_first_event_again(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &with_uid("u-1"));
        let task_id = finished(&client, id)["task_id"].clone();
        let again = client.post_json(EVENTS, &with_uid("u-1"));
        assert_duplicate(&again, id);
        assert_eq!(again.json()["task_id"], task_id);
        let written_otherwise = r#"
            {"unknown": 1, "event_type":"engagement" , "payload":{"page":"/home"}, "event_uid":"u-\u0031",
             "event_name":"page_view"}"#;
        assert_duplicate(&client.post_text(EVENTS, written_otherwise), id);
        let waited = post_and_wait(&client, &with_uid("u-1"), 10);
        assert_eq!(waited.status, 200, "{waited:?}");
        assert_eq!(waited.json()["event_id"], id, "{waited:?}");
        assert_eq!(rows(&server), 1);
    }

    fn a_key_in_quotes_is_the_key_without_them(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = id_of(&post_keyed(&client, "k1", &event("a")));
        finished(&client, id);
        for key in ["\"k1\"", "\"k1\"; a=1", " \"k1\" "] {
            assert_duplicate(&post_keyed(&client, key, &event("a")), id);
        }
        assert_conflict(&post_keyed(&client, "\"k1\"", &event("b")), id);
        let spaced = id_of(&post_keyed(&client, r#""a \"b\"""#, &event("a")));
        finished(&client, spaced);
        assert_duplicate(&post_keyed(&client, r#""a \"b\"""#, &event("a")), spaced);
        for malformed in ["\"k1", "\"\"", "\"k1\"x", "\"k\\1\""] {
            let answer = post_keyed(&client, malformed, &event("a"));
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_request")), "{malformed}: {answer:?}");
        }
        let batch = |key: &str| {
            let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
            let body = json!([event("c")]).to_string();
            client.call("POST", "/api/v1/events/batch", &headers, Some(body.as_bytes())).json()
        };
        let first = batch("b1")["results"][0]["event_id"].clone();
        assert_eq!((&batch("\"b1\"")["duplicates"], &batch("\"b1\"")["results"][0]["event_id"]), (&json!(1), &first));
        assert_eq!(rows(&server), 3);
    }

    fn the_same_uid_with_other_content_is_a_conflict(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &with_uid("u-1"));
        let other = |key: &str, value: Value| {
            let mut event = with_uid("u-1");
            event[key] = value;
            event
        };
        for event in [
            other("event_name", json!("other")),
            other("event_type", json!("other")),
            other("timestamp", json!("2025-12-18T10:30:00Z")),
            other("payload", json!({"page": "/home", "more": 1})),
            other("payload", Value::Null),
        ] {
            assert_conflict(&client.post_json(EVENTS, &event), id);
        }
        let other_bytes = with_uid("u-1").to_string().replace(r#""page":"#, r#""page": "#);
        assert_conflict(&client.post_text(EVENTS, &other_bytes), id);
        assert_eq!(rows(&server), 1);
        assert_duplicate(&client.post_json(EVENTS, &with_uid("u-1")), id);
    }

    fn uid_and_idempotency_key_are_separate_namespaces_and_the_uid_wins(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let by_uid = accepted(&client, &with_uid("k"));
        let plain = event("page_view");
        let first = post_keyed(&client, "k", &plain);
        assert_eq!(first.status, 202, "{first:?}");
        let by_header = id_of(&first);
        assert_ne!(by_uid, by_header);
        assert_duplicate(&post_keyed(&client, "k", &plain), by_header);
        assert_conflict(&post_keyed(&client, "k", &event("other")), by_header);
        assert_duplicate(&post_keyed(&client, "new", &with_uid("k")), by_uid);
        let unused = post_keyed(&client, "new", &plain);
        assert_eq!(unused.status, 202, "the header was not taken beside the uid: {unused:?}");
        assert_eq!(finished(&client, by_header)["event_uid"], Value::Null, "the header is no uid");
    }

    fn keys_of_different_users_never_meet(database) {
        let server = Server::start(&database);
        let setup = server.setup();
        let ana = server.client_with(&setup.create_user_with_token("ana@example.org", "read,write"));
        let bob = server.client_with(&setup.create_user_with_token("bob@example.org", "read,write"));
        let one = accepted(&ana, &with_uid("u"));
        let two = accepted(&bob, &with_uid("u"));
        assert_ne!(one, two);
        assert_duplicate(&ana.post_json(EVENTS, &with_uid("u")), one);
        assert_duplicate(&bob.post_json(EVENTS, &with_uid("u")), two);
    }

    fn a_rejected_event_takes_no_key(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let wrong = json!({"event_name": "page_view", "event_uid": "u-1"});
        for _ in 0..2 {
            assert_eq!(client.post_json(EVENTS, &wrong).status, 422);
        }
        let id = accepted(&client, &with_uid("u-1"));
        assert_duplicate(&client.post_json(EVENTS, &with_uid("u-1")), id);
        assert_eq!(client.post_json(EVENTS, &wrong).status, 422, "what is invalid is refused, not called a conflict");
        let headed = post_keyed(&client, "k", &json!({"event_name": "page_view"}));
        assert_eq!(headed.status, 422, "{headed:?}");
        assert_eq!(post_keyed(&client, "k", &event("page_view")).status, 202);
    }

    fn fifty_posts_of_one_key_at_once_make_one_event(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for round in 0..4 {
            let event = with_uid(&format!("crowd-{round}"));
            let barrier = Barrier::new(50);
            let answers: Vec<Answer> = std::thread::scope(|scope| {
                let post = || {
                    barrier.wait();
                    client.post_json(EVENTS, &event)
                };
                let threads: Vec<_> = (0..50).map(|_| scope.spawn(post)).collect();
                threads.into_iter().map(|thread| thread.join().expect("every post is answered")).collect()
            });
            let id = id_of(&answers[0]);
            let news = answers.iter().filter(|answer| answer.status == 202).count();
            assert_eq!(news, 1, "one of fifty is the first: {answers:?}");
            for answer in &answers {
                assert!(matches!(answer.status, 200 | 202), "{answer:?}");
                assert_eq!(id_of(answer), id, "{answer:?}");
                assert_eq!(answer.json()["duplicate"], answer.status == 200, "{answer:?}");
            }
            assert_eq!(finished(&client, id)["status"], "processed");
            assert_eq!(rows(&server), round + 1);
        }
    }

    fn of_two_contents_under_one_key_at_once_one_wins_and_the_other_is_told(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for round in 0..4 {
            let one = with_uid(&format!("race-{round}"));
            let mut other = one.clone();
            other["event_name"] = json!("other");
            let barrier = Barrier::new(20);
            let answers: Vec<(bool, Answer)> = std::thread::scope(|scope| {
                let client = &client;
                let barrier = &barrier;
                let one = &one;
                let other = &other;
                let post = |n: usize| {
                    let is_one = n.is_multiple_of(2);
                    barrier.wait();
                    (is_one, client.post_json(EVENTS, if is_one { one } else { other }))
                };
                let threads: Vec<_> = (0..20).map(|n| scope.spawn(move || post(n))).collect();
                threads.into_iter().map(|thread| thread.join().expect("every post is answered")).collect()
            });
            let (winner, first) = answers.iter().find(|(_, answer)| answer.status == 202).expect("one is the first");
            let id = id_of(first);
            for (is_one, answer) in &answers {
                match answer.status {
                    202 => assert_eq!(id_of(answer), id, "one of twenty is the first"),
                    200 => assert_eq!((is_one, id_of(answer)), (winner, id), "{answer:?}"),
                    _ => {
                        assert_ne!(is_one, winner, "{answer:?}");
                        assert_conflict(answer, id);
                    }
                }
            }
            assert_eq!(rows(&server), round + 1);
        }
    }

    fn a_key_is_remembered_over_a_crash(database) {
        let mut server = Server::start(&database);
        let id = accepted(&server.client(), &with_uid("u-1"));
        let headed = id_of(&post_keyed(&server.client(), "k", &event("page_view")));
        server.kill9();
        server.restart();
        let client = server.client();
        assert_duplicate(&client.post_json(EVENTS, &with_uid("u-1")), id);
        assert_duplicate(&post_keyed(&client, "k", &event("page_view")), headed);
        let mut other = with_uid("u-1");
        other["event_name"] = json!("other");
        assert_conflict(&client.post_json(EVENTS, &other), id);
        assert_eq!(rows(&server), 2);
    }

    fn a_key_has_1_to_255_visible_characters(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for key in ["", &"k".repeat(256), &"k".repeat(300), "a b\u{e9}"] {
            let answer = post_keyed(&client, key, &event("page_view"));
            assert_eq!(answer.status, 400, "{key:?} gets {answer:?}");
            let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.to_lowercase().contains("idempotency-key"), "{answer:?}");
        }
        assert_eq!(post_keyed(&client, &"k".repeat(255), &event("page_view")).status, 202);
        for (uid, limit) in [(json!(""), "1 to 255"), (json!("u".repeat(256)), "limit 255"), (json!(7), "string")] {
            let mut event = event("page_view");
            event["event_uid"] = uid;
            let answer = client.post_json(EVENTS, &event);
            assert_eq!(answer.status, 422, "{answer:?}");
            assert!(answer.body.contains(limit) && answer.body.contains("event_uid"), "{answer:?}");
        }
        assert_eq!(accepted(&client, &with_uid(&"é".repeat(255))), id_of(&client.post_json(EVENTS,
            &with_uid(&"é".repeat(255)))));
    }

    fn a_duplicates_receipt_has_the_members_of_the_first_and_its_state(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        accepted(&client, &with_uid("u-1"));
        let receipt = client.post_json(EVENTS, &with_uid("u-1")).json();
        let wanted = ["duplicate", "durability", "event_id", "event_status", "status", "task_id"];
        assert_eq!(keys(&receipt), wanted);
        assert_eq!(receipt["durability"], "database");
    }
}
