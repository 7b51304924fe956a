//! "Payload Validation", "Error Handling": what is refused, in which words, and what is kept of it.

use gristmill::domain::outcome::cut;
use gristmill::domain::payload::{PayloadValidationError, validate_payload_shape};
use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event, finished, id_of, stored, with_payload};
use crate::support::http::Client;
use crate::support::server::{Server, Setup};

/// An object whose JSON text has this many bytes.
fn payload_of(bytes: usize) -> Value {
    let frame = json!({"page": "/", "fill": ""}).to_string().len();
    json!({"page": "/", "fill": "x".repeat(bytes - frame)})
}

/// An object this many levels deep; the object itself is level 1.
fn payload_deep(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({ "in": inner }))
}

/// Posts an event that has to be refused for what it is and gives the problem.
fn refused(client: &Client, event: &Value, status: u16) -> Value {
    let answer = client.post_json(EVENTS, event);
    let text = event.to_string();
    assert_eq!(answer.status, status, "{} gets {answer:?}", &text[..text.len().min(300)]);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["outcome"], "validation_error", "{problem}");
    assert_eq!(problem["retryable"], false, "{problem}");
    assert!(problem["event_id"].is_i64(), "a rejected event is kept: {problem}");
    problem
}

both_databases! {
    fn a_payload_is_an_object_or_null_of_at_most_a_mebibyte_and_ten_levels(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for payload in [json!({}), json!({"a": 1}), Value::Null, payload_of(1_048_576), payload_deep(10)] {
            let id = accepted(&client, &with_payload(&payload));
            let event = finished(&client, id);
            assert_eq!(event["status"], "processed");
            assert!(event["payload"] == payload, "event {id} came back with another payload");
        }
        let without = json!({"event_name": "page_view", "event_type": "engagement"});
        let id = accepted(&client, &without);
        assert_eq!(finished(&client, id)["payload"], Value::Null);
        for (payload, code, error) in [
            (json!([1]), "payload_not_object", "payload is an array, expected an object or null"),
            (json!("text"), "payload_not_object", "payload is a string, expected an object or null"),
            (json!(1), "payload_not_object", "payload is a number, expected an object or null"),
            (json!(true), "payload_not_object", "payload is a boolean, expected an object or null"),
            (payload_deep(11), "payload_too_deep", "payload is 11 levels deep, limit 10"),
            (json!({"a": "\u{0}"}), "payload_not_encodable",
                "payload has the character \\u0000, which a database cannot hold"),
        ] {
            let problem = refused(&client, &with_payload(&payload), 422);
            assert_eq!(problem["code"], code, "{problem}");
            assert_eq!(problem["error"], error, "{problem}");
        }
    }

    fn an_oversize_payload_gets_the_references_sentence_and_is_kept_without_its_payload(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let problem = refused(&client, &with_payload(&payload_of(1_048_577)), 413);
        assert_eq!(problem["code"], "payload_too_large");
        assert_eq!(problem["error"], "Payload exceeds 1MB size limit");
        assert_eq!(problem["detail"], "payload is 1048577 bytes, limit 1048576");
        let kept = stored(&client, problem["event_id"].as_i64().expect("checked above"));
        assert_eq!(kept["payload"], Value::Null);
        assert_eq!(kept["processing_error"], "Payload exceeds 1MB size limit");
    }

    fn name_and_type_are_required_and_the_payload_is_looked_at_first(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let sentence = "Missing event_name or event_type";
        for event in [
            json!({"event_type": "b"}),
            json!({"event_name": "a"}),
            json!({}),
            json!({"event_name": null, "event_type": "b"}),
            json!({"event_name": "", "event_type": "b"}),
            json!({"event_name": "a", "event_type": " \t\u{a0}\u{3000}"}),
        ] {
            let problem = refused(&client, &event, 422);
            assert_eq!(problem["code"], "missing_field", "{problem}");
            assert_eq!(problem["error"], sentence, "{problem}");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert!(detail.contains("expected 1 to 255 characters"), "{problem}");
        }
        let both_wrong = refused(&client, &json!({"payload": []}), 422);
        assert_eq!(both_wrong["code"], "payload_not_object", "the payload's shape is step 2: {both_wrong}");
    }

    fn a_rejected_event_rests_as_a_row_that_says_why_and_is_never_retried(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let sent = json!({"event_name": "late", "payload": {"page": "/x"}, "event_uid": "u-1"});
        let problem = refused(&client, &sent, 422);
        let kept = stored(&client, problem["event_id"].as_i64().expect("checked above"));
        for (key, value) in [
            ("status", json!("validation_error")),
            ("processed", json!(false)),
            ("processed_at", Value::Null),
            ("processing_error", json!("Missing event_name or event_type")),
            ("error_code", json!("missing_field")),
            ("next_attempt_at", Value::Null),
            ("event_name", json!("late")),
            ("event_type", Value::Null),
            ("payload", json!({"page": "/x"})),
            ("properties", Value::Null),
        ] {
            assert_eq!(kept[key], value, "{key} of {kept}");
        }
        assert_eq!(problem["errors"][0]["pointer"], "/event_type", "{problem}");
    }

    fn with_keep_rejected_off_a_rejected_event_leaves_no_row(database) {
        let setup = Setup::new(&database).with_config("pipeline.keep_rejected = false");
        let mut server = Server::start(setup);
        let client = server.client();
        let answer = client.post_json(EVENTS, &json!({"event_name": "late"}));
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["event_id"], Value::Null, "{answer:?}");
        assert_eq!(server.database().texts("SELECT CAST(id AS TEXT) FROM events"), [""; 0]);
    }

    fn the_user_of_an_event_is_fetched_with_it_and_has_to_exist_and_be_enabled(database) {
        let mut server = Server::start(&database);
        server.setup().create_user("away@example.org");
        let setup = server.setup().clone();
        let admin = setup.create_user_with_token("writer@example.org", "write,read,write:all,read:all");
        let client = server.client_with(&admin);
        let users = server.database().texts("SELECT CAST(id AS TEXT) FROM users WHERE email = 'away@example.org'");
        let away: i64 = users[0].parse().expect("ids are numbers");
        let of = |user: i64| json!({"event_name": "a", "event_type": "b", "user_id": user});
        let id = accepted(&client, &of(away));
        assert_eq!(finished(&client, id)["user_id"], away);
        let unknown = refused(&client, &of(987_654_321), 422);
        assert_eq!(unknown["code"], "user_unknown", "{unknown}");
        setup.run(&["user", "disable", "away@example.org"]);
        let problem = crate::support::wait::wait_for(
            "the disabled user's events to be refused",
            crate::support::wait::SOON,
            || Some(client.post_json(EVENTS, &of(away))).filter(|answer| answer.status == 422),
            || server.log(),
        );
        assert_eq!(problem.json()["code"], "user_disabled", "{problem:?}");
        let own = server.client();
        assert_eq!(own.get(&format!("{EVENTS}/987654321")).status, 404);
    }

    fn processed_is_derived_from_status_and_cannot_disagree(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("page_view"));
        finished(&client, id);
        id_of(&client.post_json(EVENTS, &json!({})));
        let differ = "SELECT CAST(id AS TEXT) FROM events WHERE processed <> (status = 'processed')";
        assert_eq!(database.texts(differ), [""; 0]);
        database.execute(&format!("UPDATE events SET status = 'cancelled' WHERE id = {id}"));
        assert_eq!(database.texts(differ), [""; 0]);
        assert_eq!(stored(&client, id)["processed"], false);
    }
}

#[test]
fn a_processing_error_is_cut_to_255_characters_and_never_inside_one() {
    let text = format!("{}🌾🌾", "x".repeat(254));
    assert_eq!(cut(&text), format!("{}🌾", "x".repeat(254)));
    assert_eq!(cut(&text).chars().count(), 255);
}

#[test]
fn the_references_names_stay_public() {
    let _: fn(Option<&_>, &_) -> Result<(), PayloadValidationError> = validate_payload_shape;
    let _ = gristmill::domain::normalize::normalize_event_payload;
    let sources = rust_text(std::path::Path::new("src"));
    // `fetch_event_with_user` has nothing to do before stored events can be processed by request.
    for name in ["persist_event_to_db", "process_event", "process_events_batch"] {
        let public = [format!("pub fn {name}"), format!("pub async fn {name}")];
        assert!(public.iter().any(|text| sources.contains(text)), "no public function {name}");
    }
}

/// All Rust text below a folder of the package.
fn rust_text(folder: &std::path::Path) -> String {
    let entries = std::fs::read_dir(folder).expect("tests run in the package's folder");
    let texts = entries.map(|entry| {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { rust_text(&path) } else { std::fs::read_to_string(path).unwrap_or_default() }
    });
    texts.collect()
}
