//! Rule 5: a failure that may pass is stored as pending and charged, and its client is told that it is taken.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::{event, finished, number, posted};
use crate::support::database::Database;
use crate::support::server::{Server, Setup};

fn time(value: &Value) -> DateTime<Utc> {
    let text = value.as_str().unwrap_or_else(|| panic!("no time: {value}"));
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Posts one event to a line with this fault, which strikes once.
fn is_stored_and_retried(database: &Database, fault: &str, error_code: &str) {
    let config = format!("retry = {{ delay = \"3s\", jitter = 0.0 }}\n[[faults]]\n{fault}\ntimes = 1");
    let mut server = Server::start(Setup::new(database).with_config(&config));
    let client = server.client();
    let id = posted(&client, "page_view");
    let stored = event(&client, id);
    assert_eq!((&stored["status"], &stored["attempts"]), (&"pending".into(), &1.into()), "{stored}");
    assert_eq!(stored["error_code"], error_code, "{stored}");
    let wait = time(&stored["next_attempt_at"]) - time(&stored["received_at"]);
    assert!(wait >= TimeDelta::seconds(3), "the next attempt comes after {wait}: {stored}");
    let attempts = format!("SELECT COUNT(*) FROM attempts WHERE event_id = {id} AND error_code = '{error_code}'");
    assert_eq!(number(database, &attempts), 1);
    let neighbour = posted(&client, "neighbour");
    assert_eq!(event(&client, neighbour)["attempts"], 1, "a neighbour was disturbed");

    let done = finished(&client, id);
    assert_eq!((&done["status"], &done["attempts"]), (&"processed".into(), &2.into()), "{done}");
    assert!(time(&done["processed_at"]) >= time(&stored["next_attempt_at"]), "too early: {done}");
    assert_eq!(number(database, "SELECT COUNT(*) FROM attempts"), 1);
}

both_databases! {
    // Guards `Outcome::after_transient` on its way into `insert_events`: status, attempts and `next_attempt_at`.
    fn an_error_of_a_stage_is_stored_as_pending_acknowledged_and_retried(database) {
        is_stored_and_retried(&database, "stage = \"validator\"\naction = \"error\"", "injected");
    }

    // Guards `catch_unwind` in `Stage::each`.
    fn a_panic_of_a_stage_is_stored_as_pending_acknowledged_and_retried(database) {
        is_stored_and_retried(&database, "stage = \"normalizer\"\naction = \"panic\"", "stage_panic");
    }

    // Guards `Work`'s drop, which charges the event in hand: the unit would be lost with its actor, its client left waiting.
    fn the_death_of_an_actor_is_stored_as_pending_acknowledged_and_retried(database) {
        is_stored_and_retried(&database, "stage = \"persister\"\naction = \"crash\"", "worker_lost");
    }

    // Guards the look at `soft_deadline` in `Stage::each`.
    fn an_attempt_past_the_soft_limit_is_stored_as_pending_acknowledged_and_retried(database) {
        let limit = "stage = \"normalizer\"\naction = \"stall\"\nduration = \"4500ms\"";
        let config = format!("timeouts.processing = \"5s\"\n[[faults]]\n{limit}\ntimes = 1");
        let mut server = Server::start(Setup::new(&database).with_config(&config));
        let client = server.client();
        let id = posted(&client, "page_view");
        assert_eq!(event(&client, id)["error_code"], "soft_timeout");
        assert_eq!(finished(&client, id)["attempts"], 2);
    }

    // Guards the number of retries: an event that always fails ends as failed, with each attempt written down.
    fn an_event_that_fails_every_time_ends_as_failed(database) {
        let fault = "[[faults]]\nstage = \"validator\"\naction = \"error\"";
        let config = format!("retry = {{ delay = \"100ms\", max_retries = 2 }}\n{fault}");
        let mut server = Server::start(Setup::new(&database).with_config(&config));
        let client = server.client();
        let done = finished(&client, posted(&client, "page_view"));
        assert_eq!((&done["status"], &done["attempts"]), (&"failed".into(), &3.into()), "{done}");
        assert_eq!(done["error_code"], "retries_exhausted", "{done}");
        assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts"), 3);
    }
}
