//! Keys of what is replayed: a refused event has none, its replay takes it, and no event has two owners of a key.

use serde_json::{Value, json};

use super::{code, ended, figures, made, misshapen};
use crate::support::events::{EVENTS, accepted, finished, stored, with_uid};
use crate::support::http::{Answer, Client};
use crate::support::server::Server;

fn mended(client: &Client, id: i64) -> Answer {
    client.post_json(&format!("{EVENTS}/{id}/retry"), &json!({"patch": {"page": "/mended"}}))
}

both_databases! {
    // Guards the key in `claimed` and `claim_of`: without it the second event would be stored as well.
    fn a_replay_takes_the_key_that_its_refusal_did_not(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = misshapen(&client, "page_view", Some("u-1"), 0);
        let again = client.post_json(&format!("{EVENTS}/{id}/retry"), &json!({}));
        assert_eq!(code(&again), (422, "payload_not_object".to_owned()));
        let other = accepted(&client, &with_uid("u-2"));
        assert_eq!(mended(&client, id).status, 200);
        let answer = client.post_json(EVENTS, &with_uid("u-1"));
        assert_eq!((code(&answer), &answer.json()["event_id"]), ((409, "event_uid_conflict".to_owned()), &json!(id)));
        let same = json!({
            "event_name": "page_view", "event_type": "b", "event_uid": "u-1", "payload": stored(&client, id)["payload"]
        });
        if database.kind() == crate::support::database::Kind::Sqlite {
            let answer = client.post_json(EVENTS, &same);
            assert_eq!((answer.status, &answer.json()["duplicate"]), (200, &json!(true)), "{answer:?}");
        }
        let forced = client.post_json("/api/v1/events/process", &json!({"event_ids": [id, other], "force": true}));
        assert_eq!((forced.status, &forced.json()["processed"]), (200, &json!(2)), "not swallowed by their own keys");
    }

    fn a_replay_that_is_refused_again_takes_no_key(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let id = misshapen(&client, "page_view", Some("u-1"), 0);
        let again = client.post_json(&format!("{EVENTS}/{id}/retry"), &json!({}));
        assert_eq!(again.status, 422, "{again:?}");
        finished(&client, accepted(&client, &with_uid("u-1")));
    }

    // Guards `key_holder` in `rows::lock` and its use in `judge`.
    fn an_event_whose_key_is_anothers_by_now_is_left_as_it_was(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let late = misshapen(&client, "page_view", Some("u-1"), 0);
        let free = misshapen(&client, "page_view", Some("u-2"), 0);
        let holder = accepted(&client, &with_uid("u-1"));
        let before = stored(&client, late);
        let answer = mended(&client, late);
        let expected = (409, "event_uid_conflict".to_owned());
        assert_eq!((code(&answer), &answer.json()["event_id"]), (expected, &json!(holder)), "{answer:?}");
        let report = client.post_json("/api/v1/events/process", &json!({"event_ids": [late]})).json();
        let result = &report["results"][0];
        assert_eq!((&result["status"], &result["code"]), (&json!("failed"), &json!("event_uid_conflict")), "{report}");
        let job = made(&client, "retry", &json!({"filter": {"status": "validation_error"}, "patch": {"a": 1}}));
        assert_eq!(figures(&ended(&server, &client, job)), json!(["done", 2, 1, 0, {"event_uid_conflict": 1}]));
        assert_eq!(stored(&client, late), before);
        assert_eq!(finished(&client, free)["status"], "processed");
    }

    // Guards `apply_key_conflicts` for claimed records: in one unit the second is judged by the first.
    fn of_two_refused_events_with_one_key_only_one_is_processed(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let ids = [0, 1].map(|n| misshapen(&client, "page_view", Some("u-1"), n));
        let job = made(&client, "retry", &json!({"filter": {"event_name": "page_view"}, "patch": {"a": 1}}));
        assert_eq!(figures(&ended(&server, &client, job)), json!(["done", 2, 2, 0, {}]));
        let mut states: Vec<Value> = ids.iter().map(|id| finished(&client, *id)["status"].clone()).collect();
        states.sort_by_key(Value::to_string);
        // The same content under the same key: one of them repeats the other.
        assert_eq!(states, ["duplicate", "processed"]);
        let balance = client.get("/api/v1/stats").json()["balance"].clone();
        let expected = json!({
            "received": 2, "processed": 1, "duplicate": 1, "validation_error": 0, "failed": 0, "cancelled": 0, "pending": 0
        });
        assert_eq!(balance, expected);
    }
}
