//! Migrations and opening.

use std::time::Duration;

use gristmill::store::{Store, StoreOptions, migrate};

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
