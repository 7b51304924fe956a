//! The contract on SQLite, and what only SQLite promises.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use gristmill::store::{Store, StoreOptions, begin_write, commit, identity, migrate};
use sea_orm::{ConnectionTrait, Statement};
use tokio::runtime::Handle;

use super::{
    Folder, WAIT, accounts, controls, ids, jobs, listing, migrated, nodes, number, on_sqlite, opening, operations,
    retention, schema, sessions,
};
use crate::support::database::Database;

on_sqlite! {
    eight_migrations_at_once_all_succeed: opening::contract_eight_migrations_at_once_all_succeed;
    a_migration_given_up_midway_leaves_nothing_half: opening::contract_a_migration_given_up_midway_leaves_nothing_half;
    an_unmigrated_database_is_refused: opening::contract_an_unmigrated_database_is_refused;
    a_schema_of_another_program_is_refused_and_left_alone: opening::contract_a_schema_of_another_program_is_refused_and_left_alone;
    work_goes_on_when_its_caller_stops_waiting: operations::contract_work_goes_on_when_its_caller_stops_waiting;
    work_goes_on_when_its_caller_is_dropped: operations::contract_work_goes_on_when_its_caller_is_dropped;
    a_failed_transaction_stores_nothing: operations::contract_a_failed_transaction_stores_nothing;
    a_panic_is_an_error_of_unknown_outcome: operations::contract_a_panic_is_an_error_of_unknown_outcome;
    work_given_up_at_its_deadline_frees_its_connection: operations::contract_work_given_up_at_its_deadline_frees_its_connection;
    the_database_refuses_an_id_that_is_taken: schema::contract_the_database_refuses_an_id_that_is_taken;
    processed_follows_status: schema::contract_processed_follows_status;
    the_databases_clock_compares_with_bound_times: schema::contract_the_databases_clock_compares_with_bound_times;
    no_list_scans_the_table_or_sorts: listing::contract_no_list_scans_the_table_or_sorts;
    no_job_scans_the_table_or_sorts: listing::contract_no_job_scans_the_table_or_sorts;
    a_list_meets_every_match_once_in_its_order: listing::contract_a_list_meets_every_match_once_in_its_order;
    every_entity_reads_its_table: schema::contract_every_entity_reads_its_table;
    users_are_made_once_and_disabled: accounts::contract_users_are_made_once_and_disabled;
    tokens_live_from_creation_to_revocation: accounts::contract_tokens_live_from_creation_to_revocation;
    rotation_overlaps_and_happens_once: accounts::contract_rotation_overlaps_and_happens_once;
    each_change_of_tokens_and_users_moves_the_version: accounts::contract_each_change_of_tokens_and_users_moves_the_version;
    a_session_ends_with_its_token: sessions::contract_a_session_ends_with_its_token;
    sessions_are_bounded: sessions::contract_sessions_are_bounded;
    each_session_is_told_in_the_audit_log: sessions::contract_each_session_is_told_in_the_audit_log;
    a_series_has_each_flush_in_its_bucket: sessions::contract_a_series_has_each_flush_in_its_bucket;
    a_backlog_is_counted_up_to_a_bound: sessions::contract_a_backlog_is_counted_up_to_a_bound;
    ids_begin_at_one_and_grow: ids::contract_ids_begin_at_one_and_grow;
    nodes_never_share_an_id: ids::contract_nodes_never_share_an_id;
    a_new_boot_never_resumes_a_block: ids::contract_a_new_boot_never_resumes_a_block;
    a_boot_never_takes_an_id_twice: ids::contract_a_boot_never_takes_an_id_twice;
    a_boot_stops_the_earlier_ones_of_its_folder: nodes::contract_a_boot_stops_the_earlier_ones_of_its_folder;
    a_heartbeat_grows_until_the_node_stops: nodes::contract_a_heartbeat_grows_until_the_node_stops;
    boots_that_are_long_gone_are_removed: nodes::contract_boots_that_are_long_gone_are_removed;
    a_line_is_told_anew_in_its_place_and_forgotten_with_its_boot: nodes::contract_a_line_is_told_anew_in_its_place_and_forgotten_with_its_boot;
    a_job_finds_every_match_along_every_index: jobs::contract_a_job_finds_every_match_along_every_index;
    a_job_changes_each_event_once_and_no_later_one: jobs::contract_a_job_changes_each_event_once_and_no_later_one;
    runners_that_race_do_a_job_once: jobs::contract_runners_that_race_do_a_job_once;
    a_piece_with_large_payloads_has_few_events: jobs::contract_a_piece_with_large_payloads_has_few_events;
    a_piece_counts_the_bytes_of_its_payloads: jobs::contract_a_piece_counts_the_bytes_of_its_payloads;
    a_retry_waits_while_much_is_due_and_a_cancellation_does_not: jobs::contract_a_retry_waits_while_much_is_due_and_a_cancellation_does_not;
    jobs_take_turns_until_they_end: jobs::contract_jobs_take_turns_until_they_end;
    a_boot_inherits_what_was_said_of_its_folders_spool: nodes::contract_a_boot_inherits_what_was_said_of_its_folders_spool;
    changes_of_controls_are_made_one_after_the_other: controls::contract_changes_of_controls_are_made_one_after_the_other;
    a_control_is_stored_until_it_is_changed: controls::contract_a_control_is_stored_until_it_is_changed;
    one_node_at_a_time_removes_old_rows: retention::contract_one_node_at_a_time_removes_old_rows;
    what_a_walk_has_passed_is_found_by_the_next_one: retention::contract_what_a_walk_has_passed_is_found_by_the_next_one;
}

