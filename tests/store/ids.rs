//! Ids and their blocks.

use std::collections::HashSet;

use gristmill::store::{Ids, StoreOptions};
use sea_orm::ConnectionTrait;
use sea_orm::prelude::Uuid;

use super::{WAIT, migrated, number};

/// Also over the edges of blocks.
pub async fn contract_ids_begin_at_one_and_grow(options: StoreOptions) {
    let store = migrated(&options).await;
    let ids = Ids::new(store.clone(), Uuid::new_v4(), WAIT);
    let mut all = Vec::new();
    for count in [1, 1, 97, 5, 250, 3000] {
        let taken = ids.take(count).await.expect("ids");
        assert_eq!(taken.len(), count);
        all.extend(taken);
    }
    assert_eq!(all[0], 1);
    assert!(all.is_sorted_by(|a, b| a < b));
    let spent = number(&store, "SELECT MAX(last_id) FROM id_blocks").await;
    assert!(all.last() <= Some(&spent), "an id left before its block was spent");
}

/// Four boots, each taking from several tasks.
pub async fn contract_nodes_never_share_an_id(options: StoreOptions) {
    let store = migrated(&options).await;
    let mut takers = Vec::new();
    for _ in 0..4 {
        let ids = Ids::new(store.clone(), Uuid::new_v4(), WAIT);
        for _ in 0..4 {
            takers.push(tokio::spawn(take_often(ids.clone())));
        }
    }
    let mut seen = HashSet::new();
    for taker in takers {
        for id in taker.await.expect("no panic") {
            assert!(seen.insert(id), "{id} left twice");
        }
    }
    assert_eq!(seen.len(), 4 * 4 * 40 * 25);
}

async fn take_often(ids: Ids) -> Vec<i64> {
    let mut all = Vec::new();
    for _ in 0..40 {
        all.extend(ids.take(25).await.expect("ids"));
    }
    assert!(all.is_sorted_by(|a, b| a < b), "ids of one taker grow");
    all
}

/// Although the table of blocks has gone back in time.
pub async fn contract_a_boot_never_takes_an_id_twice(options: StoreOptions) {
    let store = migrated(&options).await;
    let ids = Ids::new(store.clone(), Uuid::new_v4(), WAIT);
    let mut last = 0;
    for _ in 0..3 {
        let taken = ids.take(250).await.expect("ids");
        assert!(taken[0] > last, "{} comes after {last}", taken[0]);
        last = taken[249];
        let forget = store.run("forget all blocks", WAIT, |conn| async move {
            conn.write().execute_unprepared("DELETE FROM id_blocks").await?;
            Ok(())
        });
        forget.await.expect("they are forgotten");
    }
}

/// What is left of a block when its boot ends is lost on purpose.
pub async fn contract_a_new_boot_never_resumes_a_block(options: StoreOptions) {
    let store = migrated(&options).await;
    let first = Ids::new(store.clone(), Uuid::new_v4(), WAIT);
    assert_eq!(first.take(1).await.expect("an id"), [1]);
    let second = Ids::new(store, Uuid::new_v4(), WAIT);
    let ids = second.take(1).await.expect("an id");
    assert!(ids[0] > 100, "{ids:?} is in the first block");
}
