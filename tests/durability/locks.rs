//! Rule 4 under a lock on a whole table, which is in the way of every event: as good as an outage. A lock on one key or
//! one row is in the way of one event.

use super::lost_answers::assert_not_stored;
use super::{Session, await_lines, execute, finished, id_of, number, post, warm_up};
use crate::support::database::Database;
use crate::support::http::{Answer, Client};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// The tables that a flush writes into, each with a lock that an operator's command takes.
const LOCKS: [(&str, &str); 5] = [
    ("flushes", "SHARE"),
    ("events", "SHARE"),
    ("events_p0", "SHARE ROW EXCLUSIVE"),
    ("dedupe_keys", "SHARE"),
    ("flushes", "ACCESS EXCLUSIVE"),
];

const FAILS: &str = "writing events fails";
const WORKS: &str = "writing events works again";

fn is_spooled(answer: &Answer) -> bool {
    answer.status == 202 && answer.json()["durability"] == "spool"
}

/// Posts until an event goes into the database.
fn await_database(client: &Client, uid: &str, server: &Server) {
    let direct = || Some(post(client, "after", uid)).filter(|answer| answer.json()["durability"] == "database");
    wait_for("an event in the database", SOON, direct, || server.log());
}

// Guards `Kind::Locked if self.writer.is_table_locked()` in `Round::write`, and that the short way does not wait for the
// lock a second time.
#[test]
fn under_a_lock_on_a_table_events_are_spooled_and_later_ones_do_not_meet_it() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    warm_up(&client, &database);
    for (round, (table, mode)) in (1..).zip(LOCKS) {
        // The keys concern only events that have one.
        let uid = |n: usize| {
            if table == "dedupe_keys" || n.is_multiple_of(2) { format!("{round}-{n}") } else { String::new() }
        };
        let lock = Session::begin(&database, &format!("LOCK TABLE {table} IN {mode} MODE"));
        let ids: Vec<i64> = (0..20)
            .map(|n| {
                let answer = post(&client, "meanwhile", &uid(n));
                assert!(is_spooled(&answer), "{table} in {mode}: {answer:?}\n{}", server.log_tail());
                id_of(&answer)
            })
            .collect();
        // Every one that met the lock would have had its own wait.
        await_lines(&server, FAILS, round);
        lock.commit();
        for id in ids {
            assert_eq!(finished(&client, id)["status"], "processed");
        }
        await_database(&client, "", &server);
        await_lines(&server, WORKS, round);
    }
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE attempts <> 1"), 0, "a lock was charged");
}

both_databases! {
    // Guards `Persister::give_up_late`, and that nothing that was refused its lock is of unknown outcome. On SQLite
    // another process that writes is such a lock.
    fn without_a_spool_a_lock_is_a_certain_refusal(database) {
        let config = "spool.enabled = false\ntimeouts = { accept = \"20s\", flush = \"1s\" }";
        let mut server = Server::start(Setup::new(&database).with_config(config));
        let client = server.client();
        warm_up(&client, &database);
        let before = number(&database, "SELECT COUNT(*) FROM events");
        let lock = Session::begin(
            &database,
            if database.url().starts_with("sqlite") { "SELECT 1" } else { "LOCK TABLE flushes IN SHARE MODE" },
        );
        for uid in ["", "key", ""] {
            let answer = post(&client, "meanwhile", uid);
            assert_not_stored(&answer);
        }
        await_lines(&server, FAILS, 1);
        let ready = client.get("/health/ready");
        assert!(ready.status == 503 && ready.body.contains("writing events"), "{ready:?}");
        lock.commit();
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), before);
        await_database(&client, "key", &server);
        await_lines(&server, WORKS, 1);
    }
}

// Guards the same line of `Round::write`: a key that is held is not the lock of a table.
#[test]
fn a_key_that_is_held_begins_no_outage() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    let first = id_of(&post(&client, "held", "held-key"));
    // Expired and locked: whoever takes the key must wait for the lock.
    execute(&database, "UPDATE dedupe_keys SET created_at = created_at - interval '8 days'");
    let session = Session::begin(&database, "SELECT * FROM dedupe_keys WHERE key = 'held-key' FOR UPDATE");
    let token = server.token();
    let address = server.address();
    let held = std::thread::spawn(move || post(&Client::new(address, Some(&token)), "held", "held-key"));
    super::await_in_flight(&server, 1);
    for n in 0..5 {
        let answer = post(&client, "neighbour", &format!("key-{n}"));
        assert_eq!(answer.json()["durability"], "database", "{answer:?}\n{}", server.log());
    }
    assert!(!server.log().contains(FAILS), "one key is no outage\n{}", server.log());
    // Its own answer may be the spool by now, but it is an answer.
    session.commit();
    let second = id_of(&held.join().expect("the locked one gets an answer"));
    assert_ne!(finished(&client, second)["id"], first, "its key was free again");
}
