//! What the spool does not take, and whose tokens are honoured meanwhile.

use serde_json::json;

use super::{at_work, await_drained, id_in, spooled};
use crate::support::events::{EVENTS, event, finished, with_payload};
use crate::support::wait::{SOON, wait_for};

// Guards `Spool::refusal` and that a unit which the spool refuses is given up at once, certainly not stored.
#[test]
fn a_full_spool_refuses_with_a_time_to_come_back_and_takes_again_when_it_is_drained() {
    let (cluster, mut server) = at_work("spool.bytes = \"64KiB\"");
    let client = server.client();
    cluster.stop_immediate();
    let large = with_payload(&serde_json::json!({"text": "x".repeat(10_000)}));
    let mut ids = Vec::new();
    let full = loop {
        let answer = client.post_json(EVENTS, &large);
        if answer.status != 202 {
            break answer;
        }
        ids.push(answer.json()["event_id"].as_i64().expect("a number"));
        assert!(ids.len() < 20, "64 KiB hold no {} events of 10 kB", ids.len());
    };
    assert!(ids.len() >= 5, "only {} were taken", ids.len());
    assert_eq!((full.status, full.json()["code"].as_str()), (503, Some("not_stored")), "{full:?}");
    assert!(full.header("retry-after").is_some(), "{full:?}");
    let unready = || Some(client.get("/health/ready")).filter(|answer| answer.status == 503);
    let unready = wait_for("readiness to tell", SOON, unready, || server.log());
    assert!(unready.body.contains("the spool holds"), "{unready:?}");
    cluster.start_again();
    for id in ids {
        assert_eq!(finished(&client, id)["status"], "processed");
    }
    await_drained(&server);
    cluster.stop_immediate();
    spooled(&client, &event("again"));
    cluster.start_again();
}

// Guards `Ids::shortage` in `Pipeline::readiness`.
#[test]
fn a_node_whose_ids_are_used_up_in_an_outage_is_not_ready_until_it_is_over() {
    let (cluster, mut server) = at_work("timeouts.accept = \"2s\"\n");
    let client = server.client();
    cluster.stop_immediate();
    spooled(&client, &event("meanwhile"));
    let lines = format!("{}\n", json!({"event_name": "a", "event_type": "b"})).repeat(70_000);
    let headers = [("Content-Type", "application/x-ndjson")];
    let answer = client.call("POST", "/api/v1/events/batch", &headers, Some(lines.as_bytes()));
    let report = answer.json();
    assert_eq!((answer.status, &report["complete"], &report["code"]), (207, &json!(false), &json!("not_stored")));
    // A piece of lines gets all of its ids or none: what is left is good for less.
    let last = (0..1_000).map(|_| client.post_json(EVENTS, &event("last"))).find(|answer| answer.status != 202);
    assert_eq!(last.map(|answer| answer.status), Some(503));
    let ready = client.get("/health/ready");
    assert!(ready.status == 503 && ready.body.contains("event ids"), "{ready:?}");
    cluster.start_again();
    let is_ready = || (client.get("/health/ready").status == 200).then_some(());
    wait_for("the node to be ready", SOON, is_ready, || server.log_tail());
    let taken = || (client.post_json(EVENTS, &event("after")).status == 202).then_some(());
    wait_for("an event to be taken", SOON, taken, || server.log_tail());
}

// Guards `Staleness` in `Auth::authenticate`.
#[test]
fn in_an_outage_known_tokens_work_and_unknown_ones_are_not_called_wrong() {
    let (cluster, mut server) = at_work("auth.refresh = \"50ms\"");
    let client = server.client();
    let unknown = server.client_with("gm_0000000000000000000000000000000000000000000");
    assert_eq!(unknown.post_json(EVENTS, &event("before")).status, 401);
    cluster.stop_immediate();
    let answer = || Some(unknown.post_json(EVENTS, &event("x"))).filter(|answer| answer.status != 401);
    let answer = wait_for("the outage to be seen", SOON, answer, || server.log());
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("database_unavailable")), "{answer:?}");
    let id = id_in(&spooled(&client, &event("meanwhile")));
    cluster.start_again();
    let answer = || Some(unknown.post_json(EVENTS, &event("x"))).filter(|answer| answer.status == 401);
    wait_for("unknown tokens to be refused again", SOON, answer, || server.log());
    assert_eq!(finished(&client, id)["status"], "processed");
}

#[test]
fn known_tokens_are_trusted_no_longer_than_the_grace() {
    let (cluster, mut server) = at_work("auth = { refresh = \"50ms\", outage_grace = \"1s\" }");
    let client = server.client();
    cluster.stop_immediate();
    spooled(&client, &event("meanwhile"));
    let refused = || Some(client.post_json(EVENTS, &event("late"))).filter(|answer| answer.status == 503);
    let refused = wait_for("the grace to end", SOON, refused, || server.log());
    assert_eq!(refused.json()["code"], "database_unavailable", "{refused:?}");
    cluster.start_again();
    let taken = || Some(client.post_json(EVENTS, &event("after"))).filter(|answer| answer.status == 202);
    wait_for("the token to work again", SOON, taken, || server.log());
}

#[test]
fn without_a_spool_an_outage_refuses_and_stores_nothing() {
    let (cluster, mut server) = at_work("spool.enabled = false\ntimeouts.accept = \"2s\"");
    let client = server.client();
    cluster.stop_immediate();
    let refused = || Some(client.post_json(EVENTS, &event("meanwhile"))).filter(|answer| answer.status == 503);
    wait_for("a certain refusal", SOON, refused, || server.log());
    let unready = || (client.get("/health/ready").status == 503).then_some(());
    wait_for("readiness to tell", SOON, unready, || server.log());
    assert!(!server.data().join("spool.db").exists());
    cluster.start_again();
}
