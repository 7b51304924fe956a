//! Nasty but valid payloads: what comes back is what was sent, exactly, from both databases.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Pair;
use crate::support::events::{EVENTS, accepted, finished, id_of, with_payload};
use crate::support::http::{Answer, Client};
use crate::support::wait::{SOON, wait_for};

/// A number as sign, digits without zeros around them, and exponent of the last digit.
fn number(text: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().expect("an exponent");
    let (is_negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let shown = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - shown.len()).expect("short");
    let fraction = i64::try_from(fraction.len()).expect("short");
    match shown.trim_start_matches('0') {
        "" => (false, String::new(), 0),
        significant => (is_negative, significant.to_owned(), exponent - fraction + dropped),
    }
}

/// The numbers of `{"n":[…]}`.
fn numbers(text: &str) -> Vec<(bool, String, i64)> {
    let (_, list) = text.split_once('[').unwrap_or_else(|| panic!("no list: {text}"));
    let (list, _) = list.split_once(']').unwrap_or_else(|| panic!("no list: {text}"));
    list.split(',').map(|text| number(text.trim())).collect()
}

/// A member of a processed event as the text that came over the wire.
fn raw_member(client: &Client, id: i64, path: &[&str]) -> String {
    // Not read as a value: some keys of these tests would change the meaning of the text for the parser.
    let read = || client.get(&format!("{EVENTS}/{id}"));
    let is_done = |answer: &Answer| answer.status == 200 && answer.body.contains("\"status\":\"processed\"");
    let answer = wait_for("a processed event", SOON, || Some(read()).filter(is_done), || format!("{:?}", read()));
    let mut text = answer.body;
    for key in path {
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).expect("an object");
        text = members.remove(*key).unwrap_or_else(|| panic!("no {key} in {text}")).get().to_owned();
    }
    text
}

#[test]
fn numbers_come_back_exactly_also_in_original() {
    let mut pair = Pair::start();
    let digits = "123456789".repeat(33);
    let list = [
        "0",
        "-0",
        "1.10",
        "9007199254740993",
        "-9223372036854775808",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "11.3333333333633133333333097",
        "1e308",
        "-1.5E+10",
        "5e-324",
        "0e999",
        "0.1",
        "100000000000000000000000",
        &digits,
    ];
    let text = format!(r#"{{"event_name":"a","event_type":"b","payload":{{"n":[{}]}}}}"#, list.join(","));
    let wanted: Vec<_> = list.iter().map(|text| number(text)).collect();
    for client in pair.clients() {
        let answer = client.post_text(EVENTS, &text);
        assert_eq!(answer.status, 202, "{answer:?}");
        for path in [&["payload"][..], &["properties", "original"]] {
            assert_eq!(numbers(&raw_member(&client, id_of(&answer), path)), wanted, "{path:?}");
        }
    }
    pair.assert_well();
}

#[test]
fn numbers_compare_by_value() {
    assert_eq!(number("1.10"), number("11e-1"));
    assert_eq!(number("-0"), number("0.000"));
    assert_eq!(number("1e3"), number("1000"));
    assert_ne!(number("9007199254740993"), number("9007199254740992"));
}

#[test]
fn nasty_texts_come_back_as_they_were_sent() {
    let mut pair = Pair::start();
    let texts = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "</script>",
        "{{7*7}}",
        "' OR 1=1--",
        "\r\n[Event 1] Processing completed successfully",
        "\u{1b}[2J\u{1b}]0;x\u{7}",
        "${jndi:ldap://x}",
        "=cmd()|'/C'!A0",
        "\u{202e}txt.exe",
        "zero\u{200b}width\u{feff}",
        "\u{2028}\u{2029}",
        "😀🌾",
        "\u{10ffff}",
        "\u{fffe}",
        "\u{7f}\u{80}",
        "é",
        "e\u{301}",
        "\\",
        "\\\\u0000",
        "%00",
        "../../etc/passwd",
        "$1",
        "?",
        ":name",
        "''",
        "\"",
        "NULL",
        "\u{1}",
    ];
    let mut members: serde_json::Map<String, Value> =
        texts.iter().map(|text| ((*text).to_owned(), json!(text))).collect();
    members.insert("__proto__".into(), json!({"polluted": true}));
    members.insert("constructor".into(), json!(null));
    members.insert("original".into(), json!({"original": {"original": 1}}));
    members.insert("normalized_at".into(), json!("2000-01-01T00:00:00Z"));
    let payload = Value::Object(members);
    for client in pair.clients() {
        let event = finished(&client, accepted(&client, &with_payload(&payload)));
        assert_eq!(event["payload"], payload);
        assert_eq!(event["properties"]["original"], payload);
        for text in texts.map(|text| format!("n{text}")) {
            let sent = json!({"event_name": text, "event_type": text, "payload": {"page": text, "referrer": text}});
            let event = finished(&client, accepted(&client, &sent));
            assert_eq!((&event["event_name"], &event["event_type"]), (&json!(text), &json!(text)));
            assert_eq!(event["properties"]["page"], text.trim(), "{text:?}");
        }
    }
    pair.assert_well();
}

#[test]
fn escaped_pairs_are_characters_and_composed_forms_stay_distinct() {
    let mut pair = Pair::start();
    let body =
        r#"{"event_name":"a","event_type":"b","payload":{"\ud83c\udf3e":"\ud83d\ude00","\u00e9":1,"e\u0301":2}}"#;
    for client in pair.clients() {
        let answer = client.post_text(EVENTS, body);
        let event = finished(&client, id_of(&answer));
        assert_eq!(event["payload"], json!({"🌾": "😀", "é": 1, "e\u{301}": 2}));
    }
}

#[test]
fn keys_with_a_meaning_inside_the_parser_are_ordinary_keys() {
    let mut pair = Pair::start();
    for key in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let body = format!(
            r#"{{"event_name":"a","event_type":"b","payload":{{"{key}":"{{\"x\":1}}","in":{{"{key}":"7"}}}}}}"#
        );
        for client in pair.clients() {
            let answer = client.post_text(EVENTS, &body);
            assert_eq!(answer.status, 202, "{answer:?}");
            for path in [&["payload"][..], &["properties", "original"]] {
                let text = raw_member(&client, id_of(&answer), path);
                assert_eq!(text.matches(key).count(), 2, "{text}");
                assert!(text.contains(r#""{\"x\":1}""#) && text.contains(r#""7""#), "{text}");
            }
        }
    }
    pair.assert_well();
}
