//! Rule 8 in the store: a claim writes only the lease, and outcomes are written only under it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::time::Duration;

use gristmill::store::{ClaimOrder, ClaimTarget, Death, Notification, NotificationListener, Store, Vitals, Written};
use sea_orm::prelude::Uuid;

use super::records::{claim, deferred, event, flush, plain, processed, transient, under};
use super::{WAIT, aside, execute, number, with_store};
use crate::support::database::{Database, Kind};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// Stores events that wait for their first attempt.
async fn store_waiting(store: &Store, ids: std::ops::RangeInclusive<i64>) {
    let records: Vec<_> = ids.map(|id| deferred(plain(id, "waiting", ""))).collect();
    flush(store, records).await;
}

fn ids_of(claimed: &[gristmill::store::Claimed]) -> Vec<i64> {
    claimed.iter().map(|claimed| claimed.event.id).collect()
}

/// Everything of the events that a claim must not touch.
fn uncharged(database: &Database) -> i64 {
    let condition = "status = 'pending' AND attempts = 0 AND crashes = 0 AND NOT suspect AND generation = 0 \
                     AND started_at IS NOT NULL AND finished_at IS NULL AND next_attempt_at IS NOT NULL";
    number(database, &format!("SELECT COUNT(*) FROM events WHERE {condition}"))
}

