//! Connections as clients and proxies keep them: versions, streams, offers that nobody has to take.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event};
use crate::support::server::Server;
use crate::support::wire::{Answer, Connection};

const BATCH: &str = "/api/v1/events/batch";

fn open(address: SocketAddr) -> Connection {
    Connection::open(address).expect("the server takes connections")
}

/// Sends a request of HTTP/1.0 on a connection of its own.
fn old(address: SocketAddr, line: &str, headers: &str, body: &str) -> (Answer, Connection) {
    let mut connection = open(address);
    connection.send(format!("{line} HTTP/1.0\r\n{headers}\r\n{body}").as_bytes()).expect("it reads");
    (connection.answer().expect("it answers"), connection)
}

#[test]
fn what_has_no_length_ends_with_the_connection_for_http_1_0() {
    let mut server = Server::start(&Database::sqlite());
    let (client, token, address) = (server.client(), server.token(), server.address());
    accepted(&client, &event("a"));
    let own = format!("Authorization: Bearer {token}\r\nConnection: keep-alive\r\n");
    let packed = format!("{own}Accept-Encoding: gzip\r\n");
    let lines = format!("{}\n{}\n", event("b"), event("c"));
    let posted = format!(
        "{own}Accept: application/x-ndjson\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n",
        lines.len()
    );
    for (line, headers, body, last) in [
        (format!("GET {EVENTS}/export"), &own, "", Some("\"complete\":true")),
        (format!("GET {EVENTS}/export"), &packed, "", None),
        ("GET /openapi.json".to_owned(), &packed, "", None),
        (format!("POST {BATCH}"), &posted, lines.as_str(), Some("\"status\":\"success\"")),
    ] {
        let (answer, mut connection) = old(address, &line, headers, body);
        assert_eq!(answer.status, 200, "{line}: {answer:?}");
        for name in ["transfer-encoding", "content-length", "connection"] {
            assert_eq!(answer.header(name), None, "{line}: {answer:?}");
        }
        assert!(!answer.body.is_empty() && last.is_none_or(|last| answer.body.contains(last)), "{line}: {answer:?}");
        assert!(connection.is_closed(), "{line}");
    }
    let (answer, _) = old(address, &format!("GET {EVENTS}?limit=1"), &own, "");
    assert_eq!(answer.header("connection"), Some("keep-alive"), "a length lets it go on: {answer:?}");
}

#[test]
fn nothing_on_the_way_may_hold_a_stream_back() {
    let mut server = Server::start(&Database::sqlite());
    let (token, api, operations) = (server.token(), server.address(), server.dashboard_address());
    let id = accepted(&server.client(), &event("a"));
    let view: Value = server.dashboard().get("/api/pipeline").json();
    let boot = view["node"]["boot_id"].as_str().expect("a boot");
    for (address, version, path) in [
        (api, "1.1", format!("{EVENTS}/stream")),
        (api, "1.0", format!("{EVENTS}/stream")),
        (api, "1.1", format!("{EVENTS}/export")),
        (operations, "1.1", format!("{EVENTS}/stream")),
        (operations, "1.1", "/api/live".to_owned()),
        (operations, "1.0", "/api/live/events".to_owned()),
        (operations, "1.1", format!("/api/live/events/{id}")),
        (operations, "1.1", format!("/api/live/pipeline?node={boot}")),
    ] {
        let mut connection = open(address);
        let request = format!("GET {path} HTTP/{version}\r\nHost: t\r\nAuthorization: Bearer {token}\r\n\r\n");
        connection.send(request.as_bytes()).expect("it reads");
        let head = connection.head().expect("it answers");
        assert_eq!(head.status, 200, "{path}: {head:?}");
        assert_eq!(head.header("cache-control"), Some("no-store, no-transform"), "{path}: {head:?}");
        assert_eq!(head.header("x-accel-buffering"), Some("no"), "{path}: {head:?}");
        let chunked = (version == "1.1").then_some("chunked");
        assert_eq!(head.header("transfer-encoding"), chunked, "{path}: {head:?}");
    }
}

#[test]
fn results_come_as_they_are_made_packed_or_not() {
    let mut server = Server::start(&Database::sqlite());
    let token = server.token();
    for coding in ["identity", "gzip", "zstd", "br", "deflate"] {
        let mut connection = open(server.address());
        let head = format!(
            "POST {BATCH} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\nContent-Type: application/x-ndjson\r\n\
             Accept: application/x-ndjson\r\nAccept-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        connection.send(head.as_bytes()).expect("it reads");
        let line = format!("{}\n", json!({"event_name": "a", "event_type": "b"}));
        let chunk = format!("{:x}\r\n{line}\r\n", line.len());
        connection.send(chunk.as_bytes()).expect("it reads");
        let head = connection.head().expect("it answers while the body goes on");
        assert_eq!(head.header("x-accel-buffering"), Some("no"), "{coding}: {head:?}");
        let first = connection.chunk().expect("the first result is there before the second line");
        assert!(!first.is_empty(), "{coding}");
        connection.send(b"0\r\n\r\n").expect("it reads");
    }
}
