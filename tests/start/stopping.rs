//! How the service is told to stop, and what clients get that are connected meanwhile.

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished, with_payload};
use crate::support::http::Client;
use crate::support::run::signal;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::{Answer, Connection};

/// A whole POST of an event.
fn post(server: &mut Server) -> String {
    let body = event("page_view").to_string();
    format!("{}{body}", head_of_post(server, body.len()))
}

fn head_of_post(server: &mut Server, length: usize) -> String {
    let token = server.token();
    format!(
        "POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n"
    )
}

fn connect(server: &Server) -> Connection {
    Connection::open(server.address()).expect("the server takes connections")
}

fn answer(connection: &mut Connection) -> Answer {
    connection.answer().expect("the request is answered")
}

#[track_caller]
fn assert_last(answer: &Answer, status: u16) {
    assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{answer:?}");
}

/// Tells the server to stop, and waits until it says so.
fn stop(server: &mut Server, name: &str) {
    let dashboard = server.dashboard();
    signal(server.pid(), name);
    let is_stopping = || {
        let ready = dashboard.get("/health/ready");
        (ready.status == 503).then_some(ready)
    };
    let ready = wait_for("a server that is not ready", SOON, is_stopping, || server.log());
    assert_last(&ready, 503);
}

/// A client that has begun a request before the stop, and so holds it up.
fn begun(server: &mut Server) -> (Connection, String) {
    let mut connection = connect(server);
    let body = event("page_view").to_string();
    let (first, rest) = body.split_at(1);
    let head = head_of_post(server, body.len());
    connection.send(format!("{head}{first}").as_bytes()).expect("the server reads");
    // Requests are taken in the order in which connections came.
    assert_eq!(server.client().get("/health/live").status, 200);
    (connection, rest.to_owned())
}

both_databases! {
    fn what_comes_on_kept_and_new_connections_during_a_stop_is_answered_as_the_last(database) {
        let mut server = Server::start(&database);
        let request = post(&mut server);
        let mut kept: Vec<Connection> = (0..8).map(|_| connect(&server)).collect();
        for connection in &mut kept {
            connection.send(request.as_bytes()).expect("the server reads");
            let before = answer(connection);
            assert_eq!((before.status, before.header("connection")), (202, None), "{before:?}");
        }
        let (mut slow, rest) = begun(&mut server);
        stop(&mut server, "TERM");
        let mut ids = Vec::new();
        kept.extend((0..3).map(|_| connect(&server)));
        for connection in &mut kept {
            connection.send(request.as_bytes()).expect("the server reads");
            let last = answer(connection);
            assert_last(&last, 202);
            ids.push(last.json()["event_id"].as_i64().expect("an id"));
            assert!(connection.is_closed(), "it was the last answer");
        }
        let mut pipelined = connect(&server);
        pipelined.send(request.repeat(3).as_bytes()).expect("the server reads");
        assert_last(&answer(&mut pipelined), 202);
        while let Ok(refused) = pipelined.answer() {
            assert_last(&refused, 503);
        }
        let nothing = &Client::new(server.address(), None).get("/nothing");
        assert_last(nothing, 404);
        slow.send(rest.as_bytes()).expect("the server reads");
        assert_last(&answer(&mut slow), 202);
        assert_eq!(server.wait_exit(SOON).code(), Some(0), "{}", server.log());
        server.restart();
        for id in ids {
            assert_eq!(finished(&server.client(), id)["status"], "processed");
        }
        // Eight before the stop, eleven on their connections during it, the first of the pipelined and the slow one.
        assert_eq!(database.texts("SELECT CAST(id AS TEXT) FROM events").len(), 8 + 11 + 1 + 1);
    }
}

#[test]
fn every_signal_that_asks_for_the_end_gets_a_drain() {
    let mut server = Server::start(&Database::sqlite());
    for name in ["TERM", "INT", "HUP", "QUIT"] {
        let (mut slow, rest) = begun(&mut server);
        stop(&mut server, name);
        slow.send(rest.as_bytes()).expect("the server reads");
        assert_last(&answer(&mut slow), 202);
        assert_eq!(server.wait_exit(SOON).code(), Some(0), "SIG{name}: {}", server.log());
        assert!(server.log().contains(&format!("draining why=SIG{name}")), "{}", server.log());
        server.restart();
    }
}

#[test]
fn a_terminal_that_hangs_up_twice_cuts_nobody_off() {
    let mut server = Server::start(&Database::sqlite());
    let (mut slow, rest) = begun(&mut server);
    stop(&mut server, "HUP");
    signal(server.pid(), "HUP");
    slow.send(rest.as_bytes()).expect("the server reads");
    assert_last(&answer(&mut slow), 202);
    assert_eq!(server.wait_exit(SOON).code(), Some(0), "{}", server.log());
}

#[test]
fn signals_without_a_meaning_do_nothing() {
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_wrapper(["nohup"]));
    let client = server.client();
    for name in ["USR1", "USR2", "PIPE", "XFSZ", "HUP"] {
        signal(server.pid(), name);
        accepted(&client, &event("page_view"));
        assert_eq!(client.get("/health/ready").status, 200, "SIG{name}");
    }
    server.terminate();
    assert_eq!(server.wait_exit(SOON).code(), Some(0), "{}", server.log());
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_and_no_death() {
    // In blocks of 512 or 1,024 bytes, as the shell has it.
    let wrapper = ["sh", "-c", "ulimit -f 4096; exec \"$@\"", "sh"];
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_wrapper(wrapper));
    let client = server.client();
    let pid = server.pid();
    let heavy = with_payload(&serde_json::json!({"page": "x".repeat(500_000)}));
    let refused = || Some(client.post_json(EVENTS, &heavy)).filter(|answer| answer.status != 202);
    let refused = wait_for("an event that finds no room", SOON, refused, || server.log());
    assert!(matches!(refused.status, 503 | 504), "{refused:?}");
    assert_eq!((client.get("/health/live").status, server.pid()), (200, pid));
}
