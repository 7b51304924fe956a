//! Jobs: what cannot be read is counted as refused, and holds up neither the job nor those behind it.

use serde_json::{Value, json};

use super::{TOO_LONG_FOR_POSTGRES, damage, of_payload};
use crate::jobs::{ended, figures, made, misshapen};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::Client;
use crate::support::server::Server;

fn bad(client: &Client, name: &str, count: usize) -> Vec<i64> {
    (0..count).map(|n| misshapen(client, name, None, n)).collect()
}

fn of_name(name: &str) -> Value {
    json!({"filter": {"event_name": name, "status": "validation_error"}, "patch": {"mended": true}})
}

both_databases! {
    fn a_job_counts_what_cannot_be_read_and_goes_on(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let ids = bad(&client, "a", 7);
        bad(&client, "b", 3);
        for id in [ids[0], ids[3]] {
            damage(&database, id, of_payload(&database));
        }
        // The time by which a job knows what was there when it was made.
        let timeless = if database.url().starts_with("sqlite") { "received_at = 'soon'" } else { "received_at = '-infinity'" };
        damage(&database, ids[5], timeless);
        let [one, other] = ["a", "b"].map(|name| made(&client, "retry", &of_name(name)));
        let done = ended(&server, &client, one);
        assert_eq!((&done["status"], &done["refused"]), (&json!("done"), &json!({"event_unreadable": 2})), "{done}");
        assert_eq!(figures(&ended(&server, &client, other)), json!(["done", 3, 3, 0, {}]));
        // Without a patch nothing has to be read, but what would only be given up again is not reopened.
        let plain = made(&client, "retry", &json!({"filter": {"event_name": "a", "status": "validation_error"}}));
        let done = ended(&server, &client, plain);
        assert_eq!(done["refused"]["event_unreadable"], 2, "{done}");
    }

    fn a_job_calls_off_what_cannot_be_read(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = accepted(&client, &event("a"));
        finished(&client, id);
        damage(&database, id, &format!("status = 'pending', processed_at = NULL, next_attempt_at = NULL, {}", of_payload(&database)));
        let job = made(&client, "cancel", &json!({"filter": {"event_name": "a"}}));
        assert_eq!(figures(&ended(&server, &client, job)), json!(["done", 1, 1, 0, {}]));
    }
}

#[test]
fn a_payload_of_a_gigabyte_stops_no_job() {
    let database = Database::postgres();
    let mut server = Server::start(&database);
    let client = server.client();
    let ids = bad(&client, "a", 5);
    damage(&database, ids[2], TOO_LONG_FOR_POSTGRES);
    let job = made(&client, "retry", &of_name("a"));
    let stopped = made(&client, "retry", &json!({"filter": {"event_name": "nobody"}}));
    let answer = client.call("POST", &format!("/api/v1/jobs/{stopped}/cancel"), &[], None);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(figures(&ended(&server, &client, job)), json!(["done", 5, 4, 0, {"event_unreadable": 1}]));
    let dry = client.post_json(&format!("{EVENTS}/retry"), &json!({"filter": {"event_name": "a"}, "dry_run": true}));
    assert_eq!(dry.status, 200, "{dry:?}");
}
