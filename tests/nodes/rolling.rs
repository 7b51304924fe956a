//! Every node is restarted once under load: its clients see lost connections at most.

use super::cluster::Nodes;
use crate::support::database::Database;
use crate::support::ledger::{Ledger, State};
use crate::support::load::Load;
use crate::support::wait::{SOON, wait_for};

/// Clients of each node.
const CLIENTS: usize = 2;

/// Acknowledgements between two steps.
const ENOUGH: usize = 50;

/// Restarts each of `count` nodes in each round, one after the other, and verifies what all clients were told.
pub fn run(count: usize, rounds: usize) {
    let database = Database::postgres();
    let mut nodes = Nodes::start(&database, &vec![""; count]);
    let start = |server: &crate::support::server::Server| Load::start(server.ports(), nodes.token(), CLIENTS);
    let loads: Vec<Load> = nodes.servers.iter().map(start).collect();
    for _ in 0..rounds {
        for index in 0..count {
            await_progress(&loads, &nodes);
            nodes.servers[index].terminate();
            let status = nodes.servers[index].wait_exit(SOON);
            assert_eq!(status.code(), Some(0), "{}", nodes.logs());
            nodes.servers[index].restart();
        }
    }
    await_progress(&loads, &nodes);
    for load in loads {
        let ledger = load.stop();
        assert_no_error(&ledger, rounds);
        ledger.verify(&nodes.client(0), &database);
    }
    nodes.await_quiet();
}

fn await_progress(loads: &[Load], nodes: &Nodes) {
    for load in loads {
        let enough = load.acknowledged() + ENOUGH;
        let there = || (load.acknowledged() >= enough).then_some(());
        wait_for("acknowledged events", SOON, there, || format!("{load:?}\n{}", nodes.logs()));
    }
}

/// A client may lose its connection in each restart of its node; nothing is refused.
fn assert_no_error(ledger: &Ledger, rounds: usize) {
    let (_, rejected, unknown) = ledger.counts();
    let refusals: Vec<State> = ledger.entries().iter().map(|entry| entry.state).collect();
    let refusals: Vec<_> = refusals.iter().filter(|state| matches!(state, State::Rejected(_))).collect();
    assert_eq!(rejected, 0, "{refusals:?}");
    assert!(unknown <= CLIENTS * rounds, "{unknown} answers were lost in {rounds} restarts");
}

// Guards the order of `app::drain`: the API ends before the line does.
#[test]
fn a_rolling_restart_under_load_refuses_and_loses_nothing() {
    run(2, 1);
}
