//! A node that stands still while it holds claims, and wakes up later (fault 21).

use std::time::{Duration, Instant};

use super::cluster::{FIRST_ID, LEASE, Nodes, assert_processed_once, insert_waiting, number};
use crate::support::database::Database;
use crate::support::run::signal;
use crate::support::wait::{SOON, wait_for, within};

/// Claimed events of one freeze.
const HELD: usize = 4;

/// The first node is slow with these events, so that it holds them when it is frozen. Its Persister must not give up by
/// itself what is older than the freeze.
const SLOW: &str = r#"
timeouts.accept = "60s"
[[faults]]
stage = "normalizer"
event_name = "held"
action = "stall"
duration = "1s"
"#;

/// Each round freezes the first of two nodes for three leases while it holds claims. Gives the slowest take-over.
pub fn run(rounds: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        slowest = slowest.max(freeze_once());
    }
    println!("slowest take-over: {slowest:?}");
    slowest
}

fn freeze_once() -> Duration {
    let database = Database::postgres();
    let nodes = Nodes::start(&database, &[SLOW, ""]);
    let [frozen, other] = [0, 1].map(|index| nodes.servers[index].pid());
    // The other one stands still for a moment, so that it is the first that claims.
    signal(other, "STOP");
    insert_waiting(&database, FIRST_ID, HELD, "held", "1 minute");
    let of_first = "SELECT COUNT(*) FROM events JOIN nodes ON boot_id = lease_boot WHERE name = 'node-1'";
    let all = || (number(&database, of_first) == i64::try_from(HELD).expect("small")).then_some(());
    wait_for("the first node to claim", SOON, all, || nodes.logs());
    signal(frozen, "STOP");
    signal(other, "CONT");
    let began = Instant::now();
    wait_for("its claims to be taken over", SOON, || (number(&database, of_first) == 0).then_some(()), || nodes.logs());
    let took = began.elapsed();
    nodes.await_quiet();
    // Until three leases are over: nothing is to happen.
    within((LEASE * 3).saturating_sub(began.elapsed()), || None::<()>);
    let rows = || database.texts("SELECT CAST(events AS TEXT) FROM events ORDER BY id");
    let before = rows();
    signal(frozen, "CONT");
    let stale = || (nodes.view(0)["stale_writes_rejected"].as_u64() >= Some(1)).then_some(());
    wait_for("a late write to be counted", SOON, stale, || format!("{}\n{}", nodes.view(0), nodes.logs()));
    let held = || (nodes.view(0)["claims_held"] == 0).then_some(());
    wait_for("the late writes to be over", SOON, held, || format!("{}\n{}", nodes.view(0), nodes.logs()));
    assert_eq!(rows(), before, "a late write changed something");
    // One attempt for the death, one that succeeded.
    assert_processed_once(&database, HELD, 2);
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE crashes = 1"), i64::try_from(HELD).expect("small"));
    let taken = nodes.client(0).post_text("/api/v1/events", r#"{"event_name":"after","event_type":"b","payload":{}}"#);
    assert_eq!(taken.status, 202, "it goes on: {taken:?}");
    took
}

// Guards the lease token in `update_events`, `FailureDetector`, and that the take-over comes without any restart.
#[test]
fn a_frozen_node_loses_its_claims_and_its_late_writes_change_nothing() {
    let took = run(1);
    assert!(took <= LEASE + Duration::from_secs(5), "taken over only after {took:?}");
}
