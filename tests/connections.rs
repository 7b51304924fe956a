//! Connections as clients and proxies keep them: versions, streams, offers that nobody has to take.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, within};
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
    let client = server.client();
    let token = server.token();
    let address = server.address();
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
    let token = server.token();
    let api = server.address();
    let operations = server.dashboard_address();
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

/// A request of HTTP/1.1 with a token; what follows its own headers is given.
fn request(line: &str, token: &str, rest: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {token}\r\n{rest}").into_bytes()
}

#[test]
fn what_a_client_offers_is_ignored_and_its_connection_kept() {
    let mut server = Server::start(&Database::sqlite());
    let token = server.token();
    let body = event("a").to_string();
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let (half, rest) = body.split_at(20);
    let chunked = format!(
        "Transfer-Encoding: chunked\r\n\r\n14;a=b\r\n{half}\r\n{:x}\r\n{rest}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        rest.len()
    );
    let mut connection = open(server.address());
    for offer in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n",
        "Upgrade: websocket\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: TLS/1.2\r\n",
        "Connection: upgrade\r\nConnection: keep-alive\r\nUpgrade: h2c, websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: TE\r\nTE: trailers, deflate;q=0.5\r\n",
        "Connection: ,Keep-Alive,,\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n",
        "Priority: u=1, i\r\nEarly-Data: 1\r\nSec-Fetch-Mode: cors\r\nSec-GPC: 1\r\nDNT: 1\r\n",
        "Range: bytes=0-1\r\nIf-Range: \"x\"\r\nTrailer: X-Trailer\r\n",
        "Expect: 100-continue\r\n",
        "Expect: ,100-Continue,\r\n",
        "",
    ] {
        for (line, rest, status) in [
            (format!("POST {EVENTS}"), &length, 202),
            (format!("POST {EVENTS}"), &chunked, 202),
            (format!("GET {EVENTS}?limit=1"), &"\r\n".to_owned(), 200),
        ] {
            connection.send(&request(&line, &token, &format!("{offer}{rest}"))).expect("the connection is kept");
            let answer = connection.answer().unwrap_or_else(|error| panic!("{line} {offer}: {error}"));
            assert_eq!(answer.status, status, "{line} {offer}: {answer:?}");
            for name in ["connection", "upgrade"] {
                assert_eq!(answer.header(name), None, "{line} {offer}: {answer:?}");
            }
        }
    }
    let last = "Connection: Upgrade, close, HTTP2-Settings\r\nUpgrade: h2c\r\n";
    connection.send(&request(&format!("POST {EVENTS}"), &token, &format!("{last}{length}"))).expect("it reads");
    let answer = connection.answer().expect("it answers");
    assert_eq!((answer.status, answer.header("connection")), (202, Some("close")), "{answer:?}");
    assert!(connection.is_closed());
}

#[test]
fn a_post_of_http_1_0_needs_no_body() {
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let token = server.token();
    let id = accepted(&client, &event("a"));
    finished(&client, id);
    let own = format!("Authorization: Bearer {token}\r\n");
    for (address, path, status, code) in [
        (server.address(), format!("{EVENTS}/{id}/retry"), 409, Some("not_replayable")),
        (server.address(), EVENTS.to_owned(), 400, Some("invalid_json")),
        (server.dashboard_address(), "/api/pipeline/pools/claimer/restart".to_owned(), 200, None),
    ] {
        for more in ["", "Connection: close\r\n", "Connection: keep-alive\r\n", "Content-Length: 0\r\n"] {
            let (answer, _) = old(address, &format!("POST {path}"), &format!("{own}{more}"), "");
            assert_eq!(answer.status, status, "{path} {more}: {answer:?}");
            assert!(code.is_none_or(|code| answer.json()["code"] == code), "{path} {more}: {answer:?}");
        }
    }
}

