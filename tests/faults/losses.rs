//! Actors and processes that die with work in hand.

use serde_json::json;

use super::{QUICK, among_neighbours, attempts, count, rule, rule_per_stage, stages};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished, stored, with_uid};
use crate::support::load::body;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

both_databases! {
    fn a_dead_actor_is_replaced_and_its_mailbox_is_not_lost(database) {
        let setup = Setup::new(&database)
            .with_config(QUICK)
            .with_config("[actors]\nvalidators = 1\nnormalizers = 1\npersisters = 1")
            .with_config(&rule_per_stage("crash", 1));
        let mut server = Server::start(setup);
        let client = server.client();
        for (stage, pool) in stages() {
            let (neighbours, id) = among_neighbours(&client, &event(&format!("crash-{stage}")), 50);
            for id in neighbours.into_iter().chain([id]) {
                let event = finished(&client, id);
                assert_eq!(event["status"], "processed", "{event}");
            }
            assert!(attempts(server.database(), id).len() <= 1, "one crash, at most one charge");
            wait_for(
                &format!("the restart of one of the {pool}"),
                SOON,
                || (count(&mut server, pool, "restarts") >= 1).then_some(()),
                String::new,
            );
        }
        let id = accepted(&client, &event("after"));
        assert_eq!(finished(&client, id)["attempts"], 1);
        assert_eq!(client.get("/health/ready").status, 200);
    }

    fn an_event_that_always_kills_its_actor_is_poison_and_the_line_goes_on(database) {
        let setup = Setup::new(&database)
            .with_config(QUICK)
            .with_config("actors.restart_backoff = \"10ms\"")
            .with_config(&rule("normalizer", "killer", "crash", 0));
        let mut server = Server::start(setup);
        let client = server.client();
        let id = accepted(&client, &event("killer"));
        let event = finished(&client, id);
        assert_eq!((&event["status"], &event["error_code"]), (&json!("failed"), &json!("poison")), "{event}");
        assert_eq!(event["attempts"], 4, "{event}");
        let id = accepted(&client, &crate::support::events::event("after"));
        assert_eq!(finished(&client, id)["status"], "processed");
    }

    fn what_was_acknowledged_before_the_process_aborts_is_there_afterwards(database) {
        let setup = Setup::new(&database)
            .with_config(QUICK)
            .with_config(&format!("{}{}", rule("persister", "doom", "abort", 0), rule("validator", "late", "error", 1)))
            .with_config("retry.delay = \"60s\"");
        let mut server = Server::start(setup);
        let token = server.token();
        let client = server.client();
        let before: Vec<i64> = (0..20).map(|n| accepted(&client, &with_uid(&format!("u-{n}")))).collect();
        let pending = accepted(&client, &event("late"));
        assert_eq!(stored(&client, pending)["status"], "pending");
        let mut connection = Connection::open(server.address()).expect("the server takes connections");
        let doom = body("doomed").replace("page_view", "doom");
        let length = doom.len();
        let request = format!(
            "POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{doom}"
        );
        connection.send(request.as_bytes()).expect("it still runs");
        let status = server.wait_exit(SOON);
        assert!(!status.success(), "{status}");
        assert!(connection.answer().is_err(), "nothing was promised about the event that ended the process");

        let mut server = Server::start(server.setup().clone().with_config("faults = []"));
        let client = server.client();
        for (n, id) in before.iter().enumerate() {
            assert_eq!(finished(&client, *id)["event_uid"], format!("u-{n}"));
        }
        assert_eq!(stored(&client, pending)["status"], "pending", "a minute is not over");
        let again = client.post_text(EVENTS, &doom);
        assert!(matches!(again.status, 200 | 202), "{again:?}");
        let id = again.json()["event_id"].as_i64().expect("a number");
        assert_eq!(finished(&client, id)["status"], "processed");
        let rows = server.database().texts("SELECT event_uid FROM events WHERE event_uid = 'doomed'");
        assert_eq!(rows, ["doomed"]);
    }

    fn a_pending_event_is_retried_by_the_process_that_comes_after(database) {
        let setup = Setup::new(&database)
            .with_config("retry.delay = \"2s\"")
            .with_config(&rule("validator", "late", "error", 1));
        let mut server = Server::start(setup);
        let id = accepted(&server.client(), &event("late"));
        server.kill9();
        let mut server = Server::start(server.setup().clone().with_config("faults = []"));
        let event = finished(&server.client(), id);
        assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(2)), "{event}");
    }

    fn a_key_whose_event_waits_for_a_retry_is_held_by_it(database) {
        let setup = Setup::new(&database)
            .with_config("retry.delay = \"60s\"")
            .with_config(&rule("validator", "page_view", "error", 1));
        let mut server = Server::start(setup);
        let client = server.client();
        let id = accepted(&client, &with_uid("u"));
        assert_eq!(stored(&client, id)["status"], "pending");
        let again = client.post_json(EVENTS, &with_uid("u"));
        assert_eq!(again.status, 200, "{again:?}");
        let receipt = again.json();
        assert_eq!((&receipt["event_id"], &receipt["duplicate"]), (&json!(id), &json!(true)), "{receipt}");
        assert_eq!(receipt["event_status"], "pending", "{receipt}");
        let mut other = with_uid("u");
        other["payload"] = json!({});
        assert_eq!(client.post_json(EVENTS, &other).status, 409);
    }

    fn an_event_in_the_hands_of_a_killed_process_is_charged_and_finished_by_the_next(database) {
        let setup = Setup::new(&database).with_config(QUICK).with_config(STUCK_WHEN_RETRIED);
        let mut server = Server::start(setup);
        let id = claimed_and_stuck(&mut server);
        server.kill9();
        let mut server = Server::start(server.setup().clone().with_config("faults = []"));
        assert_taken_over(&mut server, id);
    }
}

