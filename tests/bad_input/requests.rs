//! Paths, queries, methods, media types and headers that are not what they should be.

use serde_json::Value;

use super::{Pair, expect, problem};
use crate::support::events::{EVENTS, accepted, event};

#[test]
fn ids_that_are_no_positive_integers_are_not_found() {
    let mut pair = Pair::start();
    let long = "9".repeat(8_000);
    for id in [
        "0",
        "-1",
        "1.0",
        "+1",
        "01",
        "abc",
        "9223372036854775808",
        "18446744073709551616",
        "%00",
        "1%00",
        "%31%0a",
        "1e3",
        "0x1",
        "..%2f1",
        "%2e%2e%2f1",
        "1%2f2",
        "é",
        "%ff",
        &long,
    ] {
        let path = format!("{EVENTS}/{}", id.replace('é', "%C3%A9"));
        let [one, other] = pair.clients().map(|client| {
            let answer = client.get(&path);
            assert!(matches!(answer.status, 400 | 404 | 414), "{id:.40} gets {answer:?}");
            if answer.status != 404 {
                return (answer.status, Value::Null);
            }
            (404, problem(&id[..id.len().min(40)], &answer, &expect(404, "not_found", &[])))
        });
        assert_eq!(one, other);
    }
    for (id, words) in [
        ("0", "positive integer"),
        ("-1", "positive integer"),
        ("9223372036854775808", "positive integer"),
        ("9223372036854775807", "9223372036854775807"),
    ] {
        for client in pair.clients() {
            problem(id, &client.get(&format!("{EVENTS}/{id}")), &expect(404, "not_found", &[words]));
        }
    }
    pair.assert_well();
}

#[test]
fn wrong_queries_of_the_list_are_named() {
    let mut pair = Pair::start();
    let [sqlite, _] = pair.clients();
    accepted(&sqlite, &event("a"));
    for (query, code, word) in [
        ("limit=0", "invalid_request", "limit"),
        ("limit=-1", "invalid_request", "limit"),
        ("limit=501", "invalid_request", "500"),
        ("limit=1000000000", "invalid_request", "500"),
        ("limit=99999999999999999999999", "invalid_request", "limit"),
        ("limit=abc", "invalid_request", "abc"),
        ("limit=", "invalid_request", "limit"),
        ("limit=1&limit=2", "invalid_request", "limit"),
        ("colour=red", "invalid_request", "colour"),
        ("cursor=abc", "invalid_cursor", "cursor"),
        ("cursor=", "invalid_cursor", "cursor"),
        ("cursor=%00%ff", "invalid_cursor", "cursor"),
    ] {
        for client in pair.clients() {
            let answer = client.get(&format!("{EVENTS}?{query}"));
            assert_eq!(answer.status, 400, "{query} gets {answer:?}");
            let found = answer.json()["code"].clone();
            assert!(found == code || found == "invalid_request", "{query} gets {answer:?}");
            let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.contains(word), "{word} is missing in the answer to {query}: {detail}");
        }
    }
    pair.assert_well();
}

#[test]
fn a_changed_cursor_is_refused() {
    let mut pair = Pair::start();
    for client in pair.clients() {
        for _ in 0..3 {
            accepted(&client, &event("a"));
        }
        let page = client.get(&format!("{EVENTS}?limit=1")).json();
        let cursor = page["next_cursor"].as_str().expect("there are two more").to_owned();
        assert!(cursor.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "fit for a URL: {cursor}");
        for changed in [cursor[1..].to_owned(), format!("{cursor}A"), cursor.to_lowercase() + "x"] {
            let answer = client.get(&format!("{EVENTS}?limit=1&cursor={changed}"));
            problem(&changed, &answer, &expect(400, "invalid_cursor", &["cursor"]));
        }
    }
}

#[test]
fn wrong_methods_and_paths_are_told_the_right_ones() {
    let mut pair = Pair::start();
    for client in pair.clients() {
        for (method, path, allowed) in [
            ("DELETE", EVENTS.to_owned(), vec!["GET", "POST"]),
            ("PUT", EVENTS.to_owned(), vec!["GET", "POST"]),
            ("PATCH", EVENTS.to_owned(), vec!["GET", "POST"]),
            ("POST", format!("{EVENTS}/1"), vec!["GET"]),
            ("DELETE", format!("{EVENTS}/1"), vec!["GET"]),
            ("POST", "/health/live".to_owned(), vec!["GET"]),
        ] {
            let body: Option<&[u8]> = (method != "DELETE").then_some(b"{}");
            let answer = client.call(method, &path, &[("Content-Type", "application/json")], body);
            assert_eq!(answer.status, 405, "{method} {path} gets {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
            let allow = answer.header("allow").unwrap_or_default();
            for method in allowed {
                assert!(allow.contains(method), "{method} is missing in Allow: {allow}");
            }
        }
        for path in ["/", "/api", "/api/v1", "/api/v2/events", "/api/v1/event", "/nowhere", "/api/v1/events/1/2"] {
            let answer = client.get(path);
            problem(path, &answer, &expect(404, "not_found", &[]));
        }
    }
}

#[test]
fn media_types_other_than_json_and_encoded_bodies_get_415() {
    let mut pair = Pair::start();
    let body = event("a").to_string().into_bytes();
    for client in pair.clients() {
        let post = |headers: &[(&str, &str)], body: &[u8]| client.call("POST", EVENTS, headers, Some(body));
        for media in [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/vnd.example+json",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(post(&[("Content-Type", media)], &body).status, 202, "{media}");
        }
        assert_eq!(post(&[], &body).status, 202, "no Content-Type");
        for media in [
            "text/plain",
            "text/html",
            "application/xml",
            "multipart/form-data; boundary=x",
            "json",
            "application/jsonp",
            "image/png",
        ] {
            let answer = post(&[("Content-Type", media)], &body);
            problem(media, &answer, &expect(415, "unsupported_media_type", &["application/json"]));
            assert!(answer.header("accept-post").is_some_and(|value| value.contains("application/json")), "{answer:?}");
        }
        let form = post(&[("Content-Type", "application/x-www-form-urlencoded")], b"event_name=a&event_type=b");
        problem("a form", &form, &expect(415, "unsupported_media_type", &[]));
        for encoding in ["gzip", "br", "zstd", "deflate", "identity, gzip"] {
            let answer = post(&[("Content-Type", "application/json"), ("Content-Encoding", encoding)], &body);
            problem(encoding, &answer, &expect(400, "invalid_content_encoding", &[]));
        }
        for encoding in ["x", "gzip, gzip", "br, gzip"] {
            let headers = [("Content-Type", "application/json"), ("Content-Encoding", encoding)];
            let answer = post(&headers, &body);
            problem(encoding, &answer, &expect(415, "unsupported_content_encoding", &[]));
            assert!(answer.header("accept-encoding").is_some(), "{answer:?}");
        }
        let headers = [("Content-Type", "application/json"), ("Content-Encoding", "identity")];
        assert_eq!(post(&headers, &body).status, 202);
    }
    pair.assert_well();
}
