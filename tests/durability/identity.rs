//! Rule 2: identity is (id, task_id), so a write whose outcome is unknown may be repeated, and a taken id is noticed.

use std::sync::Arc;

use gristmill::store::{FlushError, Record, Written};
use sea_orm::prelude::Uuid;

use super::records::{flush, plain, processed, try_flush};
use super::{execute, execute_either, number, post, posted, with_store};
use crate::support::database::Database;
use crate::support::load::{Load, Plan};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// Rows of an event that somebody else stored.
fn store_foreign(database: &Database, ids: std::ops::RangeInclusive<i64>) {
    for id in ids {
        let columns = "INSERT INTO events (id, task_id, user_id, event_name, status, received_at)";
        execute_either(
            database,
            &format!("{columns} VALUES ({id}, randomblob(16), 1, 'foreign', 'processed', '2026-01-01T00:00:00+00:00')"),
            &format!("{columns} VALUES ({id}, gen_random_uuid(), 1, 'foreign', 'processed', now())"),
        );
    }
}

/// Events that are stored one way or the other, as many as one statement has rows: with a key each, or without.
fn flush_of(count: usize, key: &str) -> Vec<Record> {
    let uid = |n: usize| if key.is_empty() { String::new() } else { format!("{key}-{n}") };
    (0..count).map(|n| processed(plain(100 + n as i64, "a", &uid(n)))).collect()
}

fn collided(flushed: Result<Vec<Written>, FlushError>) -> Vec<(i64, Uuid)> {
    match flushed {
        Err(FlushError::Collision(events)) => events,
        other => panic!("a collision was expected: {other:?}"),
    }
}

both_databases! {
    // Guards `Written::Repeated` in `inserts::insert`, and that `counts::counted` leaves repeated rows out.
    fn a_flush_written_twice_is_stored_and_counted_once(database) {
        with_store(&database, async |store| {
            let records = vec![processed(plain(1, "a", "")), processed(plain(2, "b", "key"))];
            assert_eq!(flush(&store, records.clone()).await, [Written::Stored, Written::Stored]);
            assert_eq!(flush(&store, records.clone()).await, [Written::Repeated, Written::Repeated]);
            let mut mixed = records;
            mixed.push(processed(plain(3, "c", "")));
            assert_eq!(flush(&store, mixed).await, [Written::Repeated, Written::Repeated, Written::Stored]);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 3);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM flushes"), 2, "one for each flush that changed a row");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys"), 1);
        });
    }

    // Guards the comparison of task ids in `inserts::insert`: without it the foreign row would count as ours.
    fn an_id_of_another_event_is_a_collision_that_writes_nothing(database) {
        with_store(&database, async |store| {
            store_foreign(&database, 2..=2);
            let records = vec![processed(plain(1, "a", "key")), processed(plain(2, "b", ""))];
            let collided = collided(try_flush(&store, records.clone()).await);
            assert_eq!(collided, [(2, records[1].event.task_id)]);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 1);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys"), 0);
        });
    }

    // Guards `inserted.remove` in `inserts::insert`, which counts rows and not ids. SQLite's lists are filled up with copies of
    // their last row, which are no records.
    fn an_id_that_comes_twice_in_a_flush_collides_with_itself(database) {
        with_store(&database, async |store| {
            for (count, key) in [(2, ""), (3, "key"), (5, ""), (5, "key"), (9, "key")] {
                for (first, again) in [(0, count - 1), (0, 1), (count - 2, count - 1)] {
                    let mut records = flush_of(count, key);
                    Arc::make_mut(&mut records[again].event).id = records[first].event.id;
                    let expected = [(records[again].event.id, records[again].event.task_id)];
                    assert_eq!(collided(try_flush(&store, records).await), expected, "{count} {key} {first} {again}");
                }
            }
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 0);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM flushes"), 0);
        });
    }

    // Guards `places.sort_by_key` in `inserts::insert`: what was promised under its id cannot get another one.
    fn of_two_events_with_one_id_the_promised_one_keeps_it(database) {
        with_store(&database, async |store| {
            let mut records = flush_of(2, "");
            Arc::make_mut(&mut records[1].event).id = records[0].event.id;
            records[1].is_acknowledged = true;
            let expected = [(records[0].event.id, records[0].event.task_id)];
            assert_eq!(collided(try_flush(&store, records).await), expected);
        });
    }

    // Guards the same `inserted.remove`: the second copy of a record is a repetition.
    fn an_event_that_comes_twice_in_a_flush_is_stored_and_counted_once(database) {
        with_store(&database, async |store| {
            for (id, key) in [(1, ""), (2, "key")] {
                let record = processed(plain(id, "a", key));
                let written = flush(&store, vec![record.clone(), record.clone()]).await;
                assert_eq!(written, [Written::Stored, Written::Repeated], "{key}");
            }
            assert_eq!(number(&database, "SELECT SUM(processed) FROM flushes"), 2);
        });
    }

    // Guards all of that under load, with blocks of ids that are given out again.
    fn ids_that_are_given_out_again_cost_no_acknowledged_event(database) {
        let mut server = Server::start(&database);
        let token = server.token();
        let load = Load::of(Plan::new(server.ports(), &token, 16).keyless(5));
        let forgotten = || {
            execute(&database, "DELETE FROM id_blocks");
            (load.acknowledged() >= 300).then_some(())
        };
        wait_for("300 events", SOON, forgotten, || server.log_tail());
        let (acknowledged, _, unknown) = load.stop().counts();
        let rows = number(&database, "SELECT COUNT(*) FROM events WHERE status = 'processed'");
        assert_eq!((rows, unknown), (i64::try_from(acknowledged).expect("small"), 0), "{}", server.log_tail());
    }

    // Guards `Round::renumber`.
    fn an_event_whose_id_is_taken_gets_another_and_the_other_row_stays(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let first = posted(&client, "page_view");
        store_foreign(&database, first + 1..=first + 3);
        let answer = post(&client, "page_view", "key");
        assert_eq!(answer.status, 202, "{answer:?}");
        let second = super::id_of(&answer);
        assert!(second > first + 3, "{second}");
        assert_eq!(super::event(&client, second)["event_uid"], "key");
        let holder = number(&database, "SELECT event_id FROM dedupe_keys");
        assert_eq!(holder, second, "the key names the new id");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE event_name = 'foreign'"), 3);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 5);
        let again = post(&client, "page_view", "key");
        assert_eq!((again.status, super::id_of(&again)), (200, second));
    }
}
