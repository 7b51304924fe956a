//! A job in a cluster: every node does pieces of it, and each event is changed once.

use serde_json::{Value, json};

use super::cluster::{LEASES, Nodes, number};
use crate::support::database::Database;
use crate::support::events::EVENTS;
use crate::support::wait::{SOON, wait_for};

const SLOW: &str = "[[faults]]\nstage = \"replayer\"\npoint = \"turn\"\naction = \"stall\"\nduration = \"50ms\"\n";

#[test]
fn two_nodes_do_one_job_once_also_when_one_of_them_is_killed() {
    let database = Database::postgres();
    let config = format!("{LEASES}{SLOW}");
    let mut nodes = Nodes::start(&database, &[&config, &config]);
    let first = nodes.client(0);
    let second = nodes.client(1);
    let event = |n: usize| json!({"event_name": "a", "event_type": "b", "payload": [n]});
    for thousand in 0..4 {
        let events: Vec<Value> = (0..1_000).map(|n| event(1_000 * thousand + n)).collect();
        let answer = first.post_json("/api/v1/events/batch", &Value::from(events));
        assert_eq!(answer.json()["failed"], 1_000, "{}", answer.status);
    }
    let body = json!({"filter": {"event_name": "a"}, "patch": {"a": 1}});
    let id = first.post_json(&format!("{EVENTS}/retry"), &body).json()["id"].as_i64().expect("a job");
    let job = || second.get(&format!("/api/v1/jobs/{id}")).json();
    let has_begun = || job()["changed"].as_i64().filter(|changed| *changed > 0);
    wait_for("the job to begin", SOON, has_begun, || format!("{}\n{}", job(), nodes.logs()));
    nodes.servers[0].kill9();
    let is_done = || Some(job()).filter(|job| job["status"] == "done");
    let done = wait_for("the job to end", SOON * 4, is_done, || format!("{}\n{}", job(), nodes.logs()));
    assert_eq!((&done["matched"], &done["changed"], &done["skipped"]), (&json!(4_000), &json!(4_000), &json!(0)));
    nodes.await_quiet();
    assert_eq!(number(&database, "SELECT COUNT(*) FROM replays"), 4_000);
    assert_eq!(number(&database, "SELECT COUNT(*) FROM events WHERE status = 'processed' AND generation = 1"), 4_000);
    let balance = second.get("/api/v1/stats").json()["balance"].clone();
    assert_eq!((&balance["received"], &balance["processed"]), (&json!(4_000), &json!(4_000)), "{balance}");
    assert_eq!((&balance["validation_error"], &balance["pending"]), (&json!(0), &json!(0)), "{balance}");
}
