//! The harness is tested before it is believed.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::database::{Database, Kind};
use super::http::{Client, raw};
use super::ledger::{Entry, Ledger, State};
use super::load::{Load, Plan};
use super::postgres::Cluster;
use super::proxy::{Proxy, Way};
use super::run::{self, lock};
use super::server::{Ports, Server, Setup};
use super::wait::{SOON, wait_for, within};
use super::wire::Connection;

both_databases! {
    fn a_fresh_database_is_empty_and_takes_statements(database) {
        database.execute("CREATE TABLE notes (text VARCHAR(10))");
        assert_eq!(database.execute("INSERT INTO notes VALUES ('a'), ('b')"), 2);
        assert_eq!(database.texts("SELECT text FROM notes ORDER BY text"), ["a", "b"]);
        let scheme = match database.kind() {
            Kind::Sqlite => "sqlite://",
            Kind::Postgres => "postgres://",
        };
        assert!(database.url().starts_with(scheme), "{}", database.url());
    }
}

#[test]
fn the_private_cluster_starts_and_gives_fresh_databases() {
    let one = Database::postgres();
    let two = Database::postgres();
    assert_ne!(one.url(), two.url());
    let durable =
        Cluster::shared().sql("postgres", "SELECT current_setting('fsync') || current_setting('synchronous_commit')");
    assert_eq!(durable.trim(), "onon");
}

#[test]
fn a_cluster_of_its_own_keeps_committed_rows_through_kill_and_stop() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    database.execute("CREATE TABLE notes (text VARCHAR(10))");
    for (text, end) in [("kill", Cluster::kill_postmaster as fn(&Cluster)), ("stop", Cluster::stop_immediate)] {
        database.execute(&format!("INSERT INTO notes VALUES ('{text}')"));
        let pid = cluster.pid();
        end(&cluster);
        assert!(!run::is_alive(pid), "the postmaster is gone");
        cluster.start_again();
    }
    assert_eq!(database.texts("SELECT text FROM notes ORDER BY text"), ["kill", "stop"]);
}

#[test]
fn waiting_in_vain_panics_with_the_state() {
    let wait = || wait_for("rain", Duration::from_millis(20), || None::<()>, || "the sky is blue".to_owned());
    let text = *catch_unwind(wait).expect_err("no rain").downcast::<String>().expect("a text");
    assert!(text.contains("rain") && text.contains("the sky is blue"), "{text}");
}

/// A program that keeps the binary's contract: ready file, first token, log, SIGTERM.
fn stand_in() -> PathBuf {
    let script = r#"#!/bin/sh
data=$(sed -n 's/^data_dir = "\(.*\)"/\1/p' "$2")
echo "started as $3 with ${EVENT_MAX_RETRIES:-no} foreign settings" >&2
grep -q 'name = "broken"' "$2" && echo "node.name: broken" >&2 && exit 2
[ -e "$data/first-token" ] || echo gm_stand_in > "$data/first-token"
echo '{"http":"127.0.0.1:9","dashboard":"127.0.0.1:10","pid":'$$'}' > "$data/new" && mv "$data/new" "$data/ports.json"
trap 'exit 0' TERM
while :; do sleep 0.05; done
"#;
    let file = run::folder("stand-in").join("gristmill");
    fs::write(&file, script).expect("the folder is ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    file
}

#[test]
fn a_server_is_started_killed_restarted_and_stopped_on_the_same_data() {
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_program(stand_in()));
    assert_eq!(server.database().kind(), Kind::Sqlite);
    let first = server.pid();
    assert_eq!(server.token(), "gm_stand_in");
    assert_eq!(server.url("/x"), "http://127.0.0.1:9/x");
    assert_eq!(server.ports().dashboard().map(|address| address.port()), Some(10));
    assert_eq!(server.client().base(), "http://127.0.0.1:9");
    assert!(server.rss_bytes() > 10_000, "{} bytes", server.rss_bytes());

    server.kill9();
    assert!(!run::is_alive(first), "the killed server is gone");
    assert_eq!(server.ports().http(), None);
    server.restart();
    assert_ne!(server.pid(), first);
    assert!(server.data().join("first-token").exists(), "the data is the same");

    server.terminate();
    assert_eq!(server.wait_exit(SOON).code(), Some(0));
    let seen = || (server.log().matches("started as serve with no foreign").count() == 2).then_some(());
    wait_for("both starts in the log", SOON, seen, || server.log());
}

