//! The examples in the documents of CloudEvents 1.0: its JSON format, and its binding to HTTP.

use serde_json::{Value, json};

use super::{STRUCTURED, assert_kept, post};
use crate::support::events::{finished, id_of};
use crate::support::http::raw;
use crate::support::server::Server;

const BATCH: [(&str, &str); 1] = [("Content-Type", "application/cloudevents-batch+json; charset=utf-8")];

/// What stands in for "... base64 encoded string ..." of the documents, and the bytes of it.
const BASE64: &str = "AAH+/w==";
const BYTES: [u8; 4] = [0, 1, 254, 255];

/// An example of the JSON format, and its body in binary mode.
struct Example {
    json: Value,
    body: Vec<u8>,
}

/// Section 3.2 of the JSON format.
fn examples() -> Vec<Example> {
    let of = |id: &str, rest: Value, body: &[u8]| {
        let mut json = json!({
            "specversion": "1.0", "type": "com.example.someevent", "source": "/mycontext", "id": id,
            "time": "2018-04-05T17:31:00Z", "comexampleextension1": "value", "comexampleothervalue": 5
        });
        let members = json.as_object_mut().expect("an object");
        members.extend(rest.as_object().expect("an object").clone());
        Example { json, body: body.to_vec() }
    };
    let data = json!({"appinfoA": "abc", "appinfoB": 123, "appinfoC": true});
    vec![
        of(
            "A234-1234-1234",
            json!({"datacontenttype": "application/vnd.apache.thrift.binary", "data_base64": BASE64}),
            &BYTES,
        ),
        of(
            "B234-1234-1234",
            json!({"unsetextension": null, "datacontenttype": "application/xml", "data": "<much wow=\"xml\"/>"}),
            b"<much wow=\"xml\"/>",
        ),
        of(
            "C234-1234-1234",
            json!({"subject": null, "datacontenttype": "application/json", "data": data}),
            data.to_string().as_bytes(),
        ),
        of("D234-1234-1234", json!({"subject": null, "data": "I'm just a string"}), b"\"I'm just a string\""),
    ]
}

/// The example's attributes as headers, and as what is found again: in headers every value is a text.
fn in_headers(example: &Value) -> (Vec<(String, String)>, Value) {
    let mut headers = Vec::new();
    let mut sent = json!({"datacontenttype": "application/json"});
    for (name, value) in example.as_object().expect("an object") {
        if value.is_null() {
            continue;
        }
        if name.starts_with("data") {
            sent[name] = value.clone();
        } else {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            headers.push((format!("CE-{name}"), text.clone()));
            sent[name] = text.into();
        }
    }
    headers.push(("Content-Type".to_owned(), sent["datacontenttype"].as_str().expect("a text").to_owned()));
    (headers, sent)
}

