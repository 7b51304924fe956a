//! Nodes that migrate an empty database together, and ones that are killed while they do (fault 23).

use std::time::Duration;

use super::cluster::{number, setup};
use crate::support::database::Database;
use crate::support::server::Server;
use crate::support::wait::within;

/// In each round `nodes` start at once on an empty database, after some were killed in the middle of their start.
pub fn run(nodes: usize, rounds: u32) {
    for round in 0..rounds {
        let database = Database::postgres();
        let mut servers: Vec<Server> = (0..nodes).map(|index| Server::not_started(setup(&database, index))).collect();
        servers.iter_mut().for_each(Server::spawn);
        // Another moment each round, from before the first statement to after the last one.
        within(Duration::from_millis(60) * round, || None::<()>);
        servers.iter_mut().for_each(Server::kill9);
        servers.iter_mut().for_each(Server::spawn);
        servers.iter_mut().for_each(Server::await_ports);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM auth_changes"), 1, "round {round}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM users"), 1, "round {round}: one of them makes the user");
        let names = "SELECT COUNT(DISTINCT name) FROM nodes WHERE stopped_at IS NULL";
        assert_eq!(number(&database, names), i64::try_from(nodes).expect("small"), "round {round}");
    }
}

// Guards the advisory lock and the one transaction of `migrate::run`, in whole processes.
#[test]
fn nodes_that_migrate_together_or_are_killed_at_it_all_become_ready() {
    run(4, 3);
}
