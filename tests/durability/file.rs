//! Rule 6: one synced file with one writer, and never another file in its place.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gristmill::store::begin_write;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;

use super::Session;
use super::{WAIT, number, post, posted, with_store};
use crate::support::database::Database;
use crate::support::events::{EVENTS, with_payload};
use crate::support::http::Client;
use crate::support::machine::unlocks::{Lock, Unlocks};
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for, within};

fn path(database: &Database) -> PathBuf {
    database.url().strip_prefix("sqlite://").expect("a SQLite database").into()
}

// Guards `.journal_mode(Wal).synchronous(Full)` in `store/sqlite.rs`.
#[test]
fn a_commit_waits_for_the_disk() {
    with_store(&Database::sqlite(), async |store| {
        let settings = store.run("read the settings", WAIT, |conn| async move {
            let mut settings = Vec::new();
            for pragma in ["PRAGMA journal_mode", "PRAGMA synchronous"] {
                let statement = Statement::from_string(conn.backend(), pragma);
                let row = conn.write().query_one_raw(statement).await?.expect("a setting");
                let number = row.try_get_by_index::<i64>(0).map(|number| number.to_string());
                settings.push(number.or_else(|_| row.try_get_by_index::<String>(0))?);
            }
            Ok(settings)
        });
        assert_eq!(settings.await.expect("the settings"), ["wal", "2"]);
    });
}

// Guards `SqliteTransactionMode::Immediate` in `begin_immediate`: a deferred one fails when it comes to write.
#[test]
fn a_transaction_that_writes_holds_the_lock_from_its_beginning() {
    let database = Database::sqlite();
    with_store(&database, async |store| {
        let file = database.clone();
        let second = store.run("begin", WAIT, move |conn| async move {
            let tx = begin_write(&conn).await?;
            let second = super::aside(|| Session::try_begin(&file, "SELECT 1").map(drop));
            tx.rollback().await?;
            Ok(second.map_err(|error| error.to_string()))
        });
        let error = second.await.expect("the transaction begins").expect_err("the lock is held");
        assert!(error.contains("locked"), "{error}");
    });
}

/// Moves the database with its log away.
fn move_away(database: &Database) -> PathBuf {
    let file = path(database);
    let away = file.with_file_name("away.db");
    for suffix in ["-wal", "-shm", ""] {
        let of = |path: &PathBuf| PathBuf::from(format!("{}{suffix}", path.display()));
        if of(&file).exists() {
            fs::rename(of(&file), of(&away)).expect("the folder is ours");
        }
    }
    away
}

fn await_not_ready(client: &Client, server: &Server) -> String {
    let ready = || client.get("/health/ready");
    wait_for(
        "the server to be not ready",
        SOON,
        || Some(ready()).filter(|answer| answer.status == 503),
        || server.log(),
    )
    .body
}

fn assert_nothing_is_acknowledged(client: &Client, server: &Server) {
    for uid in ["", "key"] {
        let answer = post(client, "into_the_void", uid);
        assert_eq!((answer.status, &answer.json()["retryable"]), (503, &true.into()), "{answer:?}\n{}", server.log());
    }
}

// Guards `check_file` in `Node::run_once` (readiness, the log) and in `Store::flush` (no acknowledgement).
#[test]
fn nothing_is_acknowledged_once_the_file_is_moved_away_and_no_other_is_made() {
    let database = Database::sqlite();
    let setup = Setup::new(&database);
    let mut server = Server::start(setup.with_config("timeouts = { accept = \"2s\", flush = \"1s\" }"));
    let client = server.client();
    posted(&client, "before");
    let away = move_away(&database);
    assert_nothing_is_acknowledged(&client, &server);
    let reasons = await_not_ready(&client, &server);
    assert!(reasons.contains("gristmill.db"), "{reasons}");
    assert!(server.log().contains("gristmill.db"), "{}", server.log());
    assert_nothing_is_acknowledged(&client, &server);
    assert!(!path(&database).exists(), "a new file was made");

    server.kill9();
    server.spawn();
    assert!(!server.wait_exit(SOON).success());
    assert!(server.log().contains("is missing although"), "{}", server.log());
    assert!(!path(&database).exists(), "a new file was made");

    fs::rename(&away, path(&database)).expect("the folder is ours");
    let log = |path: &PathBuf| PathBuf::from(format!("{}-wal", path.display()));
    if log(&away).exists() {
        fs::rename(log(&away), log(&path(&database))).expect("the folder is ours");
    }
    server.restart();
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE event_name = 'before'"), 1);
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 1, "what was refused is not stored");
}