#[test]
fn a_server_that_refuses_to_start_shows_its_log() {
    let setup = Setup::new(&Database::sqlite()).with_program(stand_in()).with_config("[node]\nname = \"broken\"");
    let mut server = Server::not_started(setup.clone());
    server.spawn();
    assert_eq!(server.wait_exit(SOON).code(), Some(2));
    assert_eq!(server.setup().command(&["config", "check"]).status.code(), Some(2));
    let text = *catch_unwind(AssertUnwindSafe(|| Server::start(setup)))
        .expect_err("refused")
        .downcast::<String>()
        .expect("a text");
    assert!(text.contains("exit status: 2"), "{text}");
}

/// A service in a thread: remembers keys, and loses the answer of every tenth event it stores.
fn forgetful_service(database: &Database) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let database = database.clone();
    database.execute("CREATE TABLE events (id INTEGER, event_uid TEXT, status TEXT)");
    let events = Arc::new(Mutex::new(HashMap::new()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let events = Arc::clone(&events);
            let database = database.clone();
            std::thread::spawn(move || serve(stream, &events, &database));
        }
    });
    address
}

fn serve(stream: TcpStream, events: &Mutex<HashMap<String, usize>>, database: &Database) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (first, body) = read_request(&mut reader)?;
        let mut events = lock(events);
        let answer = if first.starts_with("GET") {
            let id: usize = first.split(['/', ' ']).filter_map(|part| part.parse().ok()).next()?;
            let key = events.iter().find(|(_, known)| **known == id)?.0;
            format!(r#"{{"id":{id},"status":"processed","event_uid":"{key}"}}"#)
        } else {
            let event: serde_json::Value = serde_json::from_str(&body).ok()?;
            let key = event["event_uid"].as_str()?.to_owned();
            let next = events.len() + 1;
            let duplicate = events.contains_key(&key);
            let id = *events.entry(key.clone()).or_insert(next);
            if !duplicate {
                database.execute(&format!("INSERT INTO events VALUES ({id}, '{key}', 'processed')"));
                if id.is_multiple_of(10) {
                    return None;
                }
            }
            format!(r#"{{"event_id":{id},"duplicate":{duplicate}}}"#)
        };
        drop(events);
        let length = answer.len();
        let head = format!("HTTP/1.1 200 OK\r\nX-Request-Id: 7\r\nContent-Length: {length}\r\n\r\n");
        // In one piece: the second small write would wait for the first one's acknowledgement.
        reader.get_mut().write_all((head + &answer).as_bytes()).ok()?;
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_ascii_lowercase().replace("get /", "GET /"));
    }
    let length = head.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head.swap_remove(0), String::from_utf8(body).ok()?))
}

#[test]
fn the_ledger_holds_a_forgetful_service_to_its_word() {
    let database = Database::sqlite();
    let address = forgetful_service(&database);
    let ports = Ports::default();
    let load = Load::start(ports.clone(), "gm_any", 3);
    ports.set(Some((address, address)));
    wait_for("40 acknowledged events", SOON, || (load.acknowledged() >= 40).then_some(()), || format!("{load:?}"));
    let ledger = load.stop();
    let (acknowledged, rejected, unknown) = ledger.counts();
    assert!(acknowledged >= 40 && rejected == 0 && unknown >= 4, "{:?}", ledger.counts());

    let client = Client::new(address, Some("gm_any"));
    ledger.verify(&client, &database);
    let verdict = |ledger: &Ledger| catch_unwind(AssertUnwindSafe(|| ledger.verify(&client, &database)));
    let acknowledged = |entry: &&Entry| matches!(entry.state, State::Acknowledged(_));
    let entry = ledger.entries().iter().find(acknowledged).expect("there are forty").clone();
    let rejected = Entry { state: State::Rejected(503), ..entry.clone() };
    verdict(&Ledger::new(vec![rejected])).expect_err("a refused event is stored");
    let again = Entry { key: "other".to_owned(), ..entry.clone() };
    verdict(&Ledger::new(vec![entry.clone(), again])).expect_err("two keys have one id");
    database.execute(&format!("INSERT INTO events VALUES (0, '{}', 'processed')", entry.key));
    verdict(&ledger).expect_err("a key has two rows");
    database.execute(&format!("DELETE FROM events WHERE event_uid = '{}'", entry.key));
    verdict(&ledger).expect_err("an acknowledged row is lost");
}

