//! Rule 11: each flush says what it changed, and is counted into its minute once.

use std::time::Duration;

use chrono::{DurationRound, TimeDelta, Utc};

use super::records::{claim, flush, plain, processed, transient, under};
use super::{EVENTS, WAIT, number, post, posted, with_store};
use crate::support::database::{Database, Kind};
use crate::support::server::Server;

use gristmill::store::{Balance, ClaimTarget};
use sea_orm::prelude::Uuid;

/// The sum of all counts in a column `counts`.
fn counted(database: &Database, table: &str, status: &str) -> i64 {
    let sql = match database.kind() {
        Kind::Sqlite => format!(
            "SELECT COALESCE(SUM(n.value), 0) FROM {table} AS f, json_each(f.counts) AS s, json_each(s.value) AS n \
             WHERE s.key LIKE '{status}' AND s.key NOT IN ('flushes', 'worked_us') AND s.key NOT LIKE 'took%'"
        ),
        Kind::Postgres => format!(
            "SELECT COALESCE(SUM(n.value::bigint), 0)::bigint FROM {table} AS f, jsonb_each(f.counts) AS s, \
             jsonb_each_text(s.value) AS n WHERE s.key LIKE '{status}' AND s.key NOT IN ('flushes', 'worked_us') AND s.key NOT LIKE 'took%'"
        ),
    };
    number(database, &sql)
}

/// The number of ids in all flushes.
fn named(database: &Database) -> i64 {
    let array = if database.kind() == Kind::Sqlite { "json" } else { "jsonb" };
    number(database, &format!("SELECT COALESCE(SUM({array}_array_length(event_ids)), 0) FROM flushes"))
}

