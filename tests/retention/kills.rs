//! Runs that are cut off: what was removed is counted once, and the rest goes.

use std::time::Duration;

use serde_json::json;

use super::archive::{rows, with_archive};
use super::{OFTEN, await_removed, make_old, number, removed};
use crate::jobs::kills::thousands;
use crate::nodes::cluster::Nodes;
use crate::support::database::Database;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, rest, wait_for};

/// A Pruner that takes its time before each piece.
const SLOW: &str = "[[faults]]\nstage = \"pruner\"\npoint = \"turn\"\naction = \"stall\"\nduration = \"20ms\"\n";

both_databases! {
    // Guards that a file is true up to where the transaction says that removes its rows.
    fn after_kills_each_event_is_in_the_archive_once(database) {
        let (setup, _folder) = with_archive(&database, SLOW);
        assert_removed_once_in_spite_of_kills(&database, setup.clone());
        assert_eq!(rows(&setup), 4_000);
        setup.run(&["archive", "verify"]);
        let restored = setup.run(&["archive", "restore", "2020-01-01"]);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM events"), 4_000, "{restored}");
        setup.run(&["db", "check"]);
    }

    // Guards the one transaction of a piece, and the lease that a dead node leaves.
    fn a_run_goes_on_after_kills_and_removes_each_event_once(database) {
        let setup = Setup::new(&database).with_config(&format!("{OFTEN}{SLOW}"));
        assert_removed_once_in_spite_of_kills(&database, setup);
    }
}

fn assert_removed_once_in_spite_of_kills(database: &Database, setup: Setup) {
    let mut server = Server::start(setup);
    thousands(&server.client(), 4);
    make_old(database);
    for kill in 0..3 {
        let has_begun = || {
            let left = number(database, "SELECT COUNT(*) FROM events");
            (left < 4_000 - kill * 200).then_some(left)
        };
        let left = wait_for("the run to get on", SOON * 8, has_begun, || server.log_tail());
        rest(Duration::from_millis(30 * kill.unsigned_abs()));
        server.kill9();
        assert!(left > 0, "the run was over before kill {kill}");
        // Whoever was at it is dead: nobody has to wait until its time is over.
        database.execute("UPDATE retention SET held_until = NULL, holder = NULL");
        server.restart();
    }
    await_removed(&server, &json!({"validation_error": 4_000}));
    assert_eq!(number(database, "SELECT COUNT(*) FROM events"), 0);
    let client = server.client();
    let logged = || client.get("/api/v1/audit?action=rows_removed").json();
    let is_logged = || {
        let rows = logged();
        let rows = rows["data"].as_array().expect("a list").clone();
        let sum: i64 = rows.iter().filter_map(|row| row["detail"]["removed"]["validation_error"].as_i64()).sum();
        (sum == 4_000).then_some(())
    };
    wait_for("the log to have it", SOON, is_logged, || logged().to_string());
}

#[test]
fn two_nodes_remove_each_event_once() {
    let database = Database::postgres();
    let config = format!("{OFTEN}lease.duration = \"2s\"\n");
    let nodes = Nodes::start(&database, &[&config, &config]);
    thousands(&nodes.client(0), 4);
    make_old(&database);
    let is_done = || (removed(&database) == json!({"validation_error": 4_000})).then_some(());
    wait_for("old rows to be removed", SOON * 8, is_done, || format!("{}\n{}", removed(&database), nodes.logs()));
    let counted: u64 = nodes
        .servers
        .iter()
        .map(|server| super::metric(server, "gristmill_retention_rows_removed_total{what=\"validation_error\"}"))
        .sum();
    assert_eq!(counted, 4_000, "both nodes together");
}
