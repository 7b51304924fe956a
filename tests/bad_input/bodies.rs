//! Bodies that are no JSON, no event, too large or too deep.

use serde_json::{Value, json};

use super::{Expected, Pair, expect, refused_by_both};
use crate::support::events::{EVENTS, finished, id_of, stored};
use crate::support::http::Client;

/// A valid event around this payload text.
fn with_payload_text(payload: &str) -> Vec<u8> {
    format!(r#"{{"event_name":"a","event_type":"b","payload":{payload}}}"#).into_bytes()
}

/// An object with `levels` levels; inside it arrays and objects take turns when `mixed`.
fn nested(levels: usize, mixed: bool) -> String {
    let is_array = |level: usize| mixed && level.is_multiple_of(2);
    let mut text = String::new();
    for level in 1..=levels {
        text.push_str(if is_array(level) { "[" } else { "{" });
        if level < levels && !is_array(level) {
            text.push_str("\"k\":");
        }
    }
    (1..=levels).rev().for_each(|level| text.push(if is_array(level) { ']' } else { '}' }));
    text
}

/// An object whose text has exactly this many bytes.
fn sized(bytes: usize) -> String {
    let frame = r#"{"k":""}"#.len();
    format!(r#"{{"k":"{}"}}"#, "x".repeat(bytes - frame))
}

#[test]
fn what_is_not_json_gets_400_and_is_not_kept() {
    let mut pair = Pair::start();
    let texts: [&[u8]; 26] = [
        b"",
        b"   ",
        b"{",
        b"{\"a\":1,}",
        b"{'a':1}",
        b"{\"a\":1}//x",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":-}",
        b"{\"a\":01}",
        b"{\"a\":1.}",
        b"{\"a\":.5}",
        b"{\"a\":0x1F}",
        b"{\"a\":+1}",
        b"{}{}",
        b"{}x",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\t\"}",
        b"{\"a\":\"\0\"}",
        b"\xff\xfe{\0}\0",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"\x1f\x8b\x08\0\0\0",
        b"hello",
    ];
    let mut cases: Vec<(Vec<u8>, Expected)> =
        texts.iter().map(|text| (text.to_vec(), expect(400, "invalid_json", &["body"]))).collect();
    cases[0].1.words.push("empty".to_owned());
    cases[21].1.words.push("UTF-8".to_owned());
    let whole = with_payload_text(r#"{"c":[1,"d\u00e9",{"e":null}]}"#);
    cases.extend((0..whole.len()).map(|cut| (whole[..cut].to_vec(), expect(400, "invalid_json", &[]))));
    refused_by_both(&pair.clients(), &cases);
    pair.assert_well();
    for server in pair.servers() {
        let rows = server.database().texts("SELECT event_name FROM events WHERE event_name <> 'after'");
        assert_eq!(rows, [""; 0], "what is no event leaves no row");
    }
}

#[test]
fn json_that_is_no_event_gets_422_and_names_what_it_is() {
    let mut pair = Pair::start();
    let cases: Vec<(Vec<u8>, Expected)> =
        [("[1,2]", "an array"), ("\"s\"", "a string"), ("1", "a number"), ("null", "null"), (" true ", "a boolean")]
            .into_iter()
            .map(|(text, kind)| {
                (text.as_bytes().to_vec(), expect(422, "event_not_object", &[kind, "expected an object"]))
            })
            .collect();
    refused_by_both(&pair.clients(), &cases);
    pair.assert_well();
}

#[test]
fn payloads_of_the_wrong_kind_depth_size_or_text_are_refused_with_figures() {
    let mut pair = Pair::start();
    let clients = pair.clients();
    let long = format!("[{}]", "1".repeat(1001));
    let mut cases: Vec<(String, Expected)> = Vec::new();
    for (text, kind) in [
        ("[]", "an array"),
        ("[1]", "an array"),
        ("\"s\"", "a string"),
        ("1", "a number"),
        ("true", "a boolean"),
        ("0.0", "a number"),
    ] {
        cases.push((
            text.to_owned(),
            expect(422, "payload_not_object", &["payload", kind, "expected an object or null"]),
        ));
    }
    for levels in [11, 127, 128, 129, 1_000, 100_000] {
        let words = ["payload", &format!("{levels} levels"), "limit 10"];
        cases.push((nested(levels, false), expect(422, "payload_too_deep", &words)));
        cases.push((nested(levels, true), expect(422, "payload_too_deep", &words)));
    }
    cases.push((sized(1_048_577), expect(413, "payload_too_large", &["payload", "1048577", "limit 1048576"])));
    for text in ["\"\\u0000\"", "\"a\\u0000b\""] {
        for payload in [format!("{{\"k\":{text}}}"), format!("{{{text}:1}}"), format!("{{\"k\":[{{\"l\":{text}}}]}}")] {
            cases.push((payload, expect(422, "payload_not_encodable", &["payload", "\\u0000"])));
        }
    }
    for text in ["\\ud800", "\\udc00", "\\udc00\\ud800", "x\\ud83dy", "\\ud83d\\u0041"] {
        for payload in [format!("{{\"k\":\"{text}\"}}"), format!("{{\"{text}\":1}}")] {
            cases.push((payload, expect(422, "payload_not_encodable", &["payload", "lone surrogate"])));
        }
    }
    for number in ["1e309", "1e400", "-1e400", "1e-400", "1e-20000", "1e99999999999999999999"] {
        let words = ["payload", "number", "64-bit float"];
        cases.push((format!("{{\"n\":{number}}}"), expect(422, "payload_not_encodable", &words)));
    }
    cases.push((format!("{{\"n\":{long}}}"), expect(422, "payload_not_encodable", &["1001 characters", "limit 1000"])));
    let megabyte = format!("{{\"n\":{}}}", "7".repeat(1_000_000));
    cases.push((megabyte, expect(422, "payload_not_encodable", &["1000000 characters", "limit 1000"])));
    let bodies: Vec<_> = cases.into_iter().map(|(payload, want)| (with_payload_text(&payload), want)).collect();
    refused_by_both(&clients, &bodies);
    pair.assert_well();
}

#[test]
fn payloads_at_the_limits_are_accepted() {
    let mut pair = Pair::start();
    for client in pair.clients() {
        let spaced = with_payload_text(&format!("{}{{}}{}", " ".repeat(600_000), " ".repeat(600_000)));
        let siblings: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":1")).collect();
        let bodies = [
            with_payload_text(&sized(1_048_576)),
            with_payload_text(&nested(10, false)),
            with_payload_text(&nested(10, true)),
            with_payload_text(&format!("{{{}}}", siblings.join(","))),
            with_payload_text(&format!("{{{}}}", vec!["\"\":1"; 100_000].join(","))),
            with_payload_text(&format!("{{\"{}\":1}}", "k".repeat(1_000_000))),
            with_payload_text(&format!("{{\"n\":{}}}", "1".repeat(300))),
            spaced,
        ];
        for body in &bodies {
            let headers = [("Content-Type", "application/json")];
            let answer = client.call("POST", EVENTS, &headers, Some(body));
            assert_eq!(answer.status, 202, "{} gets {answer:?}", super::glimpse(body));
            assert_eq!(finished(&client, id_of(&answer))["status"], "processed");
        }
    }
    pair.assert_well();
}

#[test]
fn a_rejected_event_keeps_what_a_database_can_hold() {
    let mut pair = Pair::start();
    for client in pair.clients() {
        let kept = |payload: &str| keep(&client, payload);
        assert_eq!(kept(r#"{"k":[1,2],"n":1e400}"#), Value::Null, "no database holds 1e400");
        assert_eq!(kept(r#"{"k":"\u0000"}"#), Value::Null);
        assert_eq!(kept(r#"{"k":"\ud800"}"#), Value::Null);
        assert_eq!(kept(&sized(1_048_577)), Value::Null);
        assert_eq!(kept("[1,2]"), json!([1, 2]));
        assert_eq!(kept("\"text\""), json!("text"));
        assert_eq!(kept(&nested(11, false)).to_string(), nested(11, false));
        assert_eq!(kept(&nested(100_000, false)), Value::Null);
    }
    pair.assert_well();
}

/// Posts an event that has to be rejected and gives the payload that was kept of it.
fn keep(client: &Client, payload: &str) -> Value {
    let headers = [("Content-Type", "application/json")];
    let answer = client.call("POST", EVENTS, &headers, Some(&with_payload_text(payload)));
    assert!(matches!(answer.status, 413 | 422), "{answer:?}");
    let event = stored(client, id_of(&answer));
    assert_eq!(event["status"], "validation_error", "{event}");
    assert_eq!(event["processing_error"], answer.json()["error"], "{event}");
    assert_eq!(event["error_code"], answer.json()["code"], "{event}");
    assert_eq!(event["event_name"], "a", "{event}");
    event["payload"].clone()
}

#[test]
fn a_hundred_thousand_open_brackets_cost_no_memory() {
    let mut pair = Pair::start();
    let body = with_payload_text(&"[".repeat(100_000));
    let bare = "[".repeat(100_000).into_bytes();
    for server in pair.servers() {
        let client = server.client();
        let send =
            |body: &[u8]| client.call("POST", EVENTS, &[("Content-Type", "application/json")], Some(body)).status;
        assert_eq!((send(&body), send(&bare)), (400, 400));
        let before = server.rss_bytes();
        for _ in 0..50 {
            assert_eq!((send(&body), send(&bare)), (400, 400));
        }
        let grown = server.rss_bytes().saturating_sub(before);
        assert!(grown < 20 << 20, "50 such bodies took {grown} bytes");
    }
    pair.assert_well();
}
