//! CloudEvents 1.0 over HTTP: in each mode, with their own examples and their own SDKs.

mod clients;
mod examples;
mod sdk;

use serde_json::{Value, json};

use crate::support::events::{EVENTS, finished, id_of};
use crate::support::http::{Answer, Client};
use crate::support::server::Server;

fn post(client: &Client, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    client.call("POST", EVENTS, headers, Some(body))
}

/// The example of the JSON format's specification.
fn example() -> Value {
    json!({
        "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext", "subject": null,
        "id": "C234-1234-1234", "time": "2018-04-05T17:31:00Z", "comexampleextension1": "value",
        "comexampleothervalue": 5, "datacontenttype": "application/json",
        "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": true}
    })
}

/// Asserts that the stored event has all that was sent in the JSON format: its fields, its data and every attribute.
#[track_caller]
fn assert_kept(event: &Value, sent: &Value) {
    assert_eq!(event["status"], "processed", "{event}");
    assert_eq!((&event["event_name"], &event["event_type"]), (&sent["type"], &json!("cloudevent")), "{event}");
    let text = |name: &str| sent[name].as_str().unwrap_or_default().to_owned();
    assert_eq!(event["event_uid"], format!("{} {}", text("source"), text("id")), "{event}");
    assert_eq!(event["timestamp"], text("time").replace('Z', ".000000Z"), "{event}");
    let mut payload = event["payload"].as_object().expect("an object").clone();
    let attributes = payload.remove("ce_attributes");
    let mut expected = sent.as_object().expect("an object").clone();
    // What is null is not there.
    expected.retain(|_, value| !value.is_null());
    let data = match (expected.remove("data"), expected.remove("data_base64")) {
        (Some(Value::Object(data)), _) => Value::from(data),
        (Some(data), _) => json!({ "data": data }),
        (None, Some(base64)) => json!({ "data_base64": base64 }),
        (None, None) => json!({}),
    };
    assert_eq!((Value::from(payload), attributes), (data, Some(expected.into())), "{event}");
}

const BATCH: &str = "/api/v1/events/batch";

const BATCHED: [(&str, &str); 1] = [("Content-Type", "application/cloudevents-batch+json")];

/// The attributes of a small event as headers, without a type of its data.
const BINARY: [(&str, &str); 3] = [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "/s")];

const STRUCTURED: [(&str, &str); 1] = [("Content-Type", "application/cloudevents+json; charset=utf-8")];

