//! The oracle is shown each kind of broken promise, and its harmless neighbour.

use std::collections::HashMap;

use serde_json::json;

use super::health::balance;
use super::readiness::lies;
use super::rows::Row;
use super::verdict::Verdict;
use crate::chaos::figures::Figures;
use crate::support::database::Database;
use crate::support::events::post_and_wait;
use crate::support::ledger::{Entry, Ledger, State};
use crate::support::server::Server;

fn entry(key: &str, state: State) -> Entry {
    Entry { state, ..Entry::sent(key.to_owned(), true) }
}

fn row(id: i64, mark: &str, status: &str) -> Row {
    let mark = mark.to_owned();
    let status = status.to_owned();
    let processed_at = "2026-01-01".to_owned();
    let node = "mill".to_owned();
    Row { id, mark, status, attempts: 1, generation: 0, is_held: false, is_reversed: false, processed_at, node }
}

fn compared(entries: &[Entry], rows: &[Row]) -> Figures {
    let resent = HashMap::from([("load-again".to_owned(), 3)]);
    let ledger = Ledger::new(entries.to_vec());
    let mut verdict = Verdict::default();
    verdict.compare(&ledger, &resent, rows);
    verdict.into_figures(&ledger)
}

/// Lost, doubled, and violations of all kinds.
#[track_caller]
fn finds(expected: (usize, usize, usize), entries: &[Entry], rows: &[Row]) {
    let figures = compared(entries, rows);
    assert_eq!((figures.lost, figures.doubled, figures.violations.len()), expected, "{figures:?}");
}

#[test]
fn a_load_that_was_kept_is_clean() {
    let keyless = Entry { is_keyed: false, ..entry("load-b", State::Unknown) };
    let entries = [
        entry("load-a", State::Acknowledged(1)),
        keyless,
        entry("load-c", State::Rejected(503)),
        entry("load-again", State::Unknown),
    ];
    let rows = [row(1, "load-a", "processed"), row(3, "load-again", "processed")];
    finds((0, 0, 0), &entries, &rows);
    finds((0, 0, 0), &entries, &[rows.to_vec(), vec![row(2, "load-b", "processed")]].concat());
}

#[test]
fn lost_events_are_found() {
    let entries = [entry("load-a", State::Acknowledged(1)), entry("load-again", State::Unknown)];
    let again = row(3, "load-again", "processed");
    finds((1, 0, 1), &entries, std::slice::from_ref(&again));
    finds((1, 0, 1), &entries, &[row(1, "load-a", "failed"), again.clone()]);
    finds((1, 0, 1), &entries, &[row(1, "load-a", "duplicate"), again.clone()]);
    finds((1, 0, 1), &entries, &[row(2, "load-a", "processed"), again]);
    finds((1, 0, 1), &entries, &[row(1, "load-a", "processed")]);
}

#[test]
fn a_spooled_event_may_end_as_the_duplicate_of_one_that_counts() {
    let spooled = Entry { is_spooled: true, ..entry("load-a", State::Acknowledged(1)) };
    let own = row(1, "load-a", "duplicate");
    let other = row(2, "load-a", "processed");
    finds((0, 0, 0), std::slice::from_ref(&spooled), &[own.clone(), other]);
    finds((1, 0, 1), &[spooled], &[own]);
}

#[test]
fn doubled_events_are_found() {
    let entries = [entry("load-a", State::Acknowledged(1))];
    let rows = [row(1, "load-a", "processed"), row(2, "load-a", "processed")];
    finds((0, 1, 1), &entries, &rows);
    let keyless = Entry { is_keyed: false, ..entry("load-a", State::Unknown) };
    finds((0, 1, 1), &[keyless], &rows);
    let one_id = [entry("load-a", State::Acknowledged(1)), entry("load-b", State::Acknowledged(1))];
    finds((1, 0, 2), &one_id, &[row(1, "load-a", "processed")]);
}

#[test]
fn rows_that_should_not_be_are_found() {
    let entries = [entry("load-a", State::Rejected(503))];
    finds((0, 0, 1), &entries, &[row(1, "load-a", "processed")]);
    finds((0, 0, 1), &entries, &[row(1, "load-stranger", "processed")]);
    finds((0, 0, 1), &[entry("load-a", State::Rejected(401))], &[]);
    let entries = [entry("load-a", State::Acknowledged(1))];
    let good = row(1, "load-a", "processed");
    for bad in [
        Row { attempts: 5, ..good.clone() },
        Row { attempts: 0, ..good.clone() },
        Row { is_reversed: true, ..good.clone() },
        Row { is_held: true, ..good.clone() },
        Row { generation: 1, ..good },
    ] {
        finds((0, 0, 1), &entries, &[bad]);
    }
}

#[test]
fn final_states_that_change_are_found() {
    let changed = |before: Row, after: Vec<Row>| {
        let mut verdict = Verdict::default();
        verdict.final_states_stay(&[before], &after);
        !verdict.is_clean()
    };
    let pending = row(1, "load-a", "pending");
    let done = row(1, "load-a", "processed");
    assert!(!changed(pending, vec![done.clone()]));
    assert!(!changed(done.clone(), vec![done.clone()]));
    assert!(changed(done.clone(), vec![row(1, "load-a", "failed")]));
    assert!(changed(done.clone(), vec![Row { processed_at: "2026-01-02".to_owned(), ..done.clone() }]));
    assert!(changed(done, Vec::new()));
}

#[test]
fn readiness_that_is_believed_in_vain_is_found() {
    let second = std::time::Duration::from_secs;
    let answers = |statuses: &[u16]| -> Vec<Entry> {
        let answer = |(at, status): (u64, &u16)| Entry {
            status: Some(*status),
            sent_after: second(at),
            ..entry("load-a", State::Rejected(*status))
        };
        (0..).zip(statuses).map(answer).collect()
    };
    let said = |statuses: &[u16]| -> Vec<_> { (0..).zip(statuses).map(|(at, status)| (second(at), *status)).collect() };
    let found = |ready: &[u16], statuses: &[u16]| lies(&said(ready), &answers(statuses)).len();
    let ready = [200; 20];
    let refused = [503; 20];
    assert_eq!(found(&ready, &refused), 1);
    assert_eq!(found(&[503; 20], &refused), 0, "it said so");
    assert_eq!(found(&ready, &[202, 503, 503, 503].repeat(5)), 0, "some are taken");
    assert_eq!(found(&ready, &[409; 20]), 0, "these are the events' own fault");
    assert_eq!(found(&[200, 200, 200, 503].repeat(5), &refused), 0, "nobody was sent there for long");
    assert_eq!(found(&[[503; 10], [200; 10]].concat(), &refused), 1);
}

#[test]
fn a_balance_that_the_rows_do_not_bear_out_is_found() {
    let database = Database::sqlite();
    let mut server = Server::start(&database);
    let client = server.client();
    let event = json!({"event_name": "page_view", "event_type": "engagement"});
    assert_eq!(post_and_wait(&client, &event, 10).status, 200);
    assert_eq!(balance(&database, &client), Vec::<String>::new());
    database.execute("UPDATE flushes SET received = received + 1");
    assert_eq!(balance(&database, &client).len(), 1, "uneven");
    database.execute("UPDATE flushes SET received = received + 1, processed = processed + 2");
    assert_eq!(balance(&database, &client).len(), 1, "even, and untrue");
}
