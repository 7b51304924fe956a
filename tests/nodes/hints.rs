//! What one node leaves, another one takes up at once: NOTIFY is a hint, beside a poll that would take a minute.

use super::cluster::Nodes;
use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::proxy::Proxy;
use crate::support::wait::{SOON, wait_for};

/// The poll comes after 44 s at the earliest.
const SLOW_POLL: &str = "lease = { duration = \"2m\", poll = \"59s\" }\n";

/// The first attempt fails, the second, of the claimed event, is stuck: the event is leased.
const STUCK: &str = r#"
retry = { delay = "200ms", jitter = 0.0 }
timeouts.shutdown = "1s"
[[faults]]
stage = "validator"
event_name = "stuck"
action = "error"
times = 1
[[faults]]
stage = "normalizer"
event_name = "stuck"
action = "stall"
duration = "20s"
"#;

// Guards `work_is_due` in `release_orphans` and the session of `Store::listen`, which is made anew after a loss.
#[test]
fn what_a_node_gives_back_is_taken_up_by_another_at_once() {
    let database = Database::postgres();
    let (proxy, direct) = Proxy::in_front_of(database.url());
    let stuck = format!("{SLOW_POLL}{STUCK}");
    let listening = format!("{SLOW_POLL}database.direct_url = {direct:?}");
    let mut nodes = Nodes::start(&database, &[&stuck, &listening]);
    proxy.refuse();
    let log = |text: &str| nodes.servers[1].log().contains(text).then_some(());
    wait_for("the loss of the session", SOON, || log("listening for hints fails"), || nodes.logs());
    proxy.restore();
    wait_for("a new session", SOON, || log("listening for hints works again"), || nodes.logs());
    let id = accepted(&nodes.client(0), &event("stuck"));
    let leased = format!("SELECT COUNT(*) FROM events WHERE id = {id} AND lease_boot IS NOT NULL");
    wait_for("the claim", SOON, || (super::cluster::number(&database, &leased) == 1).then_some(()), || nodes.logs());
    nodes.servers[0].terminate();
    nodes.servers[0].wait_exit(SOON);
    let client = nodes.client(1);
    let began = std::time::Instant::now();
    let done = finished(&client, id);
    assert_eq!((&done["status"], &done["attempts"]), (&"processed".into(), &2.into()), "{done}");
    assert!(began.elapsed() < SOON, "the poll found it, not the hint: {:?}", began.elapsed());
}
