//! Rule 1: ids come in blocks that are spent durably before their first id leaves and are never resumed.
//!
//! That a block held for a minute is dropped is a unit test beside `Stock::drop_old`, which takes the time as an
//! argument; that allocators of several nodes never share an id is `store::ids::contract_nodes_never_share_an_id`.

use std::collections::HashSet;

use gristmill::store::Ids;
use sea_orm::prelude::Uuid;

use super::{WAIT, allow, execute, number, post, posted, refuse, with_store};
use crate::support::database::Database;
use crate::support::server::{Server, Setup};
use crate::support::session::Session;
use crate::support::wait::{SOON, wait_for};

both_databases! {
    // Guards `COALESCE(MAX(last_id), 0) + 1` in `store/ids/reserve.rs`, and that a boot begins with an empty `Stock`.
    fn ids_never_repeat_over_five_kills(database) {
        let mut server = Server::start(&database);
        let mut seen = HashSet::new();
        for round in 0..=5 {
            let spent_before = number(&database, "SELECT COALESCE(MAX(last_id), 0) FROM id_blocks");
            server.restart();
            let client = server.client();
            for _ in 0..3 {
                let id = posted(&client, "page_view");
                assert!(id > spent_before, "round {round}: id {id} is of a block that an earlier boot spent");
                assert!(seen.insert(id), "round {round}: id {id} left twice");
            }
            server.kill9();
        }
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 18);
        let overlaps = "SELECT COUNT(*) FROM id_blocks AS a JOIN id_blocks AS b \
                        ON a.first_id < b.first_id AND b.first_id <= a.last_id";
        assert_eq!(number(&database, overlaps), 0, "blocks overlap");
    }

    // Guards `self.shared.refill(count).await?` in `Ids::take`, which waits for the block's row.
    fn no_id_leaves_while_its_block_cannot_be_spent(database) {
        with_store(&database, async |store| {
            refuse(&database, "id_blocks", "last_id", "");
            let ids = Ids::new(store, Uuid::new_v4(), WAIT);
            let error = ids.take(1).await.expect_err("its block is refused");
            assert!(error.to_string().contains("refused on purpose"), "{error}");
            allow(&database, "id_blocks");
            let taken = ids.take(1).await.expect("its block is spent");
            let spent = number(&database, "SELECT MAX(last_id) FROM id_blocks");
            assert!(spent >= taken[0], "{taken:?} left before their block was spent up to {spent}");
        });
    }
}

// Guards `partitions::lacks_next` and `Store::make_ahead`: only the partition after the one in use is missing.
#[test]
fn a_lock_that_keeps_the_next_partition_from_being_made_stops_no_post() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    server.kill9();
    let near_the_end = "INSERT INTO id_blocks (first_id, last_id, boot_id, reserved_at) \
                        VALUES (10000001, 19990000, gen_random_uuid(), now())";
    execute(&database, near_the_end);
    let lock = Session::begin(&database, "LOCK TABLE events IN SHARE UPDATE EXCLUSIVE MODE");
    server.restart();
    let client = server.client();
    let tried = || server.log().contains("making the next partition of events fails").then_some(());
    wait_for("the next partition to be tried", SOON, tried, || server.log());
    for _ in 0..300 {
        assert!(posted(&client, "page_view") > 19_990_000);
    }
    assert_eq!(client.get("/health/ready").status, 200);
    let made = || {
        posted(&client, "page_view");
        (number(&database, "SELECT COUNT(*) FROM pg_class WHERE relname = 'events_p2'") == 1).then_some(())
    };
    lock.commit();
    wait_for("the next partition", SOON, made, || server.log());
}

// Guards `Ids::take_fallback` while the database answers everything else.
#[test]
fn a_lock_on_the_blocks_of_ids_is_bridged_by_those_laid_by() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    posted(&client, "warm");
    let lock = Session::begin(&database, "LOCK TABLE id_blocks IN SHARE MODE");
    for _ in 0..300 {
        let answer = post(&client, "page_view", "");
        assert_eq!((answer.status, &answer.json()["durability"]), (202, &"database".into()), "{answer:?}");
    }
    assert_eq!(client.get("/health/ready").status, 200);
    lock.commit();
}

// Guards `Ids::shortage` in `Pipeline::readiness`, and the loop in `Ids::prefetch`: a node that is not ready gets no
// request that would try again.
#[test]
fn a_node_without_ids_is_not_ready_until_some_can_be_reserved() {
    let database = Database::postgres();
    let config = "spool.enabled = false\ntimeouts = { accept = \"2s\", flush = \"1s\" }";
    let mut server = Server::start(Setup::new(&database).with_config(config));
    let client = server.client();
    posted(&client, "warm");
    let lock = Session::begin(&database, "LOCK TABLE id_blocks IN SHARE MODE");
    let refused = || Some(post(&client, "page_view", "")).filter(|answer| answer.status != 202);
    let refused = wait_for("the ids to be used up", SOON, refused, || server.log());
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("not_stored")), "{refused:?}");
    let ready = client.get("/health/ready");
    assert!(ready.status == 503 && ready.body.contains("no event ids are left"), "{ready:?}");
    lock.commit();
    let is_ready = || (client.get("/health/ready").status == 200).then_some(());
    wait_for("the node to be ready", SOON, is_ready, || server.log());
    posted(&client, "after");
}
