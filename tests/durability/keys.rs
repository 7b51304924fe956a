//! Rule 7: a key belongs to (user, namespace, text), and is written with its event or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use gristmill::domain::dedupe::{DedupeKey, Namespace};
use gristmill::store::Written;

use super::records::{event, flush, plain, processed};
use super::{
    EVENTS, WAIT, await_in_flight, body, execute_either, hold_the_persister, id_of, number, post, posted, with_store,
};
use crate::support::database::Database;
use crate::support::http::Client;
use crate::support::lacks::skips;
use crate::support::load::Load;
use crate::support::machine::clock::Clock;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// Keys whose event has no row.
const ORPHANS: &str = "SELECT COUNT(*) FROM dedupe_keys AS k LEFT JOIN events AS e ON e.id = k.event_id \
                       WHERE e.id IS NULL";

both_databases! {
    // Guards `held_back` in `Queue::take`: the second one of a flush would not see the first one's key.
    fn one_key_posted_by_many_at_once_makes_one_event(database) {
        let mut server = Server::start(&database);
        posted(&server.client(), "warm");
        let (session, first) = hold_the_persister(&database, &mut server);
        let token = server.token();
        let address = server.address();
        let posts: Vec<_> = (0..16)
            .map(|_| {
                let client = Client::new(address, Some(&token));
                std::thread::spawn(move || post(&client, "same", "key"))
            })
            .collect();
        await_in_flight(&server, 17);
        session.commit();
        id_of(&first.join().expect("an answer"));
        let answers: Vec<_> = posts.into_iter().map(|post| post.join().expect("an answer")).collect();
        let ids: BTreeSet<i64> = answers.iter().map(id_of).collect();
        assert_eq!(ids.len(), 1, "{answers:?}");
        let firsts = answers.iter().filter(|answer| answer.json()["duplicate"] == false).count();
        assert_eq!(firsts, 1, "{answers:?}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE event_uid = 'key'"), 1);
    }

    // Guards `Holder::verdict_on`: same content is a duplicate of the first, other content a conflict with it.
    fn a_key_posted_again_is_a_duplicate_or_with_other_content_a_conflict(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let first = id_of(&post(&client, "same", "key"));
        let again = post(&client, "same", "key");
        assert_eq!((again.status, id_of(&again)), (200, first), "{again:?}");
        assert_eq!((&again.json()["duplicate"], &again.json()["event_status"]), (&true.into(), &"processed".into()));
        let other = post(&client, "other", "key");
        assert_eq!((other.status, &other.json()["code"]), (409, &"event_uid_conflict".into()), "{other:?}");
        let header = [("Idempotency-Key", "key")];
        let elsewhere = client.call("POST", EVENTS, &header, Some(body("other", "").as_bytes()));
        assert_eq!(elsewhere.status, 202, "another namespace: {elsewhere:?}");
        let own = client.call("POST", EVENTS, &[("Idempotency-Key", "unused")], Some(body("same", "key").as_bytes()));
        assert_eq!((own.status, id_of(&own)), (200, first), "its own uid wins over the header: {own:?}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys WHERE key = 'unused'"), 0);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 2);
    }

    // Guards the primary key (user_id, namespace, key) of `dedupe_keys` and `DedupeKey::identity`.
    fn keys_of_other_users_and_namespaces_do_not_collide(database) {
        with_store(&database, async |store| {
            let first = plain(1, "a", "key");
            let other_user = event(2, 2, &body("a", "key"));
            let mut other_namespace = plain(3, "a", "key");
            let key = other_namespace.key.take().expect("it has a key");
            other_namespace.key = Some(DedupeKey { namespace: Namespace::IdempotencyKey, ..key });
            let records = [first, other_user, other_namespace].map(processed);
            assert_eq!(flush(&store, records.to_vec()).await, [Written::Stored, Written::Stored, Written::Stored]);
            let again = flush(&store, vec![processed(plain(4, "a", "key"))]).await;
            assert!(matches!(&again[..], [Written::Duplicate(first)] if first.id == 1), "{again:?}");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys"), 3);
        });
    }

    // Guards `WHERE held.created_at < …` in `take_keys`: the key of an event is free after `dedupe.window`, not before.
    fn a_key_is_free_again_after_the_window(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let first = id_of(&post(&client, "same", "key"));
        let age = |age: &str| {
            execute_either(
                &database,
                &format!("UPDATE dedupe_keys SET created_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-{age}')"),
                &format!("UPDATE dedupe_keys SET created_at = now() - interval '{age}'"),
            )
        };
        assert_eq!(age("167 hours"), 1);
        assert_eq!(id_of(&post(&client, "same", "key")), first);
        assert_eq!(age("169 hours"), 1);
        let second = post(&client, "other", "key");
        assert_eq!(second.status, 202, "{second:?}");
        assert_ne!(id_of(&second), first);
        let again = post(&client, "other", "key");
        assert_eq!((again.status, id_of(&again)), (200, id_of(&second)), "the key is held again");
    }

    // Guards `key_clock`: it goes by what passes, not by what a clock says.
    fn the_clock_of_keys_is_moved_by_no_clock_that_is_set(database) {
        with_store(&database, async |store| {
            assert_eq!(flush(&store, vec![processed(plain(1, "a", "key"))]).await, [Written::Stored]);
            let window = Duration::from_secs(7 * 24 * 3_600);
            let clock = || number(&database, "SELECT COUNT(*) FROM key_clock, dedupe_keys WHERE at > created_at");
            for by in ["+2 years", "-2 years"] {
                // As if the database's clock had been set back, or ahead.
                execute_either(
                    &database,
                    &format!("UPDATE key_clock SET read_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', read_at, '{by}')"),
                    &format!("UPDATE key_clock SET read_at = read_at + interval '{by}'"),
                );
                let again = flush(&store, vec![processed(plain(2, "a", "key"))]).await;
                assert!(matches!(&again[..], [Written::Duplicate(first)] if first.id == 1), "{again:?}");
                assert_eq!(store.remove_keys(window, WAIT).await.expect("an answer"), 0);
                store.advance_key_clock(Duration::ZERO, WAIT).await.expect("an answer");
                assert_eq!(clock(), 0, "nothing has passed");
            }
            execute_either(
                &database,
                "UPDATE key_clock SET read_at = strftime('%Y-%m-%dT%H:%M:%f+00:00', read_at, '-8 seconds')",
                "UPDATE key_clock SET read_at = read_at - interval '8 seconds'",
            );
            store.advance_key_clock(Duration::from_secs(60), WAIT).await.expect("an answer");
            assert_eq!(clock(), 1, "8 seconds have passed");
            assert_eq!(store.remove_keys(Duration::from_secs(1), WAIT).await.expect("an answer"), 1);
        });
    }

    // Guards that `keys::claim_of` gives a refused event no other key than its refusal's.
    fn a_rejected_event_takes_no_key(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let nameless = client.post_text(EVENTS, r#"{"event_type":"engagement","event_uid":"key"}"#);
        assert_eq!(nameless.status, 422, "{nameless:?}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys WHERE namespace < 2"), 0);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE status = 'validation_error'"), 1);
        let mended = post(&client, "mended", "key");
        assert_eq!(mended.status, 202, "{mended:?}");
    }

    // Guards that keys and events share the transaction of `write_all`; the ledger posts every lost key again.
    fn kills_leave_no_key_without_its_event_and_no_event_twice(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let load = Load::start(server.ports(), &token, 8);
        for kill in 1..=4 {
            let wanted = load.acknowledged() + 100;
            let enough = || (load.acknowledged() >= wanted).then_some(());
            wait_for(&format!("100 events before kill {kill}"), SOON, enough, || server.log());
            server.kill9();
            assert_eq!(number(&database, ORPHANS), 0, "after kill {kill}");
            server.restart();
        }
        let ledger = load.stop();
        ledger.verify(&server.client(), &database);
        assert_eq!(number(&database, ORPHANS), 0);
    }
}

