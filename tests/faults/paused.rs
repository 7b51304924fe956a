//! Pauses and work that was claimed: it is not claimed while it could only wait, and what was claimed is kept.

use std::time::Duration;

use serde_json::json;

use super::{QUICK, attempts, rule};
use crate::control::{control, line, pool};
use crate::support::events::{accepted, event, finished, stored};
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, rest, wait_for};

/// Leases that end while a test looks on.
const LEASES: &str = "lease = { duration = \"1s\", poll = \"100ms\" }\n";

both_databases! {
    fn a_paused_claimer_leaves_retries_where_they_are(database) {
        let setup = Setup::new(&database).with_config(QUICK).with_config(LEASES).with_config(&rule("validator", "twice", "error", 1));
        let mut server = Server::start(setup);
        control(&mut server, "/pools/claimer/pause");
        let client = server.client();
        let id = accepted(&client, &event("twice"));
        let new = accepted(&client, &event("new"));
        assert_eq!(finished(&client, new)["status"], "processed", "new events are not held up");
        assert_eq!(client.get("/health/ready").status, 200);
        rest(Duration::from_secs(3));
        let waiting = stored(&client, id);
        assert_eq!((&waiting["status"], &waiting["attempts"]), (&json!("pending"), &json!(1)), "{waiting}");
        assert_eq!(line(&mut server)["claims_held"], 0);
        control(&mut server, "/pools/claimer/resume");
        let done = finished(&client, id);
        assert_eq!((&done["status"], &done["attempts"]), (&json!("processed"), &json!(2)), "{done}");
    }

    fn what_was_claimed_before_a_pause_is_neither_given_back_nor_charged(database) {
        // Beyond this a new event would be given up.
        let rules = format!("timeouts.accept = \"1s\"\ntimeouts.flush = \"1s\"\n{}", rule("normalizer", "late", "error", 1));
        let setup = Setup::new(&database).with_config(QUICK).with_config(LEASES).with_config(&rules);
        let mut server = Server::start(setup);
        control(&mut server, "/pools/claimer/pause");
        let client = server.client();
        let id = accepted(&client, &event("late"));
        assert_eq!(stored(&client, id)["attempts"], 1);
        // By name: claimed by the request itself, and held at the gate.
        control(&mut server, "/pools/persisters/pause");
        let path = format!("/api/v1/events/{id}/retry");
        let done = std::thread::scope(|scope| {
            let retry = scope.spawn(|| client.call("POST", &path, &[], None));
            let is_held = || (pool(&line(&mut server), "persisters")["held"] == 1).then_some(());
            wait_for("the claimed event to wait", SOON, is_held, String::new);
            rest(Duration::from_secs(3));
            let view = line(&mut server);
            assert_eq!(pool(&view, "persisters")["held"], 1, "{view}");
            assert_eq!((&view["claims_held"], &view["nodes"][0]["state"]), (&json!(1), &json!("alive")), "{view}");
            control(&mut server, "/pools/persisters/resume");
            retry.join().expect("an answer")
        });
        assert!(matches!(done.status, 200 | 409), "its outcome, or that it is at work: {done:?}");
        let event = finished(&client, id);
        assert_eq!((&event["attempts"], attempts(&database, id).len()), (&json!(2), 1), "{event}");
        assert_eq!(line(&mut server)["stale_writes_rejected"], 0);
    }
}
