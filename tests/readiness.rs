//! Ready means that an event posted now would be stored: what fails is told, and so is its end, also where nobody posts.

use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::database::{Database, Kind};
use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::{Answer, Client};
use crate::support::lacks::{self, skips};
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// Waits until readiness has this status.
fn ready(client: &Client, status: u16) -> Answer {
    let ask = || client.get("/health/ready");
    let is_so = || Some(ask()).filter(|answer| answer.status == status);
    wait_for(&format!("readiness {status}"), SOON, is_so, || format!("{:?}", ask()))
}

/// Posts until an event is not stored: somebody has to meet the failure.
fn refused(client: &Client) {
    let refused = || Some(client.post_json(EVENTS, &event("a"))).filter(|answer| answer.status >= 300);
    let answer = wait_for("a refusal", SOON, refused, String::new);
    assert!(matches!(answer.status, 503 | 504), "{answer:?}");
}

#[track_caller]
fn assert_fails(answer: &Answer, what: &str) {
    let body = answer.json();
    let failing = body["failing"].as_array().and_then(|all| all.iter().find(|failing| failing["what"] == what));
    let failing = failing.unwrap_or_else(|| panic!("{what} in {body}"));
    assert!(failing["since"].as_str().is_some_and(|time| time.ends_with('Z')), "{failing}");
    assert!(failing["failures"].as_u64().is_some_and(|failures| failures > 0), "{failing}");
    assert!(failing["error"].as_str().is_some_and(|error| !error.is_empty()), "{failing}");
}

#[track_caller]
fn assert_says(answer: &Answer, words: &str) {
    let body = answer.json();
    let reasons = body["reasons"].as_array().cloned().unwrap_or_default();
    assert!(reasons.iter().filter_map(Value::as_str).any(|reason| reason.contains(words)), "{words} in {body}");
}

/// Injects a failure into system calls of a process until it is dropped.
struct Injected(Child);

impl Injected {
    fn new(pid: u32, calls: &str, when: &str) -> Self {
        let pid = pid.to_string();
        let inject = format!("inject={calls}:error=EIO{when}");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-p", &pid, "-e", &format!("trace={calls}"), "-e", &inject, "-o", "/dev/null"]);
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("strace starts"))
    }
}

impl Drop for Injected {
    fn drop(&mut self) {
        // It lets go of the process in order; killed, it might leave it stopped.
        crate::support::run::try_signal(self.0.id(), "TERM");
        let _ = self.0.wait();
    }
}

/// A trigger that lets no event in, and speaks of what is nobody's business.
fn forbid(database: &Database) {
    let statements: &[&str] = match database.kind() {
        Kind::Sqlite => {
            &["CREATE TRIGGER forbidden BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'secret words'); END"]
        }
        Kind::Postgres => &[
            "CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''secret words''; END'",
            "CREATE TRIGGER forbidden BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION forbid()",
        ],
    };
    for statement in statements {
        database.execute(statement);
    }
}

fn allow(database: &Database) {
    database.execute(match database.kind() {
        Kind::Sqlite => "DROP TRIGGER forbidden",
        Kind::Postgres => "DROP TRIGGER forbidden ON events",
    });
}

both_databases! {
    fn a_database_that_refuses_every_event_is_told_and_so_is_the_end_of_it_to_whoever_does_not_post(database) {
        let mut server = Server::start(Setup::new(&database).with_config("spool.enabled = false"));
        let client = server.client();
        accepted(&client, &event("a"));
        assert!(ready(&client, 200).json().get("failing").is_none());
        forbid(&database);
        refused(&client);
        let answer = ready(&client, 503);
        assert_fails(&answer, "writing events");
        assert_says(&answer, "writing events fails");
        assert!(!answer.body.contains("secret"), "the database's own words are for the log: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        allow(&database);
        assert!(ready(&client, 200).json().get("failing").is_none(), "nobody posted meanwhile");
        accepted(&client, &event("a"));
        let kept = database.texts("SELECT CAST(COUNT(*) AS TEXT) FROM events WHERE event_name = 'probe'");
        assert_eq!(kept, ["0"], "nothing of a probe is kept");
        assert_eq!(database.texts("SELECT CAST(COUNT(*) AS TEXT) FROM dedupe_keys"), ["0"]);
    }
}

#[test]
fn a_column_that_nobody_fills_is_told() {
    let database = Database::postgres();
    let mut server = Server::start(Setup::new(&database).with_config("spool.enabled = false"));
    let client = server.client();
    database.execute("ALTER TABLE events ADD COLUMN extra int NOT NULL");
    refused(&client);
    assert_fails(&ready(&client, 503), "writing events");
    database.execute("ALTER TABLE events DROP COLUMN extra");
    ready(&client, 200);
    accepted(&client, &event("a"));
}

#[test]
fn a_node_whose_spool_takes_what_the_database_refuses_is_ready_and_says_what_fails() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    forbid(&database);
    let spooled = || {
        let answer = client.post_json(EVENTS, &event("a"));
        (answer.status == 202 && answer.json()["durability"] == "spool").then_some(())
    };
    wait_for("a spooled event", SOON, spooled, || server.log());
    let answer = client.get("/health/ready");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_fails(&answer, "writing events");
    allow(&database);
}

#[test]
fn a_disk_that_fails_now_and_then_is_told_until_it_works() {
    if skips(&[lacks::root_with(&["strace"])]) {
        return;
    }
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let injected = Injected::new(server.pid(), "pwrite64", ":when=7+7");
    refused(&client);
    assert_fails(&ready(&client, 503), "writing events");
    drop(injected);
    ready(&client, 200);
    accepted(&client, &event("a"));
}

#[test]
fn a_spool_that_cannot_be_synced_is_told_while_the_database_is_away() {
    if skips(&[lacks::root_with(&["strace"])]) {
        return;
    }
    let cluster = Cluster::start();
    let mut server = Server::start(&Database::at(cluster.fresh_database()));
    let client = server.client();
    accepted(&client, &event("a"));
    cluster.stop_immediate();
    let injected = Injected::new(server.pid(), "fsync,fdatasync", "");
    refused(&client);
    let answer = ready(&client, 503);
    assert_fails(&answer, "spooling events");
    drop(injected);
    ready(&client, 200);
    let answer = client.post_json(EVENTS, &event("a"));
    assert_eq!((answer.status, &answer.json()["durability"]), (202, &Value::from("spool")), "{answer:?}");
}