/// Posts ten events, and again whenever the database's clock was set.
fn assert_keys_outlive(clock: &Clock, server: &mut Server) {
    let client = server.client();
    let post = |n: usize| {
        let answered = || Some(post(&client, "same", &format!("key-{n}"))).filter(|answer| answer.status < 500);
        wait_for("an answer", SOON, answered, || server.log_tail())
    };
    clock.shift("-730d");
    let ids: Vec<i64> = (0..10).map(|n| id_of(&post(n))).collect();
    for shift in ["+0", "+730d", "+0"] {
        clock.shift(shift);
        for (n, id) in ids.iter().enumerate() {
            let again = post(n);
            assert_eq!((again.status, id_of(&again)), (200, *id), "at {shift}: {again:?}");
        }
    }
}

// Guards `birth_sql` and `expiry_sql`: a key lives for the window, however the clock was set when it was taken.
#[test]
fn a_key_outlives_every_clock_that_is_set_on_sqlite() {
    if skips(&[Clock::lacks()]) {
        return;
    }
    let clock = Clock::new();
    clock.shift("-730d");
    let mut server = Server::start(clock.around(Setup::new(&Database::sqlite())));
    assert_keys_outlive(&clock, &mut server);
}

#[test]
fn a_key_outlives_every_clock_that_is_set_on_postgres() {
    if skips(&[Clock::lacks()]) {
        return;
    }
    let clock = Clock::new();
    clock.shift("-730d");
    let cluster = Cluster::start_by(&clock);
    let mut server = Server::start(Setup::new(&Database::at(cluster.fresh_database())));
    assert_keys_outlive(&clock, &mut server);
}