both_databases! {
    fn every_example_of_the_json_format_is_kept_in_structured_mode(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for Example { json, .. } in examples() {
            let answer = post(&client, &STRUCTURED, json.to_string().as_bytes());
            assert_eq!(answer.status, 202, "{json}: {answer:?}");
            assert_kept(&finished(&client, id_of(&answer)), &json);
        }
    }

    fn every_example_of_the_json_format_is_kept_in_binary_mode(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for Example { json, body } in examples() {
            let (headers, sent) = in_headers(&json);
            let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = post(&client, &headers, &body);
            assert_eq!(answer.status, 202, "{json}: {answer:?}");
            assert_kept(&finished(&client, id_of(&answer)), &sent);
        }
    }

    fn the_batches_of_the_json_format_are_kept(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let of = |number: usize, id: &str, source: &str, kind: &str| {
            let mut json = examples()[number].json.clone();
            json.as_object_mut().expect("an object").remove("subject");
            (json["id"], json["source"], json["type"]) = (id.into(), source.into(), kind.into());
            json
        };
        let mut batch = json!([
            of(0, "B234-1234-1234", "/mycontext/4", "com.example.someevent"),
            of(2, "C234-1234-1234", "/mycontext/9", "com.example.someotherevent"),
        ]);
        batch[1]["time"] = "2018-04-05T17:31:05Z".into();
        let path = "/api/v1/events/batch";
        let answer = client.call("POST", path, &BATCH, Some(batch.to_string().as_bytes()));
        assert_eq!(answer.status, 200, "{answer:?}");
        for (index, result) in answer.json()["results"].as_array().expect("results").iter().enumerate() {
            assert_kept(&finished(&client, result["event_id"].as_i64().expect("an id")), &batch[index]);
        }
        let empty = client.call("POST", path, &BATCH, Some(b"[]"));
        assert_eq!((empty.status, &empty.json()["results"]), (200, &json!([])), "{empty:?}");
    }

    // Section 3.1.3.2 of the binding: quoted strings are unescaped first, then percent-encoding is decoded once.
    fn header_values_are_read_as_the_binding_says(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let with = |id: &str, subject: &str| {
            let headers = [
                ("ce-specversion", "1.0"), ("ce-type", "com.example.someevent"), ("ce-time", "2018-04-05T03:56:24Z"),
                ("ce-id", id), ("ce-source", "/mycontext/subcontext"), ("ce-subject", subject),
                ("Content-Type", "application/json; charset=utf-8"),
            ];
            post(&client, &headers, b"{\"a\": 1}")
        };
        for (id, (value, text)) in (1..).zip([
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro \u{20ac} \u{1f600}"),
            ("%e2%82%ac", "\u{20ac}"),
            ("%41%2542", "A%42"),
            ("\"Euro %E2%82%AC\"", "Euro \u{20ac}"),
            (r#""a \"b\" \\ c%22""#, "a \"b\" \\ c\""),
            ("100%", "100%"),
            ("50%+5 off", "50%+5 off"),
            ("%-1%4%zz%%41", "%-1%4%zz%A"),
        ]) {
            let answer = with(&id.to_string(), value);
            assert_eq!(answer.status, 202, "{value}: {answer:?}");
            let event = finished(&client, id_of(&answer));
            assert_eq!(event["payload"]["ce_attributes"]["subject"], text, "{value}");
        }
        for value in ["%C0%A0", "%ff", "%E2%82"] {
            let answer = with("refused", value);
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_request")), "{value}");
        }
    }

    // Many senders encode nothing: JavaScript's and Python's HTTP clients send Latin-1, Rust's UTF-8.
    fn attributes_are_taken_as_utf_8_or_else_as_latin_1(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let address = server.address();
        let token = server.token().to_owned();
        let post = |id: &[u8], value: &[u8]| {
            let head = "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\
                        Content-Type: application/json\r\nce-specversion: 1.0\r\nce-type: t\r\nAuthorization: Bearer ";
            let id = [b"ce-id: ", id].concat();
            let value = [b"ce-source: /", value, b"\r\nce-ext: ", value].concat();
            raw(address, &[head.as_bytes(), token.as_bytes(), b"\r\n", &id, b"\r\n", &value, b"\r\n\r\n{}"].concat())
        };
        for (number, (value, text)) in [
            ("Gr\u{fc}\u{df}e \u{20ac}".as_bytes(), "Gr\u{fc}\u{df}e \u{20ac}"),
            (b"Gr\xfc\xdfe", "Gr\u{fc}\u{df}e"),
            (b"\xe9%20%E2%82%AC", "\u{e9} \u{20ac}"),
        ].into_iter().enumerate() {
            let id = [number.to_string().as_bytes(), value].concat();
            let answer = post(&id, value);
            assert_eq!(answer.status, 202, "{text}: {answer:?}");
            let event = finished(&client, id_of(&answer));
            assert_eq!(event["event_uid"], format!("/{text} {number}{text}"));
            assert_eq!(event["payload"]["ce_attributes"]["ext"], text);
        }
        let answer = post(b"3", b"\xfc%FC");
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_request")), "{answer:?}");
    }

    fn an_attribute_that_stands_in_two_headers_is_refused(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let headers = [("ce-specversion", "1.0"), ("ce-type", "t"), ("ce-source", "/s"), ("ce-id", "1")];
        for repeated in [("ce-id", "2"), ("ce-id", "1"), ("CE-Source", "/s"), ("ce-specversion", "1.0")] {
            let headers = [headers.as_slice(), &[repeated]].concat();
            let answer = post(&client, &headers, b"{}");
            assert_eq!((answer.status, &answer.json()["code"]), (400, &json!("invalid_request")), "{repeated:?}");
            assert!(answer.json()["detail"].to_string().contains("is repeated"), "{answer:?}");
        }
    }

    // Section 3 of the binding: the media type decides; section 3.2.3: the attributes may stand in headers too.
    fn a_structured_event_with_its_attributes_in_headers_too_is_structured(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let sent = &examples()[2].json;
        let headers = [STRUCTURED[0], ("ce-specversion", "1.0"), ("ce-type", "other"), ("ce-source", "s"), ("ce-id", "i")];
        let answer = post(&client, &headers, sent.to_string().as_bytes());
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_kept(&finished(&client, id_of(&answer)), sent);
    }

    fn data_that_looks_like_what_is_kept_beside_it_is_not_lost(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let base = json!({"specversion": "1.0", "type": "t", "source": "s"});
        let with = |id: &str, rest: Value| {
            let mut event = base.clone();
            event["id"] = id.into();
            event.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
            post(&client, &STRUCTURED, event.to_string().as_bytes())
        };
        let own = with("1", json!({"data": {"ce_attributes": 1, "a": 2}}));
        let payload = finished(&client, id_of(&own))["payload"].clone();
        assert_eq!((&payload["data"], &payload["ce_attributes"]["id"]), (&json!({"ce_attributes": 1, "a": 2}), &json!("1")));
        let unset = with("2", json!({"data": null, "data_base64": BASE64}));
        assert_eq!(finished(&client, id_of(&unset))["payload"]["data_base64"], BASE64);
        let both = with("3", json!({"data": 1, "data_base64": BASE64}));
        assert_eq!((both.status, &both.json()["errors"][0]["pointer"]), (422, &json!("/data_base64")), "{both:?}");
        for wrong in [json!(1), json!("no base64"), json!("AAE")] {
            let answer = with("4", json!({ "data_base64": wrong }));
            assert_eq!((answer.status, &answer.json()["errors"][0]["pointer"]), (422, &json!("/data_base64")), "{wrong}");
        }
    }
}
