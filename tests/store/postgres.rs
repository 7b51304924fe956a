//! The contract on PostgreSQL, and what only PostgreSQL promises.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use gristmill::store::{Store, StoreOptions};
use sea_orm::ConnectionTrait;
use sea_orm::prelude::Uuid;

use super::{
    WAIT, accounts, controls, ids, jobs, listing, migrated, nodes, number, on_postgres, opening, operations, retention,
    schema, sessions,
};

on_postgres! {
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
    a_heartbeat_needs_neither_the_pool_nor_the_stores_thread: nodes::contract_a_heartbeat_needs_neither_the_pool_nor_the_stores_thread;
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
    a_dropped_begin_loses_no_later_write: contract_a_dropped_begin_loses_no_later_write;
    partitions_exist_before_their_ids_leave: contract_partitions_exist_before_their_ids_leave;
    asynchronous_commits_are_refused: contract_asynchronous_commits_are_refused;
    sessions_have_their_limits: contract_sessions_have_their_limits;
}

/// A `begin` that is dropped before its answer leaves no connection inside a transaction.
async fn contract_a_dropped_begin_loses_no_later_write(options: StoreOptions) {
    let store = migrated(&options).await;
    for round in 0..400 {
        let dropped = store.run("begin and drop", WAIT, move |conn| async move {
            let mut begin = Box::pin(conn.write().begin());
            // Dropped at another point each time: BEGIN is sent by the first or second poll.
            for _ in 0..=round % 3 {
                if poll_once(begin.as_mut()).await {
                    break;
                }
            }
            Ok(())
        });
        dropped.await.expect("the work ends");
        let written = store.run("write", WAIT, move |conn| async move {
            let sql = format!("INSERT INTO meta (key, value) VALUES ('round {round}', '')");
            conn.write().execute_unprepared(&sql).await?;
            Ok(())
        });
        written.await.expect("the write is acknowledged");
    }
    store.close().await;
    let store = Store::open(&options, tokio::runtime::Handle::current()).await;
    let store = store.expect("it opens again");
    let kept = number(&store, "SELECT COUNT(*) FROM meta WHERE key LIKE 'round %'").await;
    assert_eq!(kept, 400, "acknowledged writes vanished");
}

/// Whether it has ended.
async fn poll_once<F: Future + ?Sized>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

/// Partitions are made before the first id that needs them leaves, by several nodes at once.
async fn contract_partitions_exist_before_their_ids_leave(options: StoreOptions) {
    let store = migrated(&options).await;
    let reservations: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            let boot = Uuid::new_v4();
            tokio::spawn(async move { store.reserve_ids(boot, 9_000_000, 0, WAIT).await })
        })
        .collect();
    for reservation in reservations {
        let block = reservation.await.expect("no panic").expect("a block");
        let last = *block.end();
        let insert = store.run("insert an event", WAIT, move |conn| async move {
            let sql = format!(
                "INSERT INTO events (id, task_id, user_id, status, received_at) \
                 VALUES ({last}, gen_random_uuid(), 1, 'pending', now())"
            );
            conn.write().execute_unprepared(&sql).await?;
            Ok(())
        });
        insert.await.expect("its partition exists");
    }
    // The one after the last is made in the background.
    let partitions = "SELECT COUNT(*) FROM pg_inherits WHERE inhparent = 'events'::regclass";
    for _ in 0..1_000 {
        store.reserve_ids(Uuid::new_v4(), 1, 0, WAIT).await.expect("an id");
        if number(&store, partitions).await == 5 {
            break;
        }
    }
    assert_eq!(number(&store, partitions).await, 5);
    let indexes = "SELECT COUNT(*) FROM pg_indexes WHERE tablename = 'events_p4'";
    assert_eq!(number(&store, indexes).await, 6);
}

/// A server that loses acknowledged commits is refused.
async fn contract_asynchronous_commits_are_refused(options: StoreOptions) {
    let store = migrated(&options).await;
    let weaken = store.run("weaken", WAIT, |conn| async move {
        let sql =
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";
        conn.write().execute_unprepared(sql).await?;
        Ok(())
    });
    weaken.await.expect("the setting changes");
    let opened = Store::open(&options, tokio::runtime::Handle::current()).await;
    let error = opened.expect_err("its commits do not wait");
    assert!(error.to_string().contains("synchronous_commit = off"), "{error}");
}

/// The limits of the options hold in each session.
async fn contract_sessions_have_their_limits(options: StoreOptions) {
    let short = StoreOptions { statement_timeout: Duration::from_millis(50), ..options };
    let store = migrated(&short).await;
    let slow = store.run("be slow", WAIT, |conn| async move {
        conn.write().execute_unprepared("SELECT pg_sleep(5)").await?;
        Ok(())
    });
    let error = slow.await.expect_err("the server ends it");
    assert_eq!(error.kind, gristmill::store::StoreErrorKind::Exhausted, "{error}");
}