both_databases! {
    fn a_structured_event_is_stored_with_its_data_and_attributes_and_known_again(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let answer = post(&client, &STRUCTURED, example().to_string().as_bytes());
        assert_eq!(answer.status, 202, "{answer:?}");
        let event = finished(&client, id_of(&answer));
        assert_eq!((&event["event_name"], &event["event_type"]), (&json!("com.example.someevent"), &json!("cloudevent")));
        assert_eq!((&event["event_uid"], &event["timestamp"]), (&json!("/mycontext C234-1234-1234"), &json!("2018-04-05T17:31:00.000000Z")));
        let payload = &event["payload"];
        assert_eq!((&payload["appinfoA"], &payload["appinfoB"]), (&json!("abc"), &json!(123)));
        assert_eq!(payload["ce_attributes"]["comexampleothervalue"], 5);
        let again = post(&client, &STRUCTURED, example().to_string().as_bytes());
        assert_eq!((again.status, &again.json()["duplicate"]), (200, &json!(true)), "{again:?}");
    }

    fn a_binary_event_has_its_attributes_in_headers_and_any_data(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let binary = |id: &str, kind: &str, body: &[u8]| {
            let headers = [
                ("ce-specversion", "1.0"), ("ce-type", "com.example.someevent"), ("ce-source", "/mycontext"), ("ce-id", id),
                ("ce-time", "2018-04-05T03:56:24Z"), ("ce-subject", "Euro%20%E2%82%AC"), ("Content-Type", kind),
            ];
            let answer = post(&client, &headers, body);
            assert_eq!(answer.status, 202, "{answer:?}");
            finished(&client, id_of(&answer))["payload"].clone()
        };
        let object = binary("1", "application/json; charset=utf-8", b"{\"a\": 1}");
        assert_eq!((&object["a"], &object["ce_attributes"]["subject"]), (&json!(1), &json!("Euro \u{20ac}")));
        assert_eq!(object["ce_attributes"]["datacontenttype"], "application/json; charset=utf-8");
        assert_eq!(binary("2", "text/plain", b"hello")["data"], "hello");
        assert_eq!(binary("3", "application/octet-stream", &[0, 255])["data_base64"], "AP8=");
        assert_eq!(binary("4", "application/xml", b"<a/>")["data"], "<a/>");
    }

    fn a_batch_of_cloud_events_is_a_batch(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let second = json!({"specversion": "1.0", "type": "t", "source": "/mycontext/9", "id": "B", "data_base64": "AP8="});
        let headers = [("Content-Type", "application/cloudevents-batch+json; charset=UTF-8")];
        let batch = json!([example(), second, {"specversion": "1.0"}]);
        let answer = client.call("POST", "/api/v1/events/batch", &headers, Some(batch.to_string().as_bytes()));
        let report = answer.json();
        assert_eq!((answer.status, &report["processed"], &report["failed"]), (207, &json!(2), &json!(1)), "{report}");
        assert_eq!(report["results"][2]["errors"][1]["pointer"], "/id");
    }

    fn what_is_no_cloud_event_is_refused_with_every_flaw(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let answer = post(&client, &STRUCTURED, br#"{"specversion":"0.3","type":"t","source":"s"}"#);
        assert_eq!(answer.status, 422, "{answer:?}");
        let problem = answer.json();
        let pointers: Vec<_> = problem["errors"].as_array().expect("errors").iter().map(|flaw| &flaw["pointer"]).collect();
        assert_eq!(pointers, ["/id", "/specversion"]);
        assert_eq!(post(&client, &STRUCTURED, b"{").status, 400);
        assert_eq!(post(&client, &STRUCTURED, b"[]").status, 422);
        let binary = [("ce-specversion", "1.0"), ("Content-Type", "application/json")];
        assert_eq!(post(&client, &binary, b"{").status, 400);
    }

    fn each_mode_is_taken_at_both_addresses(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let of = |id: &str| json!({"specversion": "1.0", "type": "t", "source": "/s", "id": id, "data": {"n": 1}});
        let binary = |path: &str, id: &str, body: &[u8]| {
            let headers = [&BINARY[..], &[("ce-id", id), ("Content-Type", "application/json")]].concat();
            client.call("POST", path, &headers, Some(body))
        };
        for (path, status) in [(EVENTS, 202), (BATCH, 200)] {
            let structured = client.call("POST", path, &STRUCTURED, Some(of(&format!("a{path}")).to_string().as_bytes()));
            let binary = binary(path, &format!("b{path}"), b"{\"n\": 1}");
            let both = json!([of(&format!("c{path}")), {"specversion": "1.0"}]);
            let batched = client.call("POST", path, &BATCHED, Some(both.to_string().as_bytes()));
            for answer in [&structured, &binary] {
                assert_eq!(answer.status, status, "{path}: {answer:?}");
                let answer = answer.json();
                let id = answer.get("event_id").unwrap_or(&answer["results"][0]["event_id"]).as_i64().expect("an id");
                assert_eq!(finished(&client, id)["payload"]["n"], 1, "{path}");
            }
            let report = batched.json();
            assert_eq!((batched.status, &report["processed"], &report["failed"]), (207, &json!(1), &json!(1)), "{path}: {report}");
            assert_eq!((report["results"][0]["index"].clone(), report["results"][1]["code"].clone()), (json!(0), json!("missing_field")));
            let empty = client.call("POST", path, &BATCHED, Some(b"[]"));
            assert_eq!((empty.status, &empty.json()["total_events"]), (200, &json!(0)), "{path}: {empty:?}");
        }
        // What is no event is told alike; what is a wrong one is an outcome in a batch.
        for path in [EVENTS, BATCH] {
            assert_eq!(client.call("POST", path, &STRUCTURED, Some(b"{")).json()["code"], "invalid_json", "{path}");
            assert_eq!(client.call("POST", path, &STRUCTURED, Some(b"[]")).json()["code"], "event_not_object", "{path}");
            assert_eq!(binary(path, "d", b"{").json()["code"], "invalid_json", "{path}");
            assert_eq!(client.call("POST", path, &BATCHED, Some(b"{}")).json()["code"], "batch_not_list", "{path}");
        }
        let wrong = client.call("POST", BATCH, &STRUCTURED, Some(br#"{"specversion":"1.0","type":"t","source":"/s"}"#));
        assert_eq!((wrong.status, &wrong.json()["results"][0]["errors"][0]["pointer"]), (422, &json!("/id")), "{wrong:?}");
    }

    fn what_is_taken_at_an_address_is_named_where_something_else_comes(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for (path, more) in [(EVENTS, ""), (BATCH, "application/x-ndjson, "), ("/api/v1/events/validate", "application/x-ndjson, ")] {
            let answer = client.call("POST", path, &[("Content-Type", "application/cloudevents+avro")], Some(b"x"));
            let taken = format!("application/json, {more}application/cloudevents+json, application/cloudevents-batch+json");
            assert_eq!((answer.status, answer.header("accept-post")), (415, Some(&*taken)), "{answer:?}");
            let expected = format!("expected Content-Type: {}", taken.replace(", ", " or "));
            assert!(answer.json()["detail"].to_string().contains(&expected), "{answer:?}");
        }
    }

    fn data_without_a_type_is_taken_in_binary_mode_as_in_structured_mode(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for (number, (body, data)) in [
            (b"plain text, \xe2\x82\xac".as_slice(), json!({"data": "plain text, \u{20ac}"})),
            (b"{\"half", json!({"data": "{\"half"})),
            (b"\x00\x01", json!({"data_base64": "AAE="})),
            (b"\xff\xfe", json!({"data_base64": "//4="})),
            (b"[1, 2]", json!({"data": [1, 2]})),
            (b"{\"a\": 1}", json!({"a": 1})),
            (b"", json!({})),
        ].into_iter().enumerate() {
            let id = number.to_string();
            let headers = [&BINARY[..], &[("ce-id", &id)]].concat();
            let answer = post(&client, &headers, body);
            assert_eq!(answer.status, 202, "{body:?}: {answer:?}");
            let mut payload = finished(&client, id_of(&answer))["payload"].clone();
            let attributes = payload.as_object_mut().expect("an object").remove("ce_attributes");
            assert_eq!((payload, attributes), (data, Some(json!({"specversion": "1.0", "type": "t", "source": "/s", "id": id}))));
        }
        // As `curl -d` sends it.
        let form = ("Content-Type", "application/x-www-form-urlencoded");
        let answer = post(&client, &[&BINARY[..], &[("ce-id", "curl"), form]].concat(), b"{\"a\": 1}");
        assert_eq!(finished(&client, id_of(&answer))["payload"]["a"], 1);
        let declared = [&BINARY[..], &[("ce-id", "declared"), ("Content-Type", "application/json")]].concat();
        assert_eq!(post(&client, &declared, b"plain text").json()["code"], "invalid_json");
    }

    // The specification lets equal `source` and `id` stand for duplicates, and libraries fill in what is left out.
    fn the_same_event_made_anew_or_sent_in_another_mode_is_a_duplicate(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let structured = |more: Value| {
            let mut event = json!({"specversion": "1.0", "type": "t", "source": "/s", "id": "1", "ext": 5, "flag": true});
            event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            event
        };
        let post_structured = |more: Value| post(&client, &STRUCTURED, structured(more).to_string().as_bytes());
        let data = json!({"b": "\u{e9}", "a": [1, 2.5]});
        let first = post_structured(json!({"time": "2026-01-01T10:00:00Z", "data": data}));
        assert_eq!(first.status, 202, "{first:?}");
        let binary = |more: &[(&str, &str)], body: &[u8]| {
            let headers = [&BINARY[..], &[("ce-id", "1"), ("ce-ext", "5"), ("ce-flag", "true")], more].concat();
            post(&client, &headers, body)
        };
        let body = b"{ \"a\": [1.0,2.5], \"b\": \"\\u00e9\" }";
        let time = ("ce-time", "2026-01-01T10:00:00Z");
        let json_type = ("Content-Type", "application/json");
        let base64 = "eyJiIjoiw6kiLCJhIjpbMSwyLjVdfQ==";
        for (answer, differs) in [
            (post_structured(json!({"time": "2026-01-01T10:00:00Z", "data": data})), json!(null)),
            (post_structured(json!({"time": "2026-01-01T10:00:00.5Z", "data": data})), json!(["time"])),
            (post_structured(json!({"data": data, "ext": "5", "flag": "true"})), json!(["time"])),
            (post_structured(json!({"time": "2026-01-01T12:00:00+02:00", "data_base64": base64})), json!(null)),
            (binary(&[time], body), json!(null)),
            (binary(&[time, json_type], body), json!(["datacontenttype"])),
            (binary(&[json_type], body), json!(["time", "datacontenttype"])),
        ] {
            let told = answer.json();
            assert_eq!((answer.status, &told["duplicate"], &told["event_id"]), (200, &json!(true), &json!(id_of(&first))), "{told}");
            assert_eq!(told["differs"], differs, "{told}");
        }
        let batched = json!([
            structured(json!({"data": data})),
            structured(json!({"id": "2"})),
            structured(json!({"id": "2", "time": "2026-01-01T10:00:00Z", "data": null})),
            structured(json!({"id": "2", "data": 1})),
        ]);
        let report = client.call("POST", BATCH, &BATCHED, Some(batched.to_string().as_bytes())).json();
        assert_eq!((&report["results"][0]["status"], &report["results"][0]["differs"]), (&json!("duplicate"), &json!(["time"])));
        assert_eq!((&report["results"][2]["status"], &report["results"][2]["differs"]), (&json!("duplicate"), &json!(["time"])));
        assert_eq!(report["results"][3]["code"], "event_uid_conflict");
        for (name, other) in [("ext", json!(6)), ("subject", json!("x")), ("type", json!("u")), ("data", json!({"b": "\u{e9}"}))] {
            let mut event = json!({"data": data});
            event[name] = other;
            let answer = post_structured(event);
            assert_eq!((answer.status, &answer.json()["code"]), (409, &json!("event_uid_conflict")), "{name}: {answer:?}");
        }
        let rows = server.database().texts("SELECT CAST(id AS TEXT) FROM events");
        assert_eq!(rows.len(), 2, "each once");
    }

    fn text_and_bytes_are_known_again_in_every_form(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let event = |id: &str, more: Value| {
            let mut event = json!({"specversion": "1.0", "type": "t", "source": "/s", "id": id});
            event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            post(&client, &STRUCTURED, event.to_string().as_bytes())
        };
        for (id, base64, body, others) in [
            ("text", "aGk=", b"hi".as_slice(), vec![json!({"data": "hi"}), json!({"datacontenttype": "text/plain", "data": "hi"})]),
            ("number", "NQ==", b"5", vec![json!({"data": 5}), json!({"data": "5"})]),
            ("bytes", "AP8=", b"\x00\xff", vec![]),
            ("nothing", "", b"", vec![json!({}), json!({"data": null}), json!({"data": ""})]),
        ] {
            let first = event(id, json!({"data_base64": base64}));
            assert_eq!(first.status, 202, "{id}: {first:?}");
            let binary = post(&client, &[&BINARY[..], &[("ce-id", id)]].concat(), body);
            let octets = [("ce-id", id), ("Content-Type", "application/octet-stream")];
            let octets = post(&client, &[&BINARY[..], &octets].concat(), body);
            let others = others.into_iter().map(|other| event(id, other));
            for answer in others.chain([binary, octets]) {
                assert_eq!((answer.status, &answer.json()["event_id"]), (200, &json!(id_of(&first))), "{id}: {answer:?}");
            }
        }
    }
}
