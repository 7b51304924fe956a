//! Boots and heartbeats.

use gristmill::store::{Node, Store, StoreOptions, Vitals};
use sea_orm::prelude::Uuid;

use super::{WAIT, migrated, number};

async fn node(store: &Store, boot_id: Uuid) -> Node {
    let nodes = store.list_nodes(WAIT).await.expect("the nodes");
    let found = nodes.into_iter().find(|node| node.boot_id == boot_id);
    found.expect("the node is listed")
}

/// The folder's lock proves that they are dead; boots of other folders may live.
pub async fn contract_a_boot_stops_the_earlier_ones_of_its_folder(options: StoreOptions) {
    let store = migrated(&options).await;
    let folder = Uuid::new_v4();
    let elsewhere = Uuid::new_v4();
    let [first, other, second] = [(); 3].map(|()| Uuid::new_v4());
    for (boot, folder) in [(first, folder), (other, elsewhere), (second, folder), (second, folder)] {
        store.register_node(boot, "mill", folder, WAIT).await.expect("registered");
    }
    assert!(node(&store, first).await.stopped_at.is_some());
    assert_eq!(node(&store, other).await.stopped_at, None);
    assert_eq!(node(&store, second).await.stopped_at, None);
    assert_eq!(store.list_nodes(WAIT).await.expect("the nodes").len(), 3);
}

/// A node that was stopped by a later boot learns it from its own heartbeat.
pub async fn contract_a_heartbeat_grows_until_the_node_stops(options: StoreOptions) {
    let store = migrated(&options).await;
    let boot = Uuid::new_v4();
    store.register_node(boot, "mill", Uuid::new_v4(), WAIT).await.expect("registered");
    for beat in 1..=3 {
        let vitals = Vitals { claims: 7, spool_events: 8, spool_bytes: 9 };
        assert!(store.heartbeat(boot, vitals, WAIT).await.expect("an answer"));
        let node = node(&store, boot).await;
        assert_eq!((node.heartbeat, node.vitals), (beat, vitals));
    }
    assert!(store.stop_node(boot, WAIT).await.expect("an answer"));
    assert!(!store.stop_node(boot, WAIT).await.expect("an answer"));
    assert!(!store.heartbeat(boot, Vitals::default(), WAIT).await.expect("an answer"));
    assert_eq!(node(&store, boot).await.heartbeat, 3);
}

/// The spool stays with the folder: a boot must not look as if it had none before its first heartbeat.
pub async fn contract_a_boot_inherits_what_was_said_of_its_folders_spool(options: StoreOptions) {
    let store = migrated(&options).await;
    let folder = Uuid::new_v4();
    let elsewhere = Uuid::new_v4();
    let [first, other, second] = [(); 3].map(|()| Uuid::new_v4());
    store.register_node(first, "mill", folder, WAIT).await.expect("registered");
    store.register_node(other, "mill", elsewhere, WAIT).await.expect("registered");
    let spooling = Vitals { claims: 1, spool_events: 20, spool_bytes: 300 };
    assert!(store.heartbeat(first, spooling, WAIT).await.expect("an answer"));
    for _ in 0..2 {
        store.register_node(second, "mill", folder, WAIT).await.expect("registered");
        let inherited = Vitals { claims: 0, ..spooling };
        assert_eq!(node(&store, second).await.vitals, inherited);
        assert_eq!(node(&store, first).await.vitals.spool_events, 0, "it was counted twice");
        assert_eq!(node(&store, other).await.vitals, Vitals::default());
    }
}

/// A busy store must not look like a dead node, nor must a full pool.
pub async fn contract_a_heartbeat_needs_neither_the_pool_nor_the_stores_thread(options: StoreOptions) {
    let store = migrated(&options).await;
    let boot = Uuid::new_v4();
    store.register_node(boot, "mill", Uuid::new_v4(), WAIT).await.expect("registered");
    let one_thread = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let one_thread = one_thread.expect("a runtime starts");
    let busy = Store::open(&options, one_thread.handle().clone()).await.expect("it opens");
    let heart = busy.apart("heartbeat").expect("a thread starts");
    let (free, held) = std::sync::mpsc::channel::<()>();
    // Ends when the other side is dropped.
    busy.spawn(async move { assert!(held.recv().is_err()) });
    assert!(heart.heartbeat(boot, Vitals::default(), WAIT).await.expect("an answer"));
    busy.list_nodes(std::time::Duration::from_millis(50)).await.expect_err("its thread is held");
    assert!(heart.heartbeat(boot, Vitals::default(), WAIT).await.expect("an answer"));
    drop(free);
    one_thread.shutdown_background();
}

/// What is known of a boot is kept while events may be found through it.
pub async fn contract_boots_that_are_long_gone_are_removed(options: StoreOptions) {
    let store = migrated(&options).await;
    let [alive, silent, stopped, spooling] = [(); 4].map(|()| Uuid::new_v4());
    for boot in [alive, silent, stopped, spooling] {
        store.register_node(boot, "mill", Uuid::new_v4(), WAIT).await.expect("registered");
    }
    let spool = Vitals { spool_events: 1, ..Vitals::default() };
    assert!(store.heartbeat(spooling, spool, WAIT).await.expect("an answer"));
    for boot in [stopped, spooling] {
        assert!(store.stop_node(boot, WAIT).await.expect("an answer"));
    }
    let long = std::time::Duration::from_secs(3_600);
    let now = std::time::Duration::ZERO;
    assert_eq!(store.prune_nodes(vec![silent], long, WAIT).await.expect("an answer"), 0, "they are not old");
    assert_eq!(store.prune_nodes(vec![silent], now, WAIT).await.expect("an answer"), 2);
    let left: Vec<Uuid> = store.list_nodes(WAIT).await.expect("the nodes").iter().map(|node| node.boot_id).collect();
    assert!(left.contains(&alive) && left.contains(&spooling) && left.len() == 2, "{left:?}");
}

/// What a node told of its line stays when it stops, and goes when it is forgotten.
pub async fn contract_a_line_is_told_anew_in_its_place_and_forgotten_with_its_boot(options: StoreOptions) {
    let store = migrated(&options).await;
    let [boot, other] = [(); 2].map(|()| Uuid::new_v4());
    for boot in [boot, other] {
        store.register_node(boot, "mill", Uuid::new_v4(), WAIT).await.expect("registered");
    }
    assert_eq!(store.snapshot_of(boot, WAIT).await.expect("an answer"), None);
    for line in ["{\"a\":1}", "{\"a\": 2}"] {
        store.publish_snapshot(boot, line.to_owned(), WAIT).await.expect("it is told");
        let told = store.snapshot_of(boot, WAIT).await.expect("an answer").expect("it was told");
        assert_eq!(told.line, line);
        assert!(told.age < WAIT, "{told:?}");
    }
    assert_eq!(store.snapshot_of(other, WAIT).await.expect("an answer"), None);
    assert_eq!(number(&store, "SELECT COUNT(*) FROM snapshots").await, 1);
    assert!(store.stop_node(boot, WAIT).await.expect("an answer"));
    assert!(store.snapshot_of(boot, WAIT).await.expect("an answer").is_some());
    let now = std::time::Duration::ZERO;
    assert_eq!(store.prune_nodes(Vec::new(), now, WAIT).await.expect("an answer"), 1);
    assert_eq!(store.snapshot_of(boot, WAIT).await.expect("an answer"), None);
    assert!(store.publish_snapshot(boot, "{}".to_owned(), WAIT).await.is_err(), "nobody would forget it");
}
