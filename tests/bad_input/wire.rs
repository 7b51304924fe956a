//! Bytes that no client would send, and bodies that never end.

use std::io::ErrorKind;

use super::Pair;
use crate::support::events::{EVENTS, event};
use crate::support::server::{Server, Setup};
use crate::support::wire::{Answer, Connection};

/// Sends these bytes and gives the answer, or nothing when the server closed without one.
fn exchange(server: &Server, bytes: &[u8]) -> Option<Answer> {
    let mut connection = Connection::open(server.address()).expect("the server takes connections");
    // The server may answer and close before all is sent.
    let _ = connection.send(bytes);
    connection.answer().ok()
}

/// A POST of an event with these further header lines.
fn post(token: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n{headers}\r\n{body}").into_bytes()
}

#[test]
fn ambiguous_and_malformed_requests_are_refused() {
    let mut pair = Pair::start();
    for server in pair.servers() {
        let token = server.token();
        let body = event("a").to_string();
        let length = body.len();
        let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
        let both = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n");
        for (what, bytes) in [
            ("length and chunks", post(&token, &both, &chunked)),
            ("two lengths", post(&token, &format!("Content-Length: {length}\r\nContent-Length: 1\r\n"), &body)),
            ("+2", post(&token, "Content-Length: +2\r\n", "{}")),
            ("-1", post(&token, "Content-Length: -1\r\n", "{}")),
            ("a length in words", post(&token, "Content-Length: two\r\n", "{}")),
            ("a folded header", post(&token, &format!("X-Fold: a\r\n b\r\nContent-Length: {length}\r\n"), &body)),
            ("no colon", b"GET /health/live HTTP/1.1\r\nHost: test\r\nnonsense\r\n\r\n".to_vec()),
            ("no host", b"GET /health/live HTTP/1.1\r\n\r\n".to_vec()),
            ("two hosts", b"GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec()),
        ] {
            let answer = exchange(server, &bytes);
            let status = answer.as_ref().map(|answer| answer.status);
            assert_eq!(status, Some(400), "{what} gets {answer:?}");
        }
        for chunks in ["zz\r\n{}\r\n0\r\n\r\n", "5\r\n{}\r\n0\r\n\r\n", "-1\r\n"] {
            let answer = exchange(server, &post(&token, "Transfer-Encoding: chunked\r\n", chunks));
            assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{chunks:?} gets {answer:?}");
        }
        let answer = exchange(server, &post(&token, "Transfer-Encoding: chunked\r\n", &chunked));
        assert_eq!(answer.map(|answer| answer.status), Some(202), "a chunked body is fine");
    }
    pair.assert_well();
}

#[test]
fn heads_beyond_all_measure_are_refused_without_a_5xx() {
    let mut pair = Pair::start();
    for server in pair.servers() {
        let many = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: y\r\n")).collect() };
        let large = format!("X-Large: {}\r\n", "y".repeat(200_000));
        for (headers, statuses) in [(many(120), [200, 431]), (many(1_000), [431, 431]), (large, [431, 431])] {
            let request = format!("GET /health/live HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
            let answer = exchange(server, request.as_bytes());
            assert!(answer.as_ref().is_some_and(|answer| statuses.contains(&answer.status)), "{answer:?}");
        }
        let long = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "a".repeat(1 << 20));
        let answer = exchange(server, long.as_bytes());
        assert!(answer.as_ref().is_none_or(|answer| (400..500).contains(&answer.status)), "{answer:?}");
        let hello: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        for bytes in [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(),
            hello,
            b"\0\0\0\0\r\n\r\n",
            b"GET\r\n\r\n",
            b"\r\n\r\nx\r\n\r\n",
        ] {
            let mut connection = Connection::open(server.address()).expect("the server takes connections");
            connection.send(bytes).expect("it reads");
            connection.finish().expect("it reads");
            let answer = connection.answer().ok();
            assert!(answer.as_ref().is_none_or(|answer| (400..506).contains(&answer.status)), "{answer:?}");
        }
        let body = event("a").to_string();
        let headers = format!("Expect: x\r\nContent-Length: {}\r\n", body.len());
        let token = server.token();
        let answer = exchange(server, &post(&token, &headers, &body));
        let code = answer.as_ref().map(|answer| (answer.status, answer.json()["code"].clone()));
        assert_eq!(code, Some((417, "expectation_failed".into())), "{answer:?}");
    }
    pair.assert_well();
}

#[test]
fn bodies_over_the_limit_are_refused_before_they_are_read() {
    let mut pair = Pair::start();
    for server in pair.servers() {
        let token = server.token();
        let before = server.rss_bytes();
        let lengths = ["Content-Length: 10737418240\r\n", "Content-Length: 2097153\r\n"];
        for headers in lengths {
            let answer = exchange(server, &post(&token, headers, ""));
            let answer = answer.unwrap_or_else(|| panic!("{headers} gets no answer"));
            assert_eq!(answer.status, 413, "{answer:?}");
            assert_eq!(answer.json()["code"], "body_too_large");
            let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.contains("2097152"), "{detail}");
        }
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let answer = exchange(server, &post(&token, "Transfer-Encoding: chunked\r\n", &chunk.repeat(33)));
        let answer = answer.expect("the limit is met before the end");
        assert_eq!((answer.status, &answer.json()["code"]), (413, &serde_json::json!("body_too_large")), "{answer:?}");
        let unauthorized = format!("POST {EVENTS} HTTP/1.1\r\nHost: t\r\nContent-Length: 10737418240\r\n\r\n");
        let answer = exchange(server, unauthorized.as_bytes());
        assert_eq!(answer.map(|answer| answer.status), Some(401), "who you are comes before what you send");
        let grown = server.rss_bytes().saturating_sub(before);
        assert!(grown < 30 << 20, "{grown} bytes more");
    }
    pair.assert_well();
}

