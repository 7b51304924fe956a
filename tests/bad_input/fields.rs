//! Names, types, users and times that cannot be taken as they are.

use serde_json::{Value, json};

use super::{Expected, Pair, expect, refused_by_both};
use crate::support::events::{EVENTS, accepted, finished};

fn event_with(key: &str, value: Value) -> Value {
    let mut event = json!({"event_name": "a", "event_type": "b"});
    event[key] = value;
    event
}

fn case(key: &str, value: Value, expected: Expected) -> (Vec<u8>, Expected) {
    (event_with(key, value).to_string().into_bytes(), expected)
}

#[test]
fn wrong_names_users_keys_and_times_are_named_with_their_limits() {
    let mut pair = Pair::start();
    let mut cases = Vec::new();
    for key in ["event_name", "event_type"] {
        let long = "é".repeat(256);
        cases.push(case(key, json!(long), expect(422, "field_too_long", &[key, "256 characters", "limit 255"])));
        cases.push(case(key, json!(1), expect(422, "invalid_field", &[key, "a number", "expected a string"])));
        cases.push(case(key, json!([]), expect(422, "invalid_field", &[key, "an array", "expected a string"])));
        cases.push(case(key, json!({}), expect(422, "invalid_field", &[key, "an object", "expected a string"])));
        cases.push(case(key, json!("a\u{0}"), expect(422, "invalid_field", &[key, "\\u0000"])));
        for blank in [json!(""), json!("  "), json!("\u{a0}\u{3000}\u{2003}\t"), Value::Null] {
            cases.push(case(key, blank, expect(422, "missing_field", &[key, "1 to 255 characters"])));
        }
        let lone = format!(r#"{{"event_name":"a","event_type":"b","{key}":"\ud800"}}"#);
        cases.push((lone.into_bytes(), expect(422, "invalid_field", &[key, "lone surrogate"])));
    }
    for user in [json!("1"), json!(1.5), json!([]), json!(true), json!(1e30)] {
        cases.push(case("user_id", user, expect(422, "invalid_field", &["user_id", "64-bit integer"])));
    }
    for time in [
        json!("yesterday"),
        json!(0),
        json!(1_766_053_800),
        json!("2025-12-18"),
        json!("0000-01-01T00:00:00Z"),
        json!("10000-01-01T00:00:00Z"),
        json!("2025-02-30T00:00:00Z"),
        json!("2025-12-18T10:30:00"),
        json!("2025-12-18T10:30:60Z"),
        json!("2016-12-31T23:59:60+01:00"),
        json!("2015-12-31T23:59:60Z"),
        json!("2025-12-18T10:30:00\u{2212}02:00"),
        json!([]),
        json!(""),
    ] {
        cases.push(case("timestamp", time, expect(422, "invalid_field", &["timestamp", "RFC 3339"])));
    }
    cases.push(case("event_uid", json!("u".repeat(256)), expect(422, "field_too_long", &["event_uid", "256", "255"])));
    cases.push(case("event_uid", json!(""), expect(422, "invalid_field", &["event_uid", "empty", "1 to 255"])));
    cases.push(case("event_uid", json!(7), expect(422, "invalid_field", &["event_uid", "a number", "a string"])));
    refused_by_both(&pair.clients(), &cases);
    pair.assert_well();
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_pointers() {
    let mut pair = Pair::start();
    let body = json!({"event_name": 1, "event_type": [], "user_id": "x", "timestamp": "y", "event_uid": ""});
    for client in pair.clients() {
        let problem = client.post_json(EVENTS, &body).json();
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors: {problem}"));
        let mut pointers: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/event_name", "/event_type", "/event_uid", "/timestamp", "/user_id"], "{problem}");
        let deep = client.post_text(EVENTS, r#"{"event_name":"a","event_type":"b","payload":{"a/b":["\u0000"]}}"#);
        assert_eq!(deep.json()["errors"][0]["pointer"], "/payload/a~1b/0", "{deep:?}");
        assert_eq!(deep.json()["errors"][0]["code"], "payload_not_encodable", "{deep:?}");
    }
}

#[test]
fn names_and_times_at_their_limits_are_accepted() {
    let mut pair = Pair::start();
    for client in pair.clients() {
        for name in [
            "a".to_owned(),
            "é".repeat(255),
            "🌾".repeat(255),
            " padded ".to_owned(),
            "e\u{301}".to_owned(),
            "\u{202e}\u{200b}\u{2028}".to_owned(),
        ] {
            let event = event_with("event_name", json!(name));
            assert_eq!(finished(&client, accepted(&client, &event))["event_name"], name);
        }
        for (sent, read) in [
            ("2025-12-18T10:30:00Z", "2025-12-18T10:30:00.000000Z"),
            ("2025-12-18T10:30:00+14:00", "2025-12-17T20:30:00.000000Z"),
            ("2025-12-18T10:30:00.123456789-00:00", "2025-12-18T10:30:00.123456Z"),
            ("0001-01-02T00:00:00Z", "0001-01-02T00:00:00.000000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
            ("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00.000000Z"),
        ] {
            let event = event_with("timestamp", json!(sent));
            assert_eq!(finished(&client, accepted(&client, &event))["timestamp"], read, "{sent}");
        }
    }
    pair.assert_well();
}

#[test]
fn repeated_members_count_by_their_last_also_through_escapes() {
    let mut pair = Pair::start();
    let body = r#"{"event_name":"first","event_type":"b","payload":{"page":"/1","page":"/2","p\u0061ge":"/3","x":1,"x":2},
        "event_n\u0061me":"last"}"#;
    for client in pair.clients() {
        let answer = client.post_text(EVENTS, body);
        assert_eq!(answer.status, 202, "{answer:?}");
        let event = finished(&client, crate::support::events::id_of(&answer));
        assert_eq!(event["event_name"], "last");
        assert_eq!(event["payload"], json!({"page": "/3", "x": 2}));
        assert_eq!(event["properties"]["page"], "/3");
    }
}
