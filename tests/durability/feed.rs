//! Rule 11: the feed is read in the order of transactions, and never past one that is still open.

use std::time::Duration;

use chrono::Utc;

use super::records::{flush, plain, processed};
use super::{WAIT, aside, with_store};
use crate::support::database::{Database, Kind};
use crate::support::session::Session;
use crate::support::wait::{SOON, wait_for};

use gristmill::store::{FeedPosition, Filters, Store};

async fn told(store: &Store) -> Vec<i64> {
    let (events, _) = store.feed(FeedPosition::after(0), &Filters::default(), WAIT).await.expect("the feed is read");
    events.iter().map(|event| event.id).collect()
}

// Guards `settled` in `store/feed.rs`. Others of the cluster may hold the feed up as well, so only what comes too early is
// a failure.
#[test]
fn what_commits_later_than_its_successor_is_not_passed_over() {
    let database = Database::postgres();
    with_store(&database, async |store| {
        let insert = "INSERT INTO flushes (boot_id, seq, node, xid, event_ids, counts, gathered_us, wrote_us, flushed_at) \
                      VALUES (gen_random_uuid(), 1, 'slow', pg_current_xact_id()::text::bigint, '[1]', '{}', 0, 0, now())";
        let open = aside(|| Session::begin(&database, insert));
        flush(&store, vec![processed(plain(1, "a", ""))]).await;
        assert_eq!(told(&store).await, Vec::<i64>::new(), "the transaction before it is open");
        assert_eq!(store.feed_head(WAIT).await.expect("a head"), 0);
        aside(|| open.commit());
        let handle = tokio::runtime::Handle::current();
        let both = || (handle.block_on(told(&store)) == [1, 1]).then_some(());
        tokio::task::block_in_place(|| wait_for("both flushes", SOON, both, String::new));
    });
}

both_databases! {
    // Guards `NEXT_ON_SQLITE`: row numbers alone would begin anew; there the clock has gone on for an hour by then.
    fn the_order_goes_on_when_every_flush_has_been_rolled_up(database) {
        with_store(&database, async |store| {
            let head = || {
                let column = if database.kind() == Kind::Sqlite { "xid" } else { "xid::text" };
                aside(|| database.texts(&format!("SELECT CAST({column} AS TEXT) FROM flushes")))
            };
            let mut least = 1;
            for id in 1..4 {
                if database.kind() == Kind::Sqlite {
                    least = Utc::now().timestamp() * 1_000_000;
                }
                flush(&store, vec![processed(plain(id, "a", ""))]).await;
                let present: i64 = head()[0].parse().expect("a number");
                assert!(present >= least, "{present} comes after {least}");
                least = present + 1;
                assert_eq!(store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up"), 1);
            }
        });
    }
}