#[test]
fn a_load_keeps_its_rate_and_turns_to_the_server_that_is_there() {
    let address = forgetful_service(&Database::sqlite());
    let away = Ports::default();
    let there = Ports::default();
    there.set(Some((address, address)));
    let plan = Plan::new(away, "gm_any", 4).and_to(there).at_rate(40).with_deadline(SOON);
    let load = Load::of(plan);
    wait_for("30 acknowledged events", SOON, || (load.acknowledged() >= 30).then_some(()), || format!("{load:?}"));
    let ledger = load.stop();
    let last = ledger.entries().iter().map(|entry| entry.sent_after).max().expect("there are thirty");
    assert!(last >= Duration::from_millis(500), "a rate of 40 was not kept: {last:?}");
    assert!(ledger.entries().iter().all(|entry| entry.took < SOON && entry.is_keyed), "{ledger:?}");
}

/// Answers every connection with these bytes, then closes it.
fn canned(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // The request is read first: closing over unread bytes resets the connection.
            let mut request = [0; 4096];
            let read = stream.read(&mut request);
            read.and_then(|_| stream.write_all(answer.as_bytes())).expect("the test reads");
        }
    });
    address
}

#[test]
fn answers_are_read_by_length_by_chunks_and_to_the_end() {
    let pipelined = canned(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nA: b\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 404 \r\n\r\nend",
    );
    let mut connection = Connection::open(pipelined).expect("it listens");
    connection.send(b"any").expect("it reads");
    connection.finish().expect("the connection is open");
    let first = connection.answer().expect("the first answer");
    assert_eq!((first.status, first.header("a"), first.json()), (202, Some("b"), serde_json::json!({})));
    let second = connection.answer().expect("the second answer");
    assert_eq!((second.status, second.body.as_str()), (404, "end"));
    assert!(connection.is_closed());

    let chunked = canned(
        "HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n",
    );
    assert_eq!(raw(chunked, b"\x16\x03").body, "abc");
    let client = Client::new(chunked, None);
    let answer = client.post_json("/", &serde_json::json!({ "a": 1 }));
    assert_eq!((answer.status, answer.body.as_str()), (422, "abc"));
    assert_eq!(client.call("DELETE", "/", &[("X-Any", "1")], None).status, 422);
    assert!(within(Duration::ZERO, || Some(())).is_some());
}

#[test]
fn the_proxy_passes_delays_swallows_refuses_and_resets() {
    let cluster = Cluster::shared();
    let (proxy, _) = Proxy::in_front_of(&cluster.url("postgres"));
    // A packet that asks for TLS; the answer is one letter.
    let asked = || {
        let mut stream = TcpStream::connect(proxy.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(300))).ok()?;
        stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).ok()?;
        Some((stream.read_exact(&mut [0]).map_err(|error| error.kind()), stream))
    };
    let answer = || asked().map(|(answer, _)| answer);
    assert_eq!(answer(), Some(Ok(())));
    proxy.set(Way::Delay(Duration::from_millis(20)));
    assert_eq!(answer(), Some(Ok(())));
    proxy.set(Way::Swallow);
    assert_eq!(answer(), Some(Err(ErrorKind::WouldBlock)));
    proxy.refuse();
    assert!(answer().is_none_or(|answer| answer.is_err_and(|kind| kind != ErrorKind::WouldBlock)));
    proxy.restore();
    let (answered, mut open) = asked().expect("it passes again");
    assert_eq!(answered, Ok(()));
    proxy.reset();
    let end = wait_for(
        "the reset",
        SOON,
        || open.read(&mut [0]).err().filter(|error| error.kind() != ErrorKind::WouldBlock),
        String::new,
    );
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}
