//! "Payload Normalization", "Event Fields Updated": the original beside the typed fields.

use serde_json::{Value, json};

use crate::support::events::{accepted, finished, keys, with_payload};
use crate::support::server::Server;

/// Payload, and what stands in the properties beside `original` and `normalized_at`.
fn table() -> Vec<(Value, Value)> {
    let float = |duration: Value, expected: f64| (json!({"duration": duration}), json!({"duration": expected}));
    let text = |page: Value, expected: &str| (json!({"page": page}), json!({"page": expected}));
    vec![
        (json!({}), json!({})),
        (Value::Null, json!({})),
        (json!({"other": 1}), json!({})),
        (
            json!({"page": " /dashboard ", "referrer": "\thttps://a.example\n", "duration": "45.5", "scroll_depth": 80}),
            json!({"page": "/dashboard", "referrer": "https://a.example", "duration": 45.5, "scroll_depth": 80.0}),
        ),
        text(json!("   "), ""),
        text(json!("\u{a0}\u{3000}x\u{2003}"), "x"),
        text(json!(7), "7"),
        text(json!(1.5), "1.5"),
        text(json!(true), "true"),
        text(Value::Null, ""),
        text(json!([]), ""),
        text(json!({"a": 1}), ""),
        text(json!("<script>alert(1)</script>"), "<script>alert(1)</script>"),
        (json!({"referrer": null}), json!({"referrer": ""})),
        float(json!(45), 45.0),
        float(json!("45"), 45.0),
        float(json!(" 45.5 "), 45.5),
        float(json!(-1), -1.0),
        float(json!("abc"), 0.0),
        float(json!(""), 0.0),
        float(json!(true), 0.0),
        float(Value::Null, 0.0),
        float(json!([]), 0.0),
        float(json!({}), 0.0),
        float(json!("NaN"), 0.0),
        float(json!("inf"), 0.0),
        float(json!("-Infinity"), 0.0),
        float(json!("1e999"), 0.0),
        float(json!("1_000"), 0.0),
        float(json!("٤٥"), 0.0),
        (json!({"scroll_depth": "x"}), json!({"scroll_depth": 0.0})),
        (json!({"original": 1, "normalized_at": "never"}), json!({})),
    ]
}

both_databases! {
    fn properties_hold_the_original_the_time_and_the_fields_that_are_there(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for (payload, expected) in table() {
            let id = accepted(&client, &with_payload(&payload));
            let event = finished(&client, id);
            assert_eq!(event["payload"], payload, "the payload is unchanged");
            let properties = &event["properties"];
            assert_eq!(properties["original"], payload, "{properties}");
            let mut wanted = keys(&expected);
            wanted.extend(["normalized_at", "original"]);
            wanted.sort_unstable();
            assert_eq!(keys(properties), wanted, "{payload} gives {properties}");
            for (key, value) in expected.as_object().expect("the table holds objects") {
                assert_eq!(&properties[key], value, "{key} of {payload}");
            }
            assert_time(&properties["normalized_at"]);
        }
    }

    fn a_processed_event_has_the_references_fields(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let sent = json!({"event_name": "page_view", "event_type": "engagement", "event_uid": "u-7",
            "timestamp": "2025-12-18T11:30:00.5+01:00", "payload": {"page": "/"}, "id": 99, "status": "failed",
            "processed": false, "unknown": [1]});
        let event = finished(&client, accepted(&client, &sent));
        assert_ne!(event["id"], 99, "unknown members are ignored");
        for (key, value) in [
            ("event_name", json!("page_view")),
            ("event_type", json!("engagement")),
            ("status", json!("processed")),
            ("processed", json!(true)),
            ("processing_error", Value::Null),
            ("error_code", Value::Null),
            ("attempts", json!(1)),
            ("next_attempt_at", Value::Null),
            ("event_uid", json!("u-7")),
            ("timestamp", json!("2025-12-18T10:30:00.500000Z")),
        ] {
            assert_eq!(event[key], value, "{key} of {event}");
        }
        for key in ["id", "task_id", "user_id", "payload", "properties"] {
            assert!(!event[key].is_null(), "{key} of {event}");
        }
        assert_time(&event["processed_at"]);
        assert_time(&event["received_at"]);
        let time = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        assert!(time("processed_at") >= time("received_at"), "{event}");
    }
}

/// RFC 3339, UTC, microseconds, `Z`.
fn assert_time(value: &Value) {
    let text = value.as_str().unwrap_or_default();
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{value}");
}
