//! Rules 7 and 10 for replays: each undoes one outcome once, and takes the key that a refused event did not.

use std::time::Duration;

use gristmill::clock;
use gristmill::domain::outcome::{Failure, Outcome};
use gristmill::domain::payload::PayloadLimits;
use gristmill::domain::rejection::{Flaw, RejectCode, Rejection};
use gristmill::store::{ClaimOrder, Claimed, Principal, Record, Replay, ReplayRules, Store, Written};
use sea_orm::prelude::Uuid;

use super::records::{POLICY, event, flush, plain, processed, under};
use super::{WAIT, number, with_store};

pub const RULES: ReplayRules = ReplayRules {
    limits: PayloadLimits { bytes_max: 1 << 20, depth_max: 10, number_chars_max: 1_000 },
    keys_live_for: Duration::from_secs(7 * 86_400),
};

/// The record of an event that is refused.
fn refused(id: i64, name: &str, uid: &str) -> Record {
    let record = processed(plain(id, name, uid));
    let flaw = Flaw::new(RejectCode::InvalidField, "/user_id", "bad");
    let outcome = Outcome::of(&record.event, Err(&Failure::Reject(Rejection::of(flaw))), &POLICY, clock::now());
    Record { outcome, ..record }
}

async fn reopened(store: &Store, ids: Vec<i64>) -> Vec<Claimed> {
    let order =
        ClaimOrder { boot_id: Uuid::new_v4(), limit: ids.len(), bytes: usize::MAX, lease: Duration::from_secs(10) };
    let replay = Replay { ids, visible_to: None, is_forced: true, patch: None, by: Principal::command("test") };
    store.reopen(replay, RULES, order, WAIT).await.expect("an answer").claimed
}

/// The outcome of a replay that succeeds.
async fn outcome_of(store: &Store, claimed: &Claimed) -> Written {
    let record = under(claimed.lease_token, processed(claimed.event.clone()));
    flush(store, vec![record]).await.remove(0)
}

both_databases! {
    // Guards `FOR UPDATE` in `rows::lock`: who waited for the row would undo, and note, what was undone already.
    fn operators_that_race_reopen_each_event_once(database) {
        with_store(&database, async |store| {
            flush(&store, (1..=200).map(|id| refused(id, "a", "")).collect()).await;
            let operator = |n: i64| {
                let store = store.clone();
                let ids = (1..=200).map(|id| (id * 7 + n * 31) % 200 + 1).collect();
                tokio::spawn(async move { reopened(&store, ids).await.len() })
            };
            let operators: Vec<_> = (0..6).map(operator).collect();
            let mut total = 0;
            for operator in operators {
                total += operator.await.expect("no panic");
            }
            assert_eq!(total, 200);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM replays"), 200);
            assert_eq!(number(&database, "SELECT SUM(validation_error) FROM flushes"), 0, "each was taken back once");
        });
    }

    // Guards `payload_sql` in `rows::reopen_statement`: a processed event has its payload in its properties only.
    fn a_replay_of_a_processed_event_has_its_payload(database) {
        with_store(&database, async |store| {
            let body = r#"{"event_name":"a","event_type":"b","payload":{"page":"/x","n":9007199254740993,"f":1.10,"s":"\u00e9\n"}}"#;
            let [with, without, null] = [body, r#"{"event_name":"a","event_type":"b"}"#, r#"{"event_name":"a","event_type":"b","payload":null}"#];
            let events = [with, without, null].into_iter().zip(1..).map(|(body, id)| event(id, 1, body));
            flush(&store, events.map(processed).collect()).await;
            let stored = |what: &str| number(&database, &format!("SELECT COUNT(*) FROM events WHERE {what}"));
            assert_eq!(stored("payload IS NULL AND properties IS NOT NULL"), 3);
            let mut claimed = reopened(&store, vec![1, 2, 3]).await;
            claimed.sort_by_key(|claimed| claimed.event.id);
            assert_eq!((stored("payload IS NOT NULL"), stored("properties IS NULL")), (1, 3));
            let payload = claimed[0].event.payload().expect("the payload").as_str();
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            assert_eq!(value(payload), value(body)["payload"]);
            assert!(payload.contains("9007199254740993") && payload.contains("1.10"), "{payload}");
            assert!(claimed[1..].iter().all(|claimed| claimed.event.payload().is_none()), "{claimed:?}");
            for claimed in &claimed {
                assert_eq!(outcome_of(&store, claimed).await, Written::Stored);
            }
            assert_eq!(stored("payload IS NULL AND properties IS NOT NULL"), 3);
        });
    }

    // Guards `keys::give_back`.
    fn a_replay_whose_outcome_comes_too_late_leaves_no_key(database) {
        with_store(&database, async |store| {
            flush(&store, vec![refused(1, "a", "key")]).await;
            let late = reopened(&store, vec![1]).await.remove(0);
            assert!(store.cancel(1, None, &Principal::command("test"), WAIT).await.expect("an answer"));
            assert_eq!(outcome_of(&store, &late).await, Written::Fenced);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys"), 0);
            let again = reopened(&store, vec![1]).await.remove(0);
            assert_eq!(outcome_of(&store, &again).await, Written::Stored);
            assert_eq!(outcome_of(&store, &again).await, Written::Repeated, "its answer was lost");
            assert_eq!(number(&database, "SELECT event_id FROM dedupe_keys WHERE key = 'key'"), 1);
        });
    }

    // Guards `apply_key_conflicts` for records with a lease: two rows would be in force under one key.
    fn a_replay_that_loses_its_key_on_the_way_fails(database) {
        with_store(&database, async |store| {
            flush(&store, vec![refused(1, "a", "key")]).await;
            let late = reopened(&store, vec![1]).await.remove(0);
            assert_eq!(flush(&store, vec![processed(plain(2, "other", "key"))]).await, [Written::Stored]);
            let written = outcome_of(&store, &late).await;
            assert!(matches!(&written, Written::StoredAs(outcome) if outcome.error_code == Some("event_uid_conflict")), "{written:?}");
            let failed = "SELECT COUNT(*) FROM events WHERE id = 1 AND status = 'failed' AND lease_boot IS NULL";
            assert_eq!(number(&database, failed), 1);
            assert_eq!(number(&database, "SELECT SUM(failed) FROM flushes"), 1);
        });
    }
}
