//! A node that the others cannot hear claims nothing: it would be taken over and charged.

use std::time::Duration;

use super::cluster::{FIRST_ID, LEASE, Nodes, insert_waiting, number};
use crate::support::database::Database;
use crate::support::events::{accepted, event};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, wait_for, within};

/// A dozen polls.
const POLLS: Duration = Duration::from_secs(3);

// Guards `is_heard` in `Turn::room`, and that the heartbeat leads past the pool (`Store::apart`).
#[test]
fn a_node_whose_heartbeat_does_not_arrive_claims_nothing_and_still_accepts() {
    let database = Database::postgres();
    let (proxy, direct) = Proxy::in_front_of(database.url());
    let nodes = Nodes::start(&database, &[&format!("database.direct_url = {direct:?}")]);
    let client = nodes.client(0);
    proxy.refuse();
    let age = || nodes.view(0)["nodes"][0]["heartbeat_age_ms"].as_u64().map(Duration::from_millis);
    let is_late = || (age() > Some(LEASE * 2)).then_some(());
    wait_for("an old heartbeat", SOON, is_late, || nodes.logs());
    insert_waiting(&database, FIRST_ID, 5, "waiting", "1 minute");
    let untouched = "SELECT COUNT(*) FROM events WHERE status = 'pending' AND lease_token IS NULL";
    assert_eq!(within(POLLS, || (number(&database, untouched) < 5).then_some(())), None, "{}", nodes.logs());
    accepted(&client, &event("page_view"));
    proxy.restore();
    nodes.await_quiet();
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE status = 'processed' AND attempts = 1"), 6);
}
