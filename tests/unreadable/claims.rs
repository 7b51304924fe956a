//! Events that wait: one that cannot be read is given up, and can be retried once it is mended.

use serde_json::{Value, json};

use super::{TOO_LONG_FOR_POSTGRES, damage, damages, of_payload, show};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::Client;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// As if the first attempt had failed in a way that may pass.
const WAITS: &str = "status = 'pending', processed_at = NULL, finished_at = NULL, properties = NULL, attempts = 1, \
                     next_attempt_at = received_at";

/// The states and codes of the events, in the order of their ids.
fn states(database: &Database) -> Vec<String> {
    database.texts("SELECT status || ' ' || COALESCE(error_code, '') FROM events ORDER BY id")
}

fn settled(server: &Server) -> Vec<String> {
    let database = server.database();
    wait_for(
        "every event to be final",
        SOON * 2,
        || Some(states(database)).filter(|states| states.iter().all(|state| !state.starts_with("pending"))),
        || format!("{:?}\n{}", states(database), server.log_tail()),
    )
}

fn retry(client: &Client, id: i64) -> Value {
    let answer = client.call("POST", &format!("{EVENTS}/{id}/retry"), &[], None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

both_databases! {
    fn a_claim_gives_up_what_cannot_be_read_and_goes_on_with_the_others(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let ids: Vec<i64> = (0..=2 * damages(&database).len()).map(|_| accepted(&client, &event("a"))).collect();
        ids.iter().for_each(|id| drop(finished(&client, *id)));
        server.terminate();
        server.wait_exit(SOON);
        database.execute(&format!("UPDATE events SET {WAITS}"));
        for (id, (what, _)) in ids.iter().skip(1).step_by(2).zip(damages(&database)) {
            damage(&database, *id, what);
        }
        server.restart();
        let expected = |place: usize| if place % 2 == 1 { "failed event_unreadable" } else { "processed " };
        let expected: Vec<String> = (0..ids.len()).map(|place| expected(place).to_owned()).collect();
        assert_eq!(settled(&server), expected);
        assert!(!server.log().contains("claiming fails") && !server.log().contains("panic"), "{}", server.log());
    }

    fn what_was_given_up_is_told_and_retried_once_it_is_mended(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("a"));
        finished(&client, id);
        let before = client.get("/api/v1/stats").json()["balance"].clone();
        damage(&database, id, &format!("{WAITS}, {}", of_payload(&database)));
        assert_eq!(settled(&server), ["failed event_unreadable"]);
        let timeline = client.get(&format!("{EVENTS}/{id}/timeline")).json();
        let last = timeline["attempts"].as_array().and_then(|attempts| attempts.last()).expect("an attempt").clone();
        assert_eq!((&last["outcome"], &last["error_code"]), (&json!("failed"), &json!("event_unreadable")), "{timeline}");
        let error = last["error"].as_str().expect("a text");
        assert!(error.starts_with("Processing error: the stored event cannot be read: its payload "), "{error}");

        let still = retry(&client, id);
        assert_eq!((&still["status"], &still["retries_exhausted"]), (&json!("failed"), &json!(false)), "{still}");
        assert!(still["error"].as_str().is_some_and(|error| error.contains("its payload")), "{still}");
        let patched = client.post_text(&format!("{EVENTS}/{id}/retry"), r#"{"patch":{"a":1}}"#);
        super::assert_told(&patched, id, "payload");
        let processed = client.post_json(&format!("{EVENTS}/process"), &json!({"event_ids": [id]}));
        assert_eq!(processed.json()["results"][0]["code"], "event_unreadable", "{processed:?}");

        damage(&database, id, "payload = '{\"page\": \"/mended\"}'");
        assert_eq!(retry(&client, id)["status"], "success");
        assert_eq!(show(&client, id).json()["properties"]["page"], "/mended");
        // Once by SQL, which no flush counted.
        let after = client.get("/api/v1/stats").json()["balance"].clone();
        assert_eq!((&after["received"], &after["processed"]), (&before["received"], &json!(2)), "{after}");
        assert_eq!((&after["failed"], &after["pending"]), (&json!(0), &json!(0)), "{after}");
    }

    fn a_retry_mends_what_it_makes_anew(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let never = if database.url().starts_with("sqlite") { "'never'" } else { "'infinity'" };
        for what in [format!("finished_at = {never}"), format!("processed_at = {never}"), "attempts = -1".to_owned()] {
            let id = accepted(&client, &event("a"));
            finished(&client, id);
            damage(&database, id, &format!("status = 'failed', {what}"));
            assert_eq!(retry(&client, id)["status"], "success", "{what}");
            assert_eq!(show(&client, id).json()["status"], "processed", "{what}");
        }
        let id = accepted(&client, &event("a"));
        finished(&client, id);
        damage(&database, id, &format!("{}, {}", WAITS.replace("received_at", "NULL"), of_payload(&database)));
        let cancelled = client.call("POST", &format!("{EVENTS}/{id}/cancel"), &[], None);
        assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("cancelled")), "{cancelled:?}");
    }
}

#[test]
fn a_payload_of_a_gigabyte_is_given_up() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    let ids: Vec<i64> = (0..5).map(|_| accepted(&client, &event("a"))).collect();
    ids.iter().for_each(|id| drop(finished(&client, *id)));
    damage(&database, ids[2], TOO_LONG_FOR_POSTGRES);
    database.execute(&format!("UPDATE events SET {WAITS}"));
    let states = settled(&server);
    assert_eq!(states[2], "failed event_unreadable");
    assert_eq!(states.iter().filter(|state| state.starts_with("processed")).count(), 4);
}
