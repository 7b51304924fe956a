//! What removed rows leave: on SQLite pages that go back in pieces, on PostgreSQL a partition that is emptied at once.

use serde_json::json;

use super::{LONG_AGO, OFTEN, await_removed, await_runs, exists, make_old, number, of_type};
use crate::support::database::Database;
use crate::support::events::{accepted, with_payload};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

#[test]
fn a_sqlite_file_gives_its_free_pages_back() {
    let database = Database::sqlite();
    let config = format!("{OFTEN}retention.processed = \"30d\"\n");
    let mut server = Server::start(Setup::new(&database).with_config(&config));
    let client = server.client();
    let payload = json!({"text": "x".repeat(900_000)});
    (0..16).for_each(|_| {
        accepted(&client, &with_payload(&payload));
    });
    let pages = || number(&database, "SELECT page_count FROM pragma_page_count()");
    let full = pages();
    assert!(full > 3_000, "{full} pages");
    make_old(&database);
    await_removed(&server, &json!({"processed": 16}));
    // 1,024 free pages stay for the next events.
    let has_shrunk = || (pages() < full - 2_000).then_some(());
    wait_for("the file to shrink", SOON * 4, has_shrunk, || format!("{} of {full}\n{}", pages(), server.log_tail()));
    assert_eq!(database.texts("PRAGMA integrity_check"), ["ok"]);
}

/// Which file the first partition is in.
fn first_partition(database: &Database) -> String {
    database.texts("SELECT CAST(pg_relation_filenode('events_p0') AS TEXT)").remove(0)
}

/// Ends the first partition: the next ids are of the second one, and of today.
fn end_first_partition(database: &Database) {
    let spent = format!(
        "INSERT INTO id_blocks (first_id, last_id, boot_id, reserved_at) \
         SELECT MAX(last_id) + 1, 10000100, gen_random_uuid(), '{LONG_AGO}' FROM id_blocks"
    );
    assert_eq!(database.execute(&spent), 1);
}

#[test]
fn a_partition_of_which_all_goes_is_emptied_at_once() {
    let database = Database::postgres();
    let config = format!("{OFTEN}retention.processed = \"30d\"\nretention.types = {{ order = \"off\" }}\n");
    let mut server = Server::start(Setup::new(&database).with_config(&config));
    let client = server.client();
    let ids: Vec<i64> = (0..50).map(|_| accepted(&client, &of_type("b"))).collect();
    database.execute(&format!(
        "INSERT INTO attempts (event_id, generation, attempt, ended_at, node, stage, error_code, error) \
         SELECT id, 0, 1, '{LONG_AGO}', 'n', 's', 'c', 'e' FROM events"
    ));
    let before = first_partition(&database);
    end_first_partition(&database);
    make_old(&database);
    await_removed(&server, &json!({"processed": 50}));
    assert_ne!(first_partition(&database), before, "its events went one by one");
    assert!(!exists(&client, ids[0]));
    assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts"), 0);
    // Its ids may still be in a spool.
    assert_eq!(number(&database, "SELECT COUNT(*) FROM pg_class WHERE relname = 'events_p0'"), 1);
    let later = accepted(&client, &of_type("b"));
    assert!(exists(&client, later));
}

#[test]
fn a_partition_of_which_something_stays_keeps_it() {
    let database = Database::postgres();
    let config = format!("{OFTEN}retention.processed = \"30d\"\nretention.types = {{ order = \"off\" }}\n");
    let mut server = Server::start(Setup::new(&database).with_config(&config));
    let client = server.client();
    (0..20).for_each(|_| {
        accepted(&client, &of_type("b"));
    });
    let order = accepted(&client, &of_type("order"));
    let before = first_partition(&database);
    end_first_partition(&database);
    make_old(&database);
    await_removed(&server, &json!({"processed": 20}));
    await_runs(&server);
    assert!(exists(&client, order));
    assert_eq!(first_partition(&database), before);
}
