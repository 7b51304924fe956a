//! One line per change of state, not per failure.

use std::time::Duration;

use crate::support::database::Database;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for, within};

/// Long enough for dozens of failures: the line polls every 100 ms and beats every 200 ms.
const OUTAGE: Duration = Duration::from_secs(3);

/// What is tried all the time, as its lines name it.
const TRIED: [&str; 3] = ["heartbeat", "claiming", "the look for changed tokens"];

// Guards `Condition`: each failure would have its own line without it.
#[test]
fn an_outage_writes_one_line_when_it_begins_and_one_when_it_ends() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let config = "lease = { duration = \"1s\", poll = \"100ms\" }\ntimeouts = { accept = \"2s\", flush = \"1s\" }";
    let server = Server::start(Setup::new(&database).with_config(config));
    cluster.stop_immediate();
    let told = |text: &str| TRIED.iter().all(|what| server.log().contains(&format!("{what} {text}"))).then_some(());
    wait_for("the lines of the beginning", SOON, || told("fails"), || server.log());
    // Time for failures that must not be told.
    within(OUTAGE, || None::<()>);
    cluster.start_again();
    wait_for("the lines of the end", SOON, || told("works again"), || server.log());
    for what in TRIED {
        for text in ["fails, will be tried again", "works again"] {
            let lines = server.log().matches(&format!("{what} {text}")).count();
            assert_eq!(lines, 1, "{what} {text}\n{}", server.log());
        }
    }
}