#[test]
fn a_body_is_asked_for_once_everything_else_is_well() {
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let token = server.token();
    let reader = server.setup().create_token("admin@localhost", "read");
    let body = event("a").to_string();
    let length = format!("Content-Length: {}\r\n", body.len());
    let post = format!("POST {EVENTS}");
    for (what, line, token, headers, status) in [
        ("no token", post.as_str(), "", length.as_str(), 401),
        ("no scope", &post, &reader, &length, 403),
        ("nothing there", "POST /api/v1/nothing", &token, &length, 404),
        ("another method", "PUT /api/v1/events", &token, &length, 405),
        ("too long", &post, &token, "Content-Length: 10000000\r\n", 413),
        ("no media", &post, &token, &format!("Content-Type: text/plain\r\n{length}"), 415),
        ("no coding", &post, &token, &format!("Content-Encoding: x\r\n{length}"), 415),
        ("a wrong key", &post, &token, &format!("Idempotency-Key: \"\r\n{length}"), 400),
        (
            "a long batch",
            "POST /api/v1/events/batch",
            &token,
            "Content-Type: application/json\r\nContent-Length: 100000000\r\n",
            413,
        ),
        ("a long form", "POST /api/v1/tokens", &token, "Content-Length: 100000\r\n", 413),
        ("more expected", &post, &token, &format!("Expect: x\r\n{length}"), 417),
    ] {
        let mut connection = open(server.address());
        let rest = format!("Expect: 100-continue\r\n{headers}\r\n");
        connection.send(&request(line, token, &rest)).expect("it reads");
        let answer = connection.head().expect("it answers");
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{what}: {answer:?}");
    }
    let mut connection = open(server.address());
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for _ in 0..2 {
        for (headers, body) in [(length.as_str(), body.as_str()), ("Transfer-Encoding: chunked\r\n", &chunked)] {
            connection
                .send(&request(&post, &token, &format!("Expect: 100-continue\r\n{headers}\r\n")))
                .expect("it reads");
            let interim = connection.head().expect("it asks for the body");
            assert_eq!((interim.status, interim.headers.len()), (100, 0), "{interim:?}");
            connection.send(body.as_bytes()).expect("it reads");
            let answer = connection.head().expect("it answers");
            assert_eq!((answer.status, answer.header("connection")), (202, None), "{answer:?}");
            connection.body(&answer).expect("the answer is whole");
        }
    }
    // Who sends without being asked, and who is too old to be asked, gets the answer alone; so does who has it waiting.
    connection.send(&request(&post, &token, &format!("Expect: 100-continue\r\n{length}\r\n{body}"))).expect("it reads");
    assert_eq!(connection.head().expect("it answers").status, 202);
    let mut connection = open(server.address());
    let old =
        format!("POST {EVENTS} HTTP/1.0\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n{length}\r\n");
    connection.send(old.as_bytes()).expect("it reads");
    connection.send(body.as_bytes()).expect("it reads");
    assert_eq!(connection.head().expect("it answers").status, 202);
    // Behind another request the body is asked for in its turn.
    let mut connection = open(server.address());
    let first = request(&post, &token, &format!("Prefer: wait=5\r\n{length}\r\n{body}"));
    let second = request(&post, &token, &format!("Expect: 100-continue\r\n{length}\r\n"));
    connection.send(&[first, second].concat()).expect("it reads");
    assert_eq!(connection.answer().expect("the first answer").status, 200);
    assert_eq!(connection.head().expect("it asks for the body").status, 100);
    connection.send(body.as_bytes()).expect("it reads");
    assert_eq!(connection.answer().expect("the second answer").status, 202);
    assert_eq!(client.get("/health/ready").status, 200);
}

#[test]
fn where_there_is_no_room_no_body_is_asked_for() {
    let text = "pipeline = { in_flight_bytes = \"2MiB\", flush_bytes = \"1MiB\" }";
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(text));
    let token = server.token();
    let post = |headers: &str| request(&format!("POST {EVENTS}"), &token, &format!("{headers}\r\n"));
    let mut holder = open(server.address());
    holder.send(&post("Content-Length: 2000000\r\n")).expect("it reads");
    holder.send(&vec![b' '; 1_900_000]).expect("it reads");
    let expecting = post("Expect: 100-continue\r\nContent-Length: 500000\r\n");
    let refused = within(SOON, || {
        let mut connection = open(server.address());
        connection.send(&expecting).expect("it reads");
        let answer = connection.head().expect("it answers");
        (answer.status == 503).then_some(answer)
    });
    let answer = refused.expect("what was sent takes its room some day");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
}
