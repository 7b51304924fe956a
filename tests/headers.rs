//! What headers mean: lists, preferences, keys, and those that must not repeat.

use crate::support::database::Database;
use crate::support::events::{EVENTS, event};
use crate::support::http::{Answer, Client};
use crate::support::server::Server;
use crate::support::wire::Connection;

/// POST of an event with these header lines, byte for byte; each ends with a line break.
fn post_raw(server: &mut Server, lines: &[u8]) -> Answer {
    let token = server.token();
    let body = event("raw").to_string();
    let head = format!(
        "POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n",
        body.len()
    );
    let mut connection = Connection::open(server.address()).expect("the server takes connections");
    connection.send(&[head.as_bytes(), lines, b"\r\n", body.as_bytes()].concat()).expect("it reads");
    connection.answer().expect("it answers")
}

/// POST of an event with this header beside its media type.
fn post_with(client: &Client, name: &str, value: &str) -> Answer {
    let headers = [("Content-Type", "application/json"), (name, value)];
    client.call("POST", EVENTS, &headers, Some(event("a").to_string().as_bytes()))
}

#[test]
fn a_preference_that_cannot_be_met_is_limited_or_ignored() {
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let heeded = |answer: &Answer| (answer.status, answer.header("preference-applied").map(str::to_owned));
    for ignored in [
        "wait=-1",
        "wait=abc",
        "wait=1.5",
        "wait=",
        "wait=1.5, wait=9",
        "return=minimal",
        "handling=lenient",
        "respond-async",
        "respond-async; wait=1",
        "odata.maxpagesize=\"5, wait=99\"",
    ] {
        assert_eq!(heeded(&post_with(&client, "Prefer", ignored)), (202, None), "{ignored}");
    }
    for limited in ["wait=61", "respond-async, wait=120", "WAIT=\"99999999999999999999\"; x=y", ",wait=60,"] {
        let answer = post_with(&client, "Prefer", limited);
        assert_eq!(heeded(&answer), (200, Some("wait=60".to_owned())), "{limited}");
    }
    let repeated = post_raw(&mut server, b"Prefer: x\r\nPrefer: y=\"\xe4\"\r\nPrefer: wait=7\r\nPrefer: wait=8\r\n");
    assert_eq!(heeded(&repeated), (200, Some("wait=7".to_owned())));
}

#[test]
fn empty_elements_of_accept_and_its_like_say_nothing() {
    let server = Server::start(&Database::sqlite());
    let address = server.address();
    let coded = |value: &str| {
        let request = format!("GET /problems HTTP/1.1\r\nHost: test\r\nAccept-Encoding: {value}\r\n\r\n");
        let mut connection = Connection::open(address).expect("the server takes connections");
        connection.send(request.as_bytes()).expect("it reads");
        connection.answer().expect("it answers").header("content-encoding").map(str::to_owned)
    };
    for (value, coding) in [("", None), (",", None), (",gzip", Some("gzip")), ("br;q=0.1,,", Some("br"))] {
        assert_eq!(coded(value).as_deref(), coding, "{value:?}");
    }
    for (value, kind) in [("", "application/json"), (",text/html,", "text/html; charset=utf-8")] {
        let index = server.dashboard().call("GET", "/", &[("Accept", value)], None);
        assert_eq!(index.header("content-type"), Some(kind), "{value:?}");
    }
    let tag = server.dashboard().get("/assets/app.js").header("etag").expect("a tag").to_owned();
    for (value, status) in [("", 200), (",\"x\",", 200), (&format!(",{tag},"), 304), (&tag[2..], 304), ("*", 304)] {
        let answer = server.dashboard().call("GET", "/assets/app.js", &[("If-None-Match", value)], None);
        assert_eq!(answer.status, status, "{value:?}");
    }
}
