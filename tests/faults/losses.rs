//! Actors and processes that die with work in hand.

use serde_json::json;

use super::{QUICK, STAGES, among_neighbours, attempts, count, rule, rule_per_stage};
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
        for (stage, pool) in STAGES {
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
}