#[test]
fn a_body_of_exactly_the_limit_is_read() {
    let mut pair = Pair::start();
    let event = event("a").to_string();
    let body = format!("{event}{}", " ".repeat(2_097_152 - event.len()));
    for client in pair.clients() {
        assert_eq!(client.post_text(EVENTS, &body).status, 202);
        let answer = client.post_text(EVENTS, &format!("{body} "));
        assert_eq!((answer.status, &answer.json()["code"]), (413, &serde_json::json!("body_too_large")), "{answer:?}");
    }
    pair.assert_well();
}

#[test]
fn slow_heads_and_stalled_bodies_are_cut() {
    let text = "[http]\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"\nrequest_timeout = \"3s\"";
    let mut server = Server::start(Setup::new(&crate::support::database::Database::sqlite()).with_config(text));
    let token = server.token();
    let answer = exchange(&server, &post(&token, "Content-Length: 100\r\n", "{\"event_name\":"));
    let answer = answer.expect("a stalled body is answered");
    assert_eq!((answer.status, &answer.json()["code"]), (408, &serde_json::json!("request_timeout")), "{answer:?}");
    assert_eq!(answer.json()["retryable"], true);
    let answer = exchange(&server, b"GET /health/live HTTP/1.1\r\nHost: te");
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 408), "{answer:?}");
    assert_eq!(server.client().get("/health/live").status, 200);
}

#[test]
fn who_takes_nothing_of_its_answers_is_cut_off() {
    let text = "http = { answer_timeout = \"1s\", keep_alive = \"1h\" }";
    let mut server = Server::start(Setup::new(&crate::support::database::Database::sqlite()).with_config(text));
    let mut connection = Connection::open(server.address()).expect("the server takes connections");
    let requests = "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n".repeat(500);
    // The answers fill all buffers on the way, then the requests do; a server that waits lets the last one time out.
    let error = std::iter::repeat_with(|| connection.send(requests.as_bytes())).find_map(Result::err);
    let error = error.expect("it is cut off some day");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert_eq!(server.client().get("/health/live").status, 200);
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let mut pair = Pair::start();
    for server in pair.servers() {
        let token = server.token();
        let mut connection = Connection::open(server.address()).expect("the server takes connections");
        let mut ids = Vec::new();
        for _ in 0..10 {
            let body = event("a").to_string();
            let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
            connection.send(&post(&token, &headers, &body).repeat(100)).expect("it reads");
            for _ in 0..100 {
                let answer = connection.answer().expect("every request is answered");
                assert_eq!(answer.status, 202, "{answer:?}");
                ids.push(answer.json()["event_id"].as_i64().expect("a number"));
            }
        }
        let sent = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((sent, ids.len()), (1000, 1000));
    }
    pair.assert_well();
}
