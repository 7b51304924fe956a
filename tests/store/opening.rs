//! Migrations and opening.

use std::time::Duration;

use gristmill::store::{Store, StoreOptions, migrate};
use sea_orm::{ConnectionTrait, Database};

use super::{WAIT, migrated, number};

/// Nodes of one database may start together.
pub async fn contract_eight_migrations_at_once_all_succeed(options: StoreOptions) {
    let runs: Vec<_> = (0..8)
        .map(|_| {
            let options = options.clone();
            tokio::spawn(async move { migrate::run(&options).await })
        })
        .collect();
    let mut applied = Vec::new();
    for run in runs {
        applied.push(run.await.expect("no panic").expect("each run succeeds"));
    }
    applied.sort_unstable();
    assert_eq!(applied[..7], [0; 7], "one of them applies everything");
    assert!(applied[7] > 0, "{applied:?}");
    let store = migrated(&options).await;
    assert_eq!(number(&store, "SELECT COUNT(*) FROM meta").await, 1);
}

/// Dropped futures stand for a killed process; the schema is there whole or not at all.
pub async fn contract_a_migration_given_up_midway_leaves_nothing_half(options: StoreOptions) {
    for step in 0..20 {
        let patience = Duration::from_micros(1_500 * step);
        // Given up at another moment each time.
        let _ = tokio::time::timeout(patience, migrate::run(&options)).await;
    }
    let store = migrated(&options).await;
    assert_eq!(number(&store, "SELECT COUNT(*) FROM auth_changes").await, 1);
    store.auth_version(WAIT).await.expect("the schema is whole");
}

/// Opening does not migrate: that is a step of its own.
pub async fn contract_an_unmigrated_database_is_refused(options: StoreOptions) {
    let opened = Store::open(&options, tokio::runtime::Handle::current()).await;
    let error = opened.expect_err("there is no schema");
    assert!(error.to_string().contains("gristmill migrate"), "{error}");
}

/// Before the first release all migrations became one. What was made by the former ones is not half migrated, and
/// neither it nor the schema of a later program is opened.
pub async fn contract_a_schema_of_another_program_is_refused_and_left_alone(options: StoreOptions) {
    migrated(&options).await.close().await;
    let database = Database::connect(&options.url).await.expect("the database is there");
    // A table that is missing shows whether anything was made.
    database.execute_unprepared("DROP TABLE repeats").await.expect("dropped");
    for (change, names, remedy) in [
        (
            "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_000001_later', 0)",
            "newer than this gristmill: it has m29990101_000001_later",
            "newer",
        ),
        (
            "DELETE FROM seaql_migrations WHERE version NOT LIKE '%_later'",
            "a development version of gristmill, before the first release: it has m29990101_000001_later",
            "database.url",
        ),
    ] {
        database.execute_unprepared(change).await.expect("changed");
        let run = migrate::run(&options).await.expect_err("another program's schema").to_string();
        assert!(run.contains(names) && run.contains(remedy), "{run}");
        let opened = Store::open(&options, tokio::runtime::Handle::current()).await;
        let opened = opened.expect_err("another program's schema").to_string();
        assert!(opened.contains(names) && opened.contains(remedy), "{opened}");
        database.execute_unprepared("SELECT 1 FROM repeats").await.expect_err("nothing was made");
    }
}