both_databases! {
    // Guards the SET list of `claim_statement`, and `lease_boot IS NULL` in `condition`.
    fn a_claim_writes_only_the_lease(database) {
        with_store(&database, async |store| {
            store_waiting(&store, 1..=3).await;
            assert_eq!(uncharged(&database), 3);
            let boot = Uuid::new_v4();
            let claimed = claim(&store, boot, ClaimTarget::Waiting).await;
            assert_eq!(claimed.len(), 3);
            assert_eq!(uncharged(&database), 3, "a claim was charged");
            let leased = "SELECT COUNT(*) FROM events \
                          WHERE lease_boot IS NOT NULL AND lease_token IS NOT NULL AND lease_until IS NOT NULL";
            assert_eq!(number(&database, leased), 3);
            assert_eq!(claim(&store, Uuid::new_v4(), ClaimTarget::Waiting).await, [], "claimed twice");
            assert_eq!(claim(&store, Uuid::new_v4(), ClaimTarget::These(vec![1, 2, 3])).await, [], "claimed twice");
        });
    }

    // Guards `before < …` in `claim_statement`: payloads of claimed events are in memory all at once.
    fn a_claim_takes_the_event_that_passes_its_bytes_and_none_beyond(database) {
        with_store(&database, async |store| {
            store_waiting(&store, 1..=5).await;
            let payload = number(&database, "SELECT length(CAST(payload AS TEXT)) FROM events WHERE id = 1");
            let bytes = usize::try_from(2 * payload - 1).expect("a length");
            let order = ClaimOrder { boot_id: Uuid::new_v4(), limit: 10, bytes, lease: Duration::from_secs(10) };
            let (claimed, _) = store.claim(ClaimTarget::Waiting, order, WAIT).await.expect("an answer");
            assert_eq!(claimed.len(), 2);
            let none = ClaimOrder { bytes: 0, ..order };
            assert_eq!(store.claim(ClaimTarget::Waiting, none, WAIT).await.expect("an answer"), (Vec::new(), false));
        });
    }

    // Guards `reading::read` under `read_claimed`: what counts is what is read, in bytes, with numbers written out.
    fn the_bytes_of_a_claim_are_those_that_are_read(database) {
        with_store(&database, async |store| {
            let body = |payload: &str| format!(r#"{{"event_name":"a","event_type":"b","payload":{{"a":{payload}}}}}"#);
            let smiles = body(&format!("\"{}\"", "😀".repeat(10_000)));
            flush(&store, (1..=10).map(|id| deferred(event(id, 1, &smiles))).collect()).await;
            let order = ClaimOrder { boot_id: Uuid::new_v4(), limit: 10, bytes: 100_000, lease: Duration::from_secs(10) };
            let (claimed, _) = store.claim(ClaimTarget::Waiting, order, WAIT).await.expect("an answer");
            assert_eq!(ids_of(&claimed), [1, 2, 3]);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE lease_boot IS NOT NULL"), 3);

            let numbers = body(&format!("[0{}]", ",1e308".repeat(1_000)));
            flush(&store, (21..=30).map(|id| deferred(event(id, 1, &numbers))).collect()).await;
            let order = ClaimOrder { bytes: 700_000, ..order };
            let named = (21..=30).collect();
            let (claimed, _) = store.claim(ClaimTarget::These(named), order, WAIT).await.expect("an answer");
            // PostgreSQL writes 310,000 bytes of each.
            assert_eq!(claimed.len(), if database.kind() == Kind::Sqlite { 10 } else { 3 });
        });
    }

    // Guards `e.lease_token = t.token AND e.status = 'pending'` in `update_events`.
    fn an_outcome_under_a_stale_lease_changes_nothing(database) {
        with_store(&database, async |store| {
            store_waiting(&store, 1..=1).await;
            let first = claim(&store, Uuid::new_v4(), ClaimTarget::Waiting).await.remove(0);
            execute(&database, "UPDATE events SET lease_boot = NULL");
            let second = claim(&store, Uuid::new_v4(), ClaimTarget::Waiting).await.remove(0);
            let late = under(first.lease_token, transient(first.event));
            assert_eq!(flush(&store, vec![late.clone()]).await, [Written::Fenced]);
            assert_eq!(uncharged(&database), 1, "a stale outcome was written");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts"), 0);
            let right = under(second.lease_token, processed(second.event));
            assert_eq!(flush(&store, vec![right]).await, [Written::Stored]);
            assert_eq!(flush(&store, vec![late]).await, [Written::Fenced], "the event is final");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE status = 'processed'"), 1);
            let flushes = number(&database, "SELECT COUNT(*) FROM flushes");
            assert_eq!(flushes, 2, "a fenced outcome was counted");
        });
    }

    // Guards `AND e.lease_boot IS NOT NULL` in `update_events`: a lease that was given back is over.
    fn an_outcome_under_a_lease_that_was_given_back_changes_nothing(database) {
        with_store(&database, async |store| {
            store_waiting(&store, 1..=1).await;
            let boot = Uuid::new_v4();
            let claimed = claim(&store, boot, ClaimTarget::Waiting).await.remove(0);
            assert_eq!(store.release_orphans(boot, Vec::new(), WAIT).await.expect("released"), 1);
            let late = under(claimed.lease_token, processed(claimed.event));
            assert_eq!(flush(&store, vec![late]).await, [Written::Fenced]);
            assert_eq!(uncharged(&database), 1);
        });
    }

    // Guards `has_outcome_already`: without it the node would count its own success as a stale write.
    fn an_outcome_whose_answer_was_lost_is_repeated_and_counted_once(database) {
        with_store(&database, async |store| {
            store_waiting(&store, 1..=2).await;
            let claimed = claim(&store, Uuid::new_v4(), ClaimTarget::Waiting).await;
            let [one, two] = <[_; 2]>::try_from(claimed).expect("two events wait");
            let records =
                vec![under(one.lease_token, processed(one.event)), under(two.lease_token, transient(two.event))];
            assert_eq!(flush(&store, records.clone()).await, [Written::Stored, Written::Stored]);
            assert_eq!(flush(&store, records).await, [Written::Repeated, Written::Repeated]);
            assert_eq!(number(&database, "SELECT SUM(attempts) FROM events"), 2);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts"), 1);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM flushes"), 2);
        });
    }

    // Guards `release_orphans`: only leases of this boot that have no work behind them, and nothing is charged.
    fn leases_without_work_behind_them_are_given_back_uncharged(database) {
        with_store(&database, async |store| {
            store_waiting(&store, 1..=3).await;
            let boot = Uuid::new_v4();
            let other = Uuid::new_v4();
            claim(&store, other, ClaimTarget::These(vec![3])).await;
            claim(&store, boot, ClaimTarget::Waiting).await;
            assert_eq!(store.release_orphans(boot, vec![2], WAIT).await.expect("released"), 1);
            assert_eq!(uncharged(&database), 3);
            let again = claim(&store, boot, ClaimTarget::Waiting).await;
            assert_eq!(ids_of(&again), [1], "2 has work behind it, 3 is another node's");
        });
    }

    // Guards the SET list of `take_over_statement`, and `NOT suspect` in `condition`.
    fn a_lease_of_a_dead_node_is_charged_and_makes_its_event_a_suspect(database) {
        with_store(&database, async |store| {
            store_waiting(&store, 1..=3).await;
            let dead = Uuid::new_v4();
            let alive = Uuid::new_v4();
            store.register_node(dead, "mill", Uuid::new_v4(), WAIT).await.expect("registered");
            claim(&store, dead, ClaimTarget::These(vec![1, 2])).await;
            claim(&store, alive, ClaimTarget::Waiting).await;
            let death = Death { boot_id: dead, name: "mill".to_owned(), heartbeat: 0 };
            assert_eq!(store.take_over(death.clone(), WAIT).await.expect("taken over"), 2);
            assert_eq!(store.take_over(death, WAIT).await.expect("nothing left"), 0);
            let charged = "SELECT COUNT(*) FROM events WHERE suspect AND attempts = 1 AND crashes = 1 AND id < 3";
            assert_eq!(number(&database, charged), 2);
            assert_eq!(uncharged(&database), 1, "the living node's event was touched");
            let lost = "SELECT COUNT(*) FROM attempts WHERE error_code = 'worker_lost' AND attempt = 1 AND node = 'mill'";
            assert_eq!(number(&database, lost), 2);
            assert_eq!(claim(&store, alive, ClaimTarget::Waiting).await, [], "a suspect runs with others");
            assert_eq!(claim(&store, alive, ClaimTarget::These(vec![1, 2])).await, [], "a suspect runs with others");
            let suspects = claim(&store, alive, ClaimTarget::Suspects).await;
            assert_eq!(ids_of(&suspects), [1, 2]);
            assert!(suspects.iter().all(|claimed| claimed.suspect && claimed.event.attempts == 1), "{suspects:?}");
        });
    }

    // Guards the heartbeat in `take_over_statement`: a node that came back while it was judged keeps what it holds.
    fn nothing_is_taken_from_a_node_that_has_come_back(database) {
        with_store(&database, async |store| {
            let node = Uuid::new_v4();
            store.register_node(node, "mill", Uuid::new_v4(), WAIT).await.expect("registered");
            store_waiting(&store, 1..=1).await;
            assert!(store.heartbeat(node, Vitals::default(), WAIT).await.expect("an answer"));
            assert_eq!(claim(&store, node, ClaimTarget::Waiting).await.len(), 1);
            let judged = |heartbeat| Death { boot_id: node, name: "mill".to_owned(), heartbeat };
            assert_eq!(store.take_over(judged(0), WAIT).await.expect("nothing taken"), 0);
            assert_eq!(uncharged(&database), 1);
            assert_eq!(store.take_over(judged(1), WAIT).await.expect("taken over"), 1);
        });
    }

    // Guards `next_attempt_at <= now` in `condition`. On SQLite a timer that named the event would be this node's own.
    fn an_event_is_not_claimed_before_its_time(database) {
        with_store(&database, async |store| {
            flush(&store, vec![transient(plain(1, "later", ""))]).await;
            let boot = Uuid::new_v4();
            assert_eq!(claim(&store, boot, ClaimTarget::Waiting).await, []);
            if database.kind() == Kind::Postgres {
                assert_eq!(claim(&store, boot, ClaimTarget::These(vec![1])).await, []);
            }
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE status = 'pending'"), 1);
        });
    }
}

