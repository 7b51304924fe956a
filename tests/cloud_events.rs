//! CloudEvents 1.0 over HTTP: in each mode, with their own examples and their own SDK.

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
}
