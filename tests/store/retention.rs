//! The removal of old rows: one node at a time, along the ids, and anew after a while.

use std::time::Duration;

use gristmill::domain::outcome::Status;
use gristmill::domain::retention::RemovalRule;
use gristmill::store::{EventTerms, OldRecords, Store, StoreOptions};
use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbBackend};

use super::{WAIT, migrated, number};

const NO_TIME: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(3_600);
const LONG_AGO: &str = "2020-01-01T00:00:00.000000+00:00";

fn terms() -> EventTerms {
    let rule = RemovalRule {
        age: LONG,
        statuses: vec![Status::Failed],
        types: vec!["it's".to_owned()],
        kept_types: vec!["kept".to_owned()],
    };
    EventTerms { rule, keys_live_for: NO_TIME }
}

/// A run belongs to the node that took it up until its end, and the next one is due after a while.
pub async fn contract_one_node_at_a_time_removes_old_rows(options: StoreOptions) {
    let store = migrated(&options).await;
    let nodes = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let take = async |node: usize, every| store.take_retention(nodes[node], every, WAIT).await.expect("an answer");
    let end = async |node: usize| store.end_retention(nodes[node], "n".to_owned(), WAIT).await.expect("an answer");
    let prune = async |node: usize| store.prune_events(nodes[node], terms(), 10, None, WAIT).await.expect("an answer");
    assert!(take(0, NO_TIME).await);
    assert!(take(0, NO_TIME).await, "its own run goes on, also after a lost answer");
    assert!(!take(1, NO_TIME).await, "another node is at it");
    assert_eq!(prune(1).await, None);
    let records = store.prune_records(nodes[1], OldRecords::Audit(LONG), 10, None, WAIT).await;
    assert_eq!(records.expect("an answer"), None);
    assert_eq!(end(1).await, None);
    assert!(!prune(0).await.expect("its run").goes_on, "there are no events");
    assert_eq!(end(0).await.map(|removed| removed.len()), Some(0));
    assert_eq!(prune(0).await, None, "its run has ended");
    assert!(!take(1, LONG).await, "no run is due");
    assert!(take(1, NO_TIME).await);
    assert_eq!(number(&store, "SELECT COUNT(*) FROM audit").await, 0, "runs that removed nothing");
}

async fn execute(store: &Store, sql: String) {
    let done = store.run("execute", WAIT, |conn| async move { Ok(conn.write().execute_unprepared(&sql).await?) });
    done.await.expect("it is done");
}

/// An event of this id that failed long ago.
async fn insert(store: &Store, id: i64, event_type: &str) {
    let uuid = if store.backend() == DbBackend::Postgres { "gen_random_uuid()" } else { "randomblob(16)" };
    let sql = format!(
        "INSERT INTO events (id, task_id, user_id, event_type, status, received_at, finished_at) \
         VALUES ({id}, {uuid}, 1, '{event_type}', 'failed', '{LONG_AGO}', '{LONG_AGO}')"
    );
    execute(store, sql).await;
}

/// A walk goes on where it was, and begins anew when it is a week old, or its rule is another one.
pub async fn contract_what_a_walk_has_passed_is_found_by_the_next_one(options: StoreOptions) {
    let store = migrated(&options).await;
    let node = Uuid::from_u128(1);
    let run = async |terms: &EventTerms| {
        assert!(store.take_retention(node, NO_TIME, WAIT).await.expect("an answer"));
        let mut removed = 0;
        loop {
            let step =
                store.prune_events(node, terms.clone(), 2, None, WAIT).await.expect("an answer").expect("its run");
            removed += step.removed.values().sum::<u64>();
            if !step.goes_on {
                break;
            }
        }
        store.end_retention(node, "n".to_owned(), WAIT).await.expect("an answer");
        removed
    };
    for id in 10..=14 {
        insert(&store, id, "b").await;
    }
    insert(&store, 15, "kept").await;
    assert_eq!(run(&terms()).await, 5, "in pieces of two");
    insert(&store, 3, "it''s").await;
    assert_eq!(run(&terms()).await, 0, "it lies behind the walk");
    execute(&store, format!("UPDATE retention_walks SET began_at = '{LONG_AGO}'")).await;
    assert_eq!(run(&terms()).await, 1);
    insert(&store, 4, "b").await;
    assert_eq!(run(&terms()).await, 0, "the new walk has passed it, too");
    let mut other = terms();
    other.rule.kept_types.clear();
    assert_eq!(run(&other).await, 2, "under another rule nothing was passed");
    assert_eq!(number(&store, "SELECT COUNT(*) FROM audit").await, 3, "a row for each run that removed something");
}