both_databases! {
    // Guards `counts::counted`: stored rows and duplicates count, refused conflicts do not.
    fn the_counts_of_all_flushes_are_what_became_of_all_events(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        for _ in 0..5 {
            posted(&client, "page_view");
        }
        for (name, status) in [("keyed", 202), ("keyed", 200), ("other", 409)] {
            let answer = post(&client, name, "key");
            assert_eq!(answer.status, status, "{answer:?}");
        }
        let rejected = client.post_text(EVENTS, r#"{"event_name":"nameless"}"#);
        assert_eq!(rejected.status, 422, "{rejected:?}");
        let counts = ["processed", "duplicate", "validation_error", "%"].map(|status| counted(&database, "flushes", status));
        assert_eq!(counts, [6, 1, 1, 8]);
        assert_eq!(named(&database), 8);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 7);
    }

    // Guards `DELETE … RETURNING` in `rollup::take`: a flush is counted in the transaction that removes it.
    fn a_roll_up_counts_each_flush_once(database) {
        with_store(&database, async |store| {
            for first in [1, 11, 21] {
                flush(&store, (first..first + 10).map(|id| processed(plain(id, "a", ""))).collect()).await;
            }
            assert_eq!(store.roll_up(Duration::from_secs(3_600), WAIT).await.expect("rolled up"), 0, "too young");
            let racing = [store.clone(), store.clone()].map(|store| {
                tokio::spawn(async move { store.roll_up(Duration::ZERO, WAIT).await })
            });
            for roll_up in racing {
                // Two nodes that make the same minute's row make each other repeat.
                let _ = roll_up.await.expect("no panic");
            }
            store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up");
            assert_eq!(store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up"), 0);
            assert_eq!(number(&database, "SELECT CAST(SUM(flushes) AS BIGINT) FROM flush_minutes"), 3);
            assert_eq!(number(&database, "SELECT CAST(SUM(events) AS BIGINT) FROM flush_minutes"), 30);
            assert_eq!(counted(&database, "flush_minutes", "processed"), 30);

            flush(&store, vec![processed(plain(31, "a", ""))]).await;
            assert_eq!(store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up"), 1);
            assert_eq!(counted(&database, "flush_minutes", "%"), 31, "a later roll-up adds to the minute");
        });
    }

    // Guards `Span`: what was counted stays counted, by the hour after eight days, by the day after sixty.
    fn old_minutes_become_hours_and_older_ones_days(database) {
        with_store(&database, async |store| {
            let roll_up = async || while store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up") > 0 {};
            let now = Utc::now();
            let hour = (now - TimeDelta::days(9)).duration_trunc(TimeDelta::hours(1)).expect("an hour");
            let day = (now - TimeDelta::days(61)).duration_trunc(TimeDelta::days(1)).expect("a day");
            let minutes = [0, 1, 59, 60].map(|minutes| hour + TimeDelta::minutes(minutes));
            let hours = [0, 65, 1_439].map(|minutes| day + TimeDelta::minutes(minutes));
            for (id, minute) in (1..).zip(minutes.into_iter().chain(hours)) {
                flush(&store, vec![processed(plain(id, "a", ""))]).await;
                roll_up().await;
                let fresh = (now - TimeDelta::hours(1)).to_rfc3339();
                let minute = minute.to_rfc3339();
                super::execute(&database, &format!("UPDATE flush_minutes SET minute = '{minute}' WHERE minute > '{fresh}'"));
            }
            flush(&store, vec![processed(plain(8, "a", ""))]).await;
            roll_up().await;
            assert_eq!(number(&database, "SELECT COUNT(*) FROM flush_minutes"), 4, "two hours, a day, a minute");
            for column in ["flushes", "events", "processed"] {
                assert_eq!(number(&database, &format!("SELECT CAST(SUM({column}) AS BIGINT) FROM flush_minutes")), 8, "{column}");
            }
            assert_eq!(counted(&database, "flush_minutes", "processed"), 8);
            let balance = store.stats(vec![hour], WAIT).await.expect("figures");
            assert_eq!((balance.balance.processed, balance.windows[0].processed), (8, 5));
        });
    }

    // Guards that `counts::insert` takes what the guarded statements returned: pending first, final later.
    fn an_event_that_was_retried_is_counted_under_each_of_its_states(database) {
        with_store(&database, async |store| {
            flush(&store, vec![transient(plain(1, "a", ""))]).await;
            let due = "UPDATE events SET next_attempt_at = received_at";
            super::execute(&database, due);
            let claimed = claim(&store, Uuid::new_v4(), ClaimTarget::Waiting).await.remove(0);
            assert_eq!(claimed.event.attempts, 1);
            flush(&store, vec![under(claimed.lease_token, processed(claimed.event))]).await;
            assert_eq!(counted(&database, "flushes", "pending"), 1);
            assert_eq!(counted(&database, "flushes", "processed"), 1);
            assert_eq!(number(&database, "SELECT attempts FROM events"), 2);
        });
    }

    // Guards `Counted::values` and the figures in `rollup.rs`: a retried event is received once and finished once, and a
    // roll-up changes no figure.
    fn the_balance_adds_up_while_events_are_pending_and_after_a_roll_up(database) {
        with_store(&database, async |store| {
            let long_ago = Utc::now().duration_trunc(TimeDelta::minutes(1)).expect("a minute") - TimeDelta::hours(1);
            flush(&store, vec![processed(plain(1, "a", "")), transient(plain(2, "b", "")), transient(plain(3, "c", ""))]).await;
            let stats = store.stats(vec![long_ago], WAIT).await.expect("figures");
            let halfway = Balance { received: 3, processed: 1, pending: 2, ..Balance::default() };
            let window = stats.windows[0];
            assert_eq!((stats.balance, window.pending, window.flushes), (halfway, 2, 1));
            super::execute(&database, "UPDATE events SET next_attempt_at = received_at WHERE id = 2");
            let claimed = claim(&store, Uuid::new_v4(), ClaimTarget::Waiting).await.remove(0);
            flush(&store, vec![under(claimed.lease_token, processed(claimed.event))]).await;
            let young = store.stats(vec![long_ago], WAIT).await.expect("figures");
            let settled = Balance { received: 3, processed: 2, pending: 1, ..Balance::default() };
            assert_eq!((young.balance, young.windows[0].processed, young.windows[0].flushes), (settled, 2, 2));
            assert_eq!(store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up"), 2);
            flush(&store, vec![processed(plain(4, "d", ""))]).await;
            store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up");
            let old = store.stats(vec![long_ago], WAIT).await.expect("figures");
            let settled = Balance { received: 4, processed: 3, pending: 1, ..Balance::default() };
            let window = old.windows[0];
            assert_eq!((old.balance, window.processed, window.flushes, window.pending), (settled, 3, 3, 2));
            assert!(window.worked_us >= young.windows[0].worked_us, "{old:?}");
            let none = store.stats(vec![Utc::now() + TimeDelta::hours(1)], WAIT).await.expect("figures");
            assert_eq!((none.windows[0].processed, none.balance), (0, settled), "the window bounds the figures, not the balance");
        });
    }
}
