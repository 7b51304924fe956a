//! Numbers that are short as sent and long as a database writes them: refused at every way in, before anything has to
//! read them back.

use serde_json::json;

use super::{Pair, expect, glimpse, problem, refused_by_both};
use crate::support::events::{EVENTS, accepted, event, finished, id_of, with_payload};
use crate::support::http::Client;

/// Short, and over the limit once they are written out; with their lengths then.
const LONG: [(&str, usize); 5] =
    [("0e-16383", 16_385), ("0e-16384", 16_386), ("-0E-999", 1_001), ("0e1000", 1_001), ("0.00e+1003", 1_004)];

fn text(payload: &str) -> String {
    format!(r#"{{"event_name":"a","event_type":"b","payload":{payload}}}"#)
}

#[test]
fn a_number_that_is_long_when_written_out_is_refused() {
    let mut pair = Pair::start();
    let mut cases = Vec::new();
    for (number, chars) in LONG {
        let words = [format!("{chars} characters when written out"), "limit 1000".to_owned()];
        let mut expected = expect(422, "payload_not_encodable", &[]);
        expected.words = words.to_vec();
        cases.push((text(&format!(r#"{{"a":[1,{{"b":{number}}}]}}"#)).into_bytes(), expected));
    }
    for far in ["0e-99999999999999999999", "0e99999999999999999999", "0e9999999999", "-0e1073741824"] {
        cases.push((
            text(&format!(r#"{{"a":{far}}}"#)).into_bytes(),
            expect(422, "payload_not_encodable", &["limit 1000"]),
        ));
    }
    let bomb = format!(r#"{{"a":[{}0]}}"#, "0e-16383,".repeat(70_000));
    cases.push((text(&bomb).into_bytes(), expect(422, "payload_not_encodable", &["16385"])));
    let many = format!(r#"{{"a":[{}0]}}"#, "0e-997,".repeat(9_000));
    cases.push((text(&many).into_bytes(), expect(413, "payload_too_large", &["written out", "limit 8388608"])));
    refused_by_both(&pair.clients(), &cases);
    for server in pair.servers() {
        let kept = server
            .database()
            .texts("SELECT CAST(id AS TEXT) FROM events WHERE COALESCE(payload, properties) IS NOT NULL");
        assert!(kept.is_empty(), "{kept:?} have payloads that were refused for their numbers");
    }
    pair.assert_well();
}

#[test]
fn every_way_in_counts_what_is_written_out() {
    let mut pair = Pair::start();
    for client in pair.clients() {
        let bad = text(r#"{"a":0e-16383}"#);
        let batch = client.post_text(&format!("{EVENTS}/batch"), &format!("[{bad}]"));
        assert_eq!(
            (batch.status, &batch.json()["results"][0]["code"]),
            (422, &json!("payload_not_encodable")),
            "{batch:?}"
        );
        let lines = [("Content-Type", "application/x-ndjson")];
        let lines = client.call("POST", &format!("{EVENTS}/batch"), &lines, Some(bad.as_bytes()));
        assert!(lines.status == 422 && lines.body.contains("payload_not_encodable"), "{lines:?}");
        let dry = client.post_text(&format!("{EVENTS}/validate"), &bad);
        assert!(dry.body.contains("payload_not_encodable"), "{dry:?}");
        let structured = [("Content-Type", "application/cloudevents+json")];
        for member in [r#""data":{"a":0e-16383}"#, r#""data":0e-16383"#, r#""extension":0e-16383"#] {
            let body = format!(
                r#"{{"specversion":"1.0","type":"t","source":"/s","id":"{}",{member}}}"#,
                glimpse(member.as_bytes()).len()
            );
            let answer = client.call("POST", EVENTS, &structured, Some(body.as_bytes()));
            problem(member, &answer, &expect(422, "payload_not_encodable", &["16385"]));
        }
        patched(&client);
    }
    pair.assert_well();
}

/// A patch is held to the limits, and so is what it makes of a payload.
fn patched(client: &Client) {
    let answer = client.post_text(EVENTS, &text("[1]"));
    let retry = |patch: &str| {
        client.post_text(&format!("{EVENTS}/{}/retry", id_of(&answer)), &format!(r#"{{"patch":{patch}}}"#))
    };
    problem("a patch", &retry(r#"{"a":0e-16383}"#), &expect(422, "payload_not_encodable", &["16385"]));
    assert_eq!(retry(r#"{"a":1e308}"#).status, 200);
}

#[test]
fn what_is_made_of_a_field_is_as_long_as_a_float_may_be() {
    let mut pair = Pair::start();
    for client in pair.clients() {
        for (sent, float) in
            [("1e308", 1e308), (" -2.2250738585072014e-308 ", -2.225_073_858_507_201_4e-308), ("0e-16383", 0.0)]
        {
            let id = accepted(&client, &with_payload(&json!({"duration": sent, "scroll_depth": sent})));
            let properties = finished(&client, id)["properties"].clone();
            assert_eq!(
                (properties["duration"].as_f64(), properties["scroll_depth"].as_f64()),
                (Some(float), Some(float)),
                "{sent}"
            );
        }
        accepted(&client, &event("after"));
    }
    pair.assert_well();
}

#[test]
fn a_payload_that_comes_back_longer_than_it_was_sent_is_processed_again() {
    let mut pair = Pair::start();
    // PostgreSQL writes a space behind each comma: a third more than the limit.
    let longest = format!(r#"{{"a":[1{}]}}"#, ",1".repeat((1 << 19) - 5));
    assert_eq!(longest.len(), (1 << 20) - 1);
    for client in pair.clients() {
        let id = id_of(&client.post_text(EVENTS, &text(&longest)));
        assert_eq!(finished(&client, id)["status"], "processed");
        let again = client.post_json(&format!("{EVENTS}/process"), &json!({"event_ids": [id], "force": true}));
        assert_eq!((again.status, &again.json()["results"][0]["status"]), (200, &json!("processed")), "{again:?}");
    }
    pair.assert_well();
}