both_databases! {
    // Guards `is_silent` in `FailureDetector::observe`, and that `Turn::run` takes over from whom it found dead.
    fn claims_of_a_node_that_fell_silent_are_taken_over_and_charged(database) {
        with_store(&database, async |store| {
            let silent = Uuid::new_v4();
            store.register_node(silent, "silent", Uuid::new_v4(), WAIT).await.expect("registered");
            store_waiting(&store, 9_000..=9_000).await;
            assert_eq!(claim(&store, silent, ClaimTarget::Waiting).await.len(), 1);
        });
        let lease = "lease = { duration = \"1s\", poll = \"200ms\" }";
        let mut server = Server::start(Setup::new(&database).with_config(lease));
        let done = super::finished(&server.client(), 9_000);
        assert_eq!((&done["status"], &done["attempts"]), (&"processed".into(), &2.into()), "{done}");
        assert_eq!(number(&database, "SELECT crashes FROM events WHERE id = 9000"), 1);
        assert!(server.log().contains("silent"), "{}", server.log());
    }
}

both_databases! {
    // Guards `holds_leases` in `Store::neighbours` and `FailureDetector::deaths`: a claim that is committed after its node's end was
    // never looked for again, once everything had been taken over.
    fn a_lease_that_is_committed_after_its_nodes_end_is_taken_over(database) {
        let ended = Uuid::new_v4();
        with_store(&database, async |store| {
            store.register_node(ended, "ended", Uuid::new_v4(), WAIT).await.expect("registered");
            assert!(store.stop_node(ended, WAIT).await.expect("an answer"));
        });
        let lease = "lease = { duration = \"1s\", poll = \"200ms\" }";
        let mut server = Server::start(Setup::new(&database).with_config(lease));
        let client = server.client();
        let posted = super::posted(&client, "page_view");
        let own = "SELECT COUNT(*) FROM nodes WHERE stopped_at IS NULL AND heartbeat > 5";
        wait_for("the Claimer to have looked around", SOON, || (number(&database, own) == 1).then_some(()), String::new);
        let late = format!(
            "UPDATE events SET status = 'pending', attempts = 0, processed_at = NULL, finished_at = NULL, \
             next_attempt_at = received_at, lease_token = NULL, lease_boot = (SELECT boot_id FROM nodes WHERE name = 'ended') \
             WHERE id = {posted}"
        );
        assert_eq!(execute(&database, &late), 1);
        let done = super::finished(&client, posted);
        assert_eq!((&done["status"], &done["attempts"]), (&"processed".into(), &2.into()), "{done}");
    }
}

