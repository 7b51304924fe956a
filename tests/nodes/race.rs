//! Several processes race for the same pending rows (fault 20).

use super::cluster::{FIRST_ID, Nodes, assert_processed_once, insert_waiting, number, setup};
use crate::support::database::Database;
use crate::support::server::Server;

/// Small, so that every process comes back often.
const CLAIMS: &str = "lease.claim_events = 20";

/// `processes` start together on `events` pending rows; each row has one effect, and none is charged for the race.
pub fn run(processes: usize, events: usize) {
    let database = Database::postgres();
    // The first node makes schema and user, and is gone before there are rows.
    let mut first = Nodes::start(&database, &[""]);
    first.servers[0].kill9();
    insert_waiting(&database, FIRST_ID, events, "waiting", "1 minute");
    let start = |index| Server::not_started(setup(&database, index).with_config(CLAIMS));
    first.servers.extend((1..=processes).map(start));
    first.servers[1..].iter_mut().for_each(Server::spawn);
    first.servers[1..].iter_mut().for_each(Server::await_ports);
    first.await_quiet();
    assert_processed_once(&database, events, 1);
    assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts"), 0, "somebody was charged");
    let shares = "SELECT node || ' ' || COUNT(*) FROM events WHERE status = 'processed' GROUP BY node ORDER BY node";
    println!("{:?}", database.texts(shares));
}

// Guards `FOR UPDATE SKIP LOCKED` in `claim_statement` and the compare-and-set of outcomes, over processes.
#[test]
fn processes_that_race_for_pending_events_apply_each_once() {
    run(2, 500);
}