/// The first attempt fails, the second never ends.
const STUCK_WHEN_RETRIED: &str = "\
[[faults]]
stage = \"validator\"
event_name = \"stuck\"
action = \"error\"
times = 1
[[faults]]
stage = \"normalizer\"
event_name = \"stuck\"
action = \"stall\"
duration = \"100s\"
";

/// Posts an event that its second attempt holds for ever; gives its id once it is claimed.
fn claimed_and_stuck(server: &mut Server) -> i64 {
    let id = accepted(&server.client(), &event("stuck"));
    let sql = format!("SELECT status FROM events WHERE id = {id} AND lease_until IS NOT NULL");
    let is_claimed = || (server.database().texts(&sql) == ["pending"]).then_some(());
    wait_for("the event to be claimed", SOON, is_claimed, || server.log());
    id
}

/// Asserts that the event is finished, and that the attempt of the dead process was charged.
fn assert_taken_over(server: &mut Server, id: i64) {
    let event = finished(&server.client(), id);
    assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(3)), "{event}");
    let codes: Vec<String> = attempts(server.database(), id)
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(codes, ["injected", "worker_lost"]);
}

#[test]
fn another_node_takes_over_what_a_killed_one_had_claimed() {
    let database = Database::postgres();
    let quick = "lease.duration = \"2s\"\nlease.poll = \"500ms\"";
    let setup = Setup::new(&database).with_config(QUICK).with_config(quick).with_config(STUCK_WHEN_RETRIED);
    let mut one = Server::start(setup);
    let token = one.token();
    let id = claimed_and_stuck(&mut one);
    let two = Server::start(Setup::new(&database).with_config(QUICK).with_config(quick));
    let client = two.client_with(&token);
    assert_eq!(stored(&client, id)["status"], "pending", "the first node is alive and holds it");
    one.kill9();
    let event = finished(&client, id);
    assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(3)), "{event}");
}
