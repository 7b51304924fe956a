//! Many new events in one flush, which PostgreSQL gets by COPY: all of them, as by any other way, or none.

use gristmill::store::{Record, Written};

use super::records::{flush, plain, processed, try_flush};
use super::unwritten::{assert_empty, assert_unwritten, end_suppression, suppress};
use super::{number, refuse, with_store};
use crate::support::database::Database;

/// More than are written row by row, and more than one list of SQLite's holds.
const MANY: i64 = 1_100;

fn records(ids: std::ops::RangeInclusive<i64>) -> Vec<Record> {
    ids.map(|id| processed(plain(id, "page_view", ""))).collect()
}

/// Rows that have what every event has that was processed at once.
fn whole_rows(database: &Database) -> i64 {
    number(
        database,
        "SELECT COUNT(*) FROM events WHERE user_id = 1 AND event_name = 'page_view' AND event_type = 'engagement' \
         AND event_uid IS NULL AND trace_context IS NULL AND timestamp IS NULL AND status = 'processed' AND processed \
         AND payload IS NULL AND properties -> 'original' ->> 'page' = '/page_view' \
         AND properties ->> 'page' = '/page_view' AND attempts = 1 AND crashes = 0 AND generation = 0 \
         AND started_at = received_at AND finished_at = processed_at AND node = 'mill' AND error_code IS NULL",
    )
}

both_databases! {
    // Guards `FIELDS` and the order of columns in `flush/copy.rs`, and `LENGTHS` in `flush/sqlite.rs`.
    fn a_row_is_the_same_however_many_are_written_with_it(database) {
        with_store(&database, async |store| {
            let mut next = 1;
            for rows in [1, 63, 64, 65, 300, 1_000, MANY] {
                let written = flush(&store, records(next..=next + rows - 1)).await;
                assert!(written.iter().all(|written| *written == Written::Stored), "{rows}");
                next += rows;
            }
            assert_eq!(whole_rows(&database), next - 1);
            assert_eq!(number(&database, "SELECT SUM(processed) FROM flushes"), next - 1);
        });
    }

    // Guards the arm for conflicts in `fast_insert::write`: a lost answer is asked for again.
    fn many_that_are_there_are_a_repetition_and_counted_once(database) {
        with_store(&database, async |store| {
            let half = records(1..=100);
            flush(&store, half.clone()).await;
            let all: Vec<Record> = half.into_iter().chain(records(101..=200)).collect();
            let written = flush(&store, all).await;
            assert!(written[..100].iter().all(|written| *written == Written::Repeated), "{written:?}");
            assert!(written[100..].iter().all(|written| *written == Written::Stored), "{written:?}");
            assert_eq!(whole_rows(&database), 200);
            assert_eq!(number(&database, "SELECT SUM(processed) FROM flushes"), 200);
        });
    }

    // Guards the transaction of `copy::write`.
    fn beside_one_that_is_refused_none_of_many_is_written(database) {
        with_store(&database, async |store| {
            refuse(&database, "events", "payload", "poisonous");
            let mut many = records(1..=100);
            many[70] = processed(plain(71, "poisonous", ""));
            let error = try_flush(&store, many).await.expect_err("one of them is refused");
            assert!(error.to_string().contains("refused on purpose"), "{error}");
            assert_empty(&database);
        });
    }

    // Guards the count of rows in `copy::write`, and `changes() = ?` on SQLite.
    fn one_of_many_that_is_left_out_is_noticed(database) {
        with_store(&database, async |store| {
            suppress(&database, "events", "INSERT", "NEW.event_name = 'dropped'");
            let mut many = records(1..=100);
            many[70] = processed(plain(71, "dropped", ""));
            assert_unwritten(try_flush(&store, many).await, 1);
            assert_empty(&database);
            end_suppression(&database, "events");
        });
    }
}
