//! Rule 6: one synced file with one writer, and never another file in its place.

use std::fs;
use std::path::PathBuf;

use gristmill::store::begin_write;
use sea_orm::{ConnectionTrait, Statement};

use super::Session;
use super::{WAIT, number, post, posted, with_store};
use crate::support::database::Database;
use crate::support::http::Client;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

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
    let setup = crate::support::server::Setup::new(&database);
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
    let setup = crate::support::server::Setup::new(&database);
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
