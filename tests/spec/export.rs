//! The export: everything once, recognisably whole or recognisably broken.

use serde_json::{Value, json};

use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::{Client, try_get};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

/// As in `src/http/bounds.rs`.
const EXPORTS_MAX: usize = 8;

fn lines(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("{EVENTS}/export?{query}"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-ndjson")), "{answer:?}");
    answer.body.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
}

fn ids(lines: &[Value]) -> Vec<i64> {
    lines.iter().filter_map(|line| line["id"].as_i64()).collect()
}

/// An export that nobody reads, and whose first bytes have come.
fn stalled(server: &mut Server) -> Connection {
    let request =
        format!("GET {EVENTS}/export HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", server.token());
    let mut connection = Connection::open(server.address()).expect("the server takes connections");
    connection.send(request.as_bytes()).expect("it reads requests");
    assert!(!connection.is_closed(), "the export begins");
    connection
}

/// So many bytes that they do not fit into what lies between server and client.
fn fill(client: &Client) {
    let page = "x".repeat(700_000);
    for _ in 0..20 {
        accepted(client, &json!({"event_name": "big", "event_type": "a", "payload": {"page": page}}));
    }
}

both_databases! {
    fn each_event_is_one_line_whatever_line_breaks_its_payload_has(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let payloads = [
            "{\n  \"page\": \"/home\",\r\n\"n\":\r1.10\n}".to_owned(),
            "{\"a\":\n{\"summary\":{\"events\":0,\"complete\":true}}\n,\"b\":\n{\"cursor\":\"x\"}\n}".to_owned(),
            "{\"a\":\"\u{2028}{\\\"id\\\":1}\u{2029}\u{85}\"}".to_owned(),
        ];
        for payload in &payloads {
            let body = format!("{{\"event_name\": \"a\u{2028}b\",\n\"event_type\": \"t\", \"payload\": {payload}}}");
            let headers = [("Content-Type", "application/json")];
            let answer = client.call("POST", EVENTS, &headers, Some(body.as_bytes()));
            assert_eq!(answer.status, 202, "{answer:?}");
        }
        let answer = client.get(&format!("{EVENTS}/export?order=asc"));
        let breaks = |c: char| matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
        let lines: Vec<Value> = answer
            .body
            .split(breaks)
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}")))
            .filter(|line: &Value| line.get("cursor").is_none())
            .collect();
        assert_eq!(lines.len(), payloads.len() + 1, "{}", answer.body);
        for (line, payload) in lines.iter().zip(&payloads) {
            let value: Value = serde_json::from_str(payload).expect("JSON");
            assert_eq!((&line["payload"], &line["properties"]["original"]), (&value, &value));
            assert_eq!(line["event_name"], "a\u{2028}b");
        }
        assert_eq!(lines.last(), Some(&json!({"summary": {"events": 3, "complete": true}})));
    }

    fn an_export_has_every_event_once_and_ends_with_a_summary(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let mut all: Vec<i64> = (0..70).map(|n| accepted(&client, &event(&format!("n{}", n % 2)))).collect();
        let exported = lines(&client, "order=asc");
        assert_eq!(ids(&exported), all);
        assert_eq!(exported.last(), Some(&json!({"summary": {"events": 70, "complete": true}})));
        let one = client.get(&format!("{EVENTS}/{}", all[0])).json();
        assert_eq!(exported[0], one, "an event is exported as it is read alone");
        let at = exported.iter().position(|line| line["cursor"].is_string()).expect("a cursor between the chunks");
        let cursor = exported[at]["cursor"].as_str().expect("a text");
        let resumed = lines(&client, &format!("order=asc&cursor={cursor}"));
        assert_eq!(ids(&exported[..at]).len() + ids(&resumed).len(), 70);
        assert_eq!([ids(&exported[..at]), ids(&resumed)].concat(), all);
        all.reverse();
        assert_eq!(ids(&lines(&client, "")), all);
        assert_eq!(ids(&lines(&client, "event_name=n0")).len(), 35);
        assert_eq!(lines(&client, "event_name=none"), [json!({"summary": {"events": 0, "complete": true}})]);
        for query in ["limit=3", "event_type=a", "cursor=1"] {
            assert_eq!(client.get(&format!("{EVENTS}/export?{query}")).status, 400, "{query}");
        }
    }

    fn readers_that_stall_hold_no_connection_and_are_bounded(database) {
        let mut server = Server::start(Setup::new(&database).with_config("database.pool = 2"));
        let client = server.client();
        fill(&client);
        let before = server.rss_bytes();
        let stalled: Vec<Connection> = (0..EXPORTS_MAX).map(|_| stalled(&mut server)).collect();
        let one_more = client.get(&format!("{EVENTS}/export"));
        assert_eq!((one_more.status, one_more.json()["code"].clone()), (503, json!("overloaded")), "{one_more:?}");
        assert_eq!(client.get(&format!("{EVENTS}?limit=1")).status, 200);
        accepted(&client, &event("meanwhile"));
        let grown = server.rss_bytes().saturating_sub(before) >> 20;
        assert!(grown < 20 * EXPORTS_MAX as u64, "{grown} MiB for {EXPORTS_MAX} exports of 28 MiB each");
        drop(stalled);
        let room = || (client.get(&format!("{EVENTS}/export?status=failed")).status == 200).then_some(());
        wait_for("room for an export", SOON, room, || server.log_tail());
    }

    fn an_export_whose_server_stops_is_cut_off(database) {
        let mut server = Server::start(&database);
        fill(&server.client());
        let mut export = stalled(&mut server);
        let dashboard = server.dashboard_address();
        server.terminate();
        let draining = || try_get(dashboard, "/health/ready").is_none_or(|answer| answer.status == 503).then_some(());
        wait_for("the drain", SOON, draining, || server.log_tail());
        let cut = export.answer();
        assert!(cut.is_err(), "{:?}", cut.map(|answer| answer.body.len()));
        assert!(server.wait_exit(SOON).success(), "{}", server.log_tail());
    }

    fn an_export_that_fails_on_the_way_is_cut_off(database) {
        let mut server = Server::start(&database);
        fill(&server.client());
        let mut export = stalled(&mut server);
        database.execute("ALTER TABLE events RENAME TO events_gone");
        let cut = export.answer();
        assert!(cut.is_err(), "{:?}", cut.map(|answer| answer.body.len()));
        let logged = || server.log().contains("an export was cut off").then_some(());
        wait_for("the line in the log", SOON, logged, || server.log_tail());
    }
}