async fn refusal(options: &StoreOptions) -> String {
    match Store::open(options, Handle::current()).await {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_can_read_the_database_and_its_folder() {
    let folder = Folder::new();
    // Its closing would remove the write-ahead log.
    let _open = migrated(&folder.options()).await;
    let mode = |path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!(mode(folder.0.join("data")), 0o700);
    for suffix in ["", "-wal", "-shm", ".identity"] {
        let path = format!("{}{suffix}", folder.database().display());
        assert_eq!(mode(path.into()), 0o600, "{suffix}");
    }
}

/// Guards `after_release` of the pool: the database may end a transaction by itself, on a full disk for instance; the
/// client must not go on inside of one that is not there, where a later COMMIT would be nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_database_ended_by_itself_spoils_no_later_one() {
    let folder = Folder::new();
    let store = migrated(&folder.options()).await;
    let insert = |key| format!("INSERT INTO meta (key, value) VALUES ('{key}', 'yes')");
    let ended = store.run("spoil", WAIT, |conn| async move {
        let tx = begin_write(&conn).await?;
        tx.execute_unprepared("ROLLBACK").await?;
        commit(tx).await
    });
    assert!(ended.await.is_err(), "there is nothing to commit");
    let given_up = store.transaction("give up", WAIT, move |tx| {
        Box::pin(async move {
            tx.execute_unprepared(&insert("given up")).await?;
            Ok(tx.execute_unprepared("no statement").await.map(drop)?)
        })
    });
    assert!(given_up.await.is_err(), "it is rolled back");
    let written = store.transaction("write", WAIT, move |tx| {
        Box::pin(async move { Ok(tx.execute_unprepared(&insert("written")).await.map(drop)?) })
    });
    assert!(written.await.is_ok());
    let seen = number(&store, "SELECT COUNT(*) FROM meta WHERE key IN ('given up', 'written')").await;
    assert_eq!(seen, 1, "another connection sees what was committed, and only that");
}

/// How SQLite would look for some events by their ids, on a connection of the store.
async fn plan(store: &Store) -> String {
    let explained = store.run("explain", WAIT, |conn| async move {
        let sql = "EXPLAIN QUERY PLAN SELECT payload FROM events WHERE id IN (1, 2, 3, 4, 5)";
        let row = conn.write().query_one_raw(Statement::from_string(conn.backend(), sql)).await?;
        Ok(row.expect("one step").try_get::<String>("", "detail")?)
    });
    explained.await.expect("a plan")
}

/// What ANALYZE found in an empty table would have events looked for from one end to the other when it is full.
#[tokio::test(flavor = "multi_thread")]
async fn what_analyze_has_found_is_forgotten() {
    let folder = Folder::new();
    let by_id = "SEARCH events USING INTEGER PRIMARY KEY (rowid=?)";
    let one_event = "INSERT INTO events (id, task_id, user_id, status, received_at) \
                     VALUES (1, x'00', 1, 'pending', '2026-01-01T00:00:00+00:00')";
    let database = Database::sqlite_at(&folder.database());
    let store = migrated(&folder.options()).await;
    store.close().await;
    tokio::task::spawn_blocking(move || {
        database.execute(one_event);
        database.execute("ANALYZE");
        let found = database.texts("SELECT stat FROM sqlite_stat1 WHERE tbl = 'events'");
        assert!(!found.is_empty(), "an operator has it analyzed");
    })
    .await
    .expect("no panic");
    let store = Store::open(&folder.options(), Handle::current()).await.expect("it opens");
    assert_eq!(plan(&store).await, by_id);
    assert_eq!(number(&store, "SELECT COUNT(*) FROM sqlite_stat1").await, 0);
    let database = Database::sqlite_at(&folder.database());
    tokio::task::spawn_blocking(move || database.execute("ANALYZE")).await.expect("no panic");
    assert_eq!(plan(&store).await, by_id, "also while it is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_memory_is_refused() {
    for url in ["sqlite::memory:", "sqlite://:memory:", "sqlite://x?mode=memory", "sqlite://"] {
        let text = refusal(&super::options(url)).await;
        assert!(text.contains("in memory is refused"), "{url}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_database_beside_its_marker_is_not_made_anew() {
    let folder = Folder::new();
    let options = folder.options();
    migrated(&options).await.close().await;
    fs::remove_file(folder.database()).expect("the database can be removed");
    let text = refusal(&options).await;
    assert!(text.contains("is missing although"), "{text}");
    let error = migrate::run(&options).await.expect_err("refused as well");
    assert!(error.to_string().contains("is missing although"), "{error}");
    assert!(!folder.database().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_at_the_same_path_is_refused() {
    let folder = Folder::new();
    let other = Folder::new();
    for folder in [&folder, &other] {
        migrated(&folder.options()).await.close().await;
    }
    fs::rename(other.database(), folder.database()).expect("same file system");
    let text = refusal(&folder.options()).await;
    assert!(text.contains("is another one"), "{text}");
    fs::write(folder.database(), "").expect("the file can be emptied");
    let error = migrate::run(&folder.options()).await.expect_err("an emptied file");
    assert!(error.to_string().contains("has no identity"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_replaced_or_removed_while_open_is_noticed() {
    let folder = Folder::new();
    let store = migrated(&folder.options()).await;
    store.check_file().expect("the file is in place");
    let path = folder.database();
    fs::copy(&path, folder.0.join("copy")).expect("it can be copied");
    fs::rename(folder.0.join("copy"), &path).expect("same file system");
    let error = store.check_file().expect_err("another file");
    assert!(error.to_string().contains("was replaced"), "{error}");
    fs::remove_file(&path).expect("it can be removed");
    store.check_file().expect_err("no file");
}

#[test]
fn a_folder_and_a_database_serve_one_at_a_time() {
    let folder = Folder::new();
    let data = folder.0.join("data");
    let first = identity::lock_folder(&data).expect("the folder is free");
    let error = identity::lock_folder(&data).expect_err("the folder is held");
    assert!(error.to_string().contains("another gristmill serve holds"), "{error}");
    let id = first.id;
    drop(first);
    let again = identity::lock_folder(&data).expect("the folder is free again");
    assert_eq!(again.id, id, "the id stays with the folder");

    let options = folder.options();
    let held = identity::lock_database(&options).expect("the database is free");
    let error = identity::lock_database(&options).expect_err("the database is held");
    assert!(error.to_string().contains("gristmill.db"), "{error}");
    drop(held);
    identity::lock_database(&options).expect("the database is free again");
}
