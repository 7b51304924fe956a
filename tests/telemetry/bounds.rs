//! Labels are bounded, whatever clients send.

use serde_json::{Value, json};

use super::scrape;
use crate::support::database::Database;
use crate::support::http::Client;
use crate::support::server::Server;
use crate::support::wire::Connection;

/// Events in one batch.
const BATCH: usize = 1_000;

/// Stands in everything that a hostile client sends.
const MARK: &str = "hostile";

/// Sends `count` requests for paths that there are not, in one connection; with methods that there are not.
fn ask_for_paths(server: &Server, token: &str, count: usize) {
    let mut connection = Connection::open(server.address()).expect("the server takes connections");
    for n in 0..count {
        let (method, path) = match n % 5 {
            0 => ("GET".to_owned(), format!("/{MARK}/{n}")),
            1 => ("GET".to_owned(), format!("/api/v1/events/{MARK}-{n}")),
            2 => (format!("M{n}"), format!("/api/v1/{MARK}-{n}")),
            3 => (format!("M{n}"), "/api/v1/events".to_owned()),
            _ => ("GET".to_owned(), format!("/problems/{MARK}%22%7D-{n}?a={n}")),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {MARK}-{n}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        );
        connection.send(request.as_bytes()).expect("it takes requests");
        let answer = connection.answer().expect("it answers");
        assert!([400, 404, 405].contains(&answer.status), "{method} {path}: {answer:?}");
    }
}

/// Posts `count` events, each with a name and a type of its own; every tenth is invalid.
fn post_names(client: &Client, count: usize) {
    for first in (0..count).step_by(BATCH) {
        let event = |n: usize| {
            let payload = if n.is_multiple_of(10) { json!([]) } else { json!({"page": "/"}) };
            json!({"event_name": format!("{MARK}-{n}"), "event_type": format!("{MARK}\"}} {n}\n"), "payload": payload})
        };
        let batch: Vec<Value> = (first..count.min(first + BATCH)).map(event).collect();
        let answer = client.post_json("/api/v1/events/batch", &batch.into());
        assert_eq!(answer.status, 207, "{answer:?}");
    }
}

// Guards `Route` and `Family`: neither has a place for a text of a client.
#[test]
fn ten_thousand_paths_methods_names_and_types_make_no_series() {
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let token = server.token();
    // Each kind of request and event once: these do have series.
    ask_for_paths(&server, &token, 10);
    post_names(&client, 20);
    scrape(&server);
    let before = scrape(&server);
    ask_for_paths(&server, &token, 10_000);
    post_names(&client, 10_000);
    let after = scrape(&server);
    assert_eq!(before.series(), after.series());
    assert!(!after.text.contains(MARK), "a client's text is on the page");
    let route =
        |page: &super::Page, route: &str| page.sum(&format!("gristmill_http_requests_total{{route=\"{route}\""));
    assert_eq!(route(&after, "unknown") - route(&before, "unknown"), 4_000, "two of five paths lead nowhere");
    let refused = "gristmill_events_total{outcome=\"validation_error\",code=\"payload_not_object\"}";
    assert_eq!(after.figure(refused) - before.figure(refused), 998, "two were refused before: they are repeats");
}