// Guards the comparison of inodes in `FileId::check`.
#[test]
fn nothing_is_acknowledged_once_another_file_is_in_its_place() {
    let database = Database::sqlite();
    let setup = Setup::new(&database);
    let mut server = Server::start(setup.with_config("timeouts = { accept = \"2s\", flush = \"1s\" }"));
    let client = server.client();
    posted(&client, "before");
    let copy = path(&database).with_file_name("copy.db");
    fs::copy(path(&database), &copy).expect("the folder is ours");
    fs::rename(&copy, path(&database)).expect("the folder is ours");
    assert_nothing_is_acknowledged(&client, &server);
    let reasons = await_not_ready(&client, &server);
    assert!(reasons.contains("was replaced"), "{reasons}");
    assert_nothing_is_acknowledged(&client, &server);
}

/// Longest until connections that a lock holds up are made anew: that an operation fails, that the others end (ten
/// seconds), that the connections are closed (fifteen), and once more if an operation did not end in time.
const REOPENED_WITHIN: Duration = Duration::from_secs(90);

/// Clients that read at once.
const READERS: usize = 8;

/// Posts an event until it is stored.
fn await_taken(client: &Client, server: &Server) {
    let taken = || Some(post(client, "after", "")).filter(|answer| answer.status == 202);
    wait_for("an event to be taken", REOPENED_WITHIN, taken, || server.log_tail());
}

// Guards `Store::reopen_connections`: SQLite forgets a lock that it could not release only with its last connection.
#[test]
fn a_lock_that_is_not_released_stops_nothing_for_long() {
    for lock in [Lock::Write, Lock::Mark] {
        let unlocks = Unlocks::new();
        let mut server = Server::start(unlocks.around(Setup::new(&Database::sqlite())));
        let client = server.client();
        posted(&client, "before");
        for _ in 0..2 {
            unlocks.fail_one(lock, || drop(post(&client, "meanwhile", "")));
            await_taken(&client, &server);
        }
        let log = server.log();
        assert!(log.contains("something holds SQLite's locks"), "{lock:?}\n{}", server.log_tail());
    }
}

// Guards `Store::reopen_connections` where many read: most of them get no connection, and learn nothing of locks.
#[test]
fn a_lock_that_is_not_released_while_many_read_stops_nothing_for_long() {
    let unlocks = Unlocks::new();
    let setup = Setup::new(&Database::sqlite()).with_config("database.acquire_timeout = \"300ms\"");
    let mut server = Server::start(unlocks.around(setup));
    let client = server.client();
    posted(&client, "before");
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // More than there are connections that read: each has one opened.
        for _ in 0..READERS {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let _ = client.get(EVENTS);
                }
            });
        }
        unlocks.fail_one(Lock::Mark, || drop(post(&client, "meanwhile", "")));
        let taken = within(REOPENED_WITHIN, || Some(()).filter(|()| post(&client, "after", "").status == 202));
        is_over.store(true, Ordering::Relaxed);
        assert!(taken.is_some(), "{}", server.log_tail());
    });
}

// Guards `Store::empty_log`: a read lock that is left behind keeps what is in the log from the database, for ever.
#[test]
fn a_log_that_a_lock_left_behind_holds_up_is_emptied() {
    for lock in [Lock::Read, Lock::Checkpoint] {
        let unlocks = Unlocks::new();
        let database = Database::sqlite();
        let mut server = Server::start(unlocks.around(Setup::new(&database)));
        let client = server.client();
        let large = with_payload(&json!({"text": "x".repeat(1_000_000)}));
        let post = || drop(client.post_json(EVENTS, &large));
        let log = PathBuf::from(format!("{}-wal", path(&database).display()));
        let bytes = || fs::metadata(&log).map_or(0, |log| log.len());
        let grown = || {
            let before = bytes();
            post();
            // A connection that goes on by itself gives back what it was left with: another one has to be hit.
            if bytes() <= before && !unlocks.is_pending() {
                unlocks.fail_next(lock);
            }
            (bytes() > 70_000_000).then_some(())
        };
        wait_for("the log to grow", SOON, grown, || format!("{lock:?}: {} bytes\n{}", bytes(), server.log_tail()));
        unlocks.fail_none();
        let emptied = || (bytes() < 10_000_000).then_some(());
        wait_for("the log to be emptied", SOON, emptied, || {
            format!("{lock:?}: {} bytes\n{}", bytes(), server.log_tail())
        });
        await_taken(&client, &server);
    }
}

// Guards `spool::file::reopen`.
#[test]
fn a_lock_of_the_spool_that_is_not_released_stops_nothing_for_long() {
    let cluster = Cluster::start();
    let unlocks = Unlocks::new();
    let setup = Setup::new(&Database::at(cluster.fresh_database())).with_config("timeouts.flush = \"1s\"");
    let mut server = Server::start(unlocks.around(setup));
    let client = server.client();
    posted(&client, "before");
    cluster.stop_immediate();
    await_taken(&client, &server);
    unlocks.fail_one(Lock::Write, || drop(post(&client, "meanwhile", "")));
    await_taken(&client, &server);
    cluster.start_again();
    let drained = || (server.spooled() == 0).then_some(());
    wait_for("the spool to be drained", SOON, drained, || server.log_tail());
}
