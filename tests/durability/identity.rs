//! Rule 2: identity is (id, task_id), so a write whose outcome is unknown may be repeated, and a taken id is noticed.

use gristmill::store::{FlushError, Written};

use super::records::{flush, plain, processed, try_flush};
use super::{execute_either, number, post, posted, with_store};
use crate::support::database::Database;
use crate::support::server::Server;

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

both_databases! {
    // Guards `mark(…, Written::Repeated)` in `insert_new`, and that `counts::counted` leaves repeated rows out.
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

    // Guards the comparison of task ids in `insert_new`: without it the foreign row would count as ours.
    fn an_id_of_another_event_is_a_collision_that_writes_nothing(database) {
        with_store(&database, async |store| {
            store_foreign(&database, 2..=2);
            let records = vec![processed(plain(1, "a", "key")), processed(plain(2, "b", ""))];
            let error = try_flush(&store, records).await.expect_err("id 2 is taken");
            assert!(matches!(&error, FlushError::Collision(ids) if *ids == [2]), "{error}");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 1);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM dedupe_keys"), 0);
        });
    }

    // Guards `Writer::with_new_ids`.
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
