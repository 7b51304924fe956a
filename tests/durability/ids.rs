//! Rule 1: ids come in blocks that are spent durably before their first id leaves and are never resumed.
//!
//! That a block held for a minute is dropped is a unit test beside `Stock::drop_old`, which takes the time as an
//! argument; that allocators of several nodes never share an id is `store::ids::contract_nodes_never_share_an_id`.

use std::collections::HashSet;

use gristmill::store::Ids;
use sea_orm::prelude::Uuid;

use super::{WAIT, allow, number, posted, refuse, with_store};
use crate::support::server::Server;

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