/// Counts the hints that it hears.
struct Ear(Arc<AtomicUsize>);

impl NotificationListener for Ear {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn is_listening(&self) -> bool {
        true
    }
}

// Guards `work_is_due` in `write_all`. NOTIFY costs a lock at COMMIT: only a flush that leaves due work may pay for it.
#[test]
fn only_a_flush_that_leaves_due_work_tells_the_other_nodes_and_once() {
    let database = Database::postgres();
    with_store(&database, async |store| {
        let heard = Arc::new(AtomicUsize::new(0));
        store.listen(Notification::Due, Ear(heard.clone()));
        let count = |wanted| {
            let reached = || (heard.load(Ordering::Relaxed) >= wanted).then_some(());
            wait_for("hints", SOON, reached, || format!("{} of {wanted}", heard.load(Ordering::Relaxed)));
            heard.load(Ordering::Relaxed)
        };
        assert_eq!(aside(|| count(1)), 1, "whoever begins to listen may have missed some");
        flush(&store, vec![processed(plain(1, "done", ""))]).await;
        flush(&store, vec![transient(plain(2, "later", ""))]).await;
        store_waiting(&store, 3..=5).await;
        // Hints come in the order of commits.
        assert_eq!(aside(|| count(2)), 2);
        let boot = Uuid::new_v4();
        claim(&store, boot, ClaimTarget::Waiting).await;
        assert_eq!(store.release_orphans(boot, vec![3, 4, 5], WAIT).await.expect("nothing to release"), 0);
        assert_eq!(store.release_orphans(boot, Vec::new(), WAIT).await.expect("released"), 3);
        assert_eq!(aside(|| count(3)), 3);
    });
}

/// Claims one event after the other until none is left.
async fn claim_all(store: Store) -> Vec<i64> {
    let boot = Uuid::new_v4();
    let mut all = Vec::new();
    loop {
        let claimed = claim(&store, boot, ClaimTarget::Waiting).await;
        if claimed.is_empty() {
            return all;
        }
        all.extend(ids_of(&claimed));
    }
}

// Guards `FOR UPDATE SKIP LOCKED` and `AND status = 'pending'` in `claim_statement`, and that its CTE is
// `MATERIALIZED`: claimers would wait for each other, take an event twice, or take more than their limit.
#[test]
fn claimers_that_race_never_take_an_event_twice() {
    let database = Database::postgres();
    with_store(&database, async |store| {
        store_waiting(&store, 1..=400).await;
        let claimers: Vec<_> = (0..6).map(|_| tokio::spawn(claim_all(store.clone()))).collect();
        let mut seen = BTreeSet::new();
        for claimer in claimers {
            for id in claimer.await.expect("no panic") {
                assert!(seen.insert(id), "{id} was claimed twice");
            }
        }
        // What a claimer skipped was claimed by the one that had locked it.
        assert_eq!(seen.len(), 400);
    });
}
