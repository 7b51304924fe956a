//! Boots and heartbeats.

use gristmill::store::{Node, Store, StoreOptions};
use sea_orm::prelude::Uuid;

use super::{WAIT, migrated};

async fn node(store: &Store, boot_id: Uuid) -> Node {
    let nodes = store.list_nodes(WAIT).await.expect("the nodes");
    let found = nodes.into_iter().find(|node| node.boot_id == boot_id);
    found.expect("the node is listed")
}

/// The folder's lock proves that they are dead; boots of other folders may live.
pub async fn contract_a_boot_stops_the_earlier_ones_of_its_folder(options: StoreOptions) {
    let store = migrated(&options).await;
    let (folder, elsewhere) = (Uuid::new_v4(), Uuid::new_v4());
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
        assert!(store.heartbeat(boot, WAIT).await.expect("an answer"));
        assert_eq!(node(&store, boot).await.heartbeat, beat);
    }
    assert!(store.stop_node(boot, WAIT).await.expect("an answer"));
    assert!(!store.stop_node(boot, WAIT).await.expect("an answer"));
    assert!(!store.heartbeat(boot, WAIT).await.expect("an answer"));
    assert_eq!(node(&store, boot).await.heartbeat, 3);
}
