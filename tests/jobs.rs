//! Replays and cancellations of all events that match a filter, patches of payloads, and the keys of what is replayed.

mod bodies;
mod keys;
#[cfg(feature = "fault-injection")]
pub mod kills;
mod patches;

use serde_json::{Value, json};

use crate::support::events::{EVENTS, event, finished, id_of, keys, stored};
use crate::support::http::{Answer, Client};
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

const JOBS: &str = "/api/v1/jobs";

/// Posts an event whose payload is of the wrong shape, but kept: `[n]`. It has this key, if any.
pub fn misshapen(client: &Client, name: &str, uid: Option<&str>, n: usize) -> i64 {
    let event = json!({"event_name": name, "event_type": "b", "event_uid": uid, "payload": [n]});
    let answer = client.post_json(EVENTS, &event);
    assert_eq!(answer.status, 422, "{answer:?}");
    id_of(&answer)
}

/// Asks for a job, which has to be made.
pub fn made(client: &Client, action: &str, body: &Value) -> i64 {
    let answer = client.post_json(&format!("{EVENTS}/{action}"), body);
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["id"].as_i64().expect("an id");
    assert_eq!(answer.header("location"), Some(format!("{JOBS}/{id}").as_str()));
    id
}

fn job(client: &Client, id: i64) -> Value {
    let answer = client.get(&format!("{JOBS}/{id}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// The job once it has ended.
pub fn ended(server: &Server, client: &Client, id: i64) -> Value {
    wait_for(
        &format!("job {id} to end"),
        SOON * 4,
        || Some(job(client, id)).filter(|job| job["status"] != "running"),
        || format!("{}\n{}", job(client, id), server.log_tail()),
    )
}

pub fn figures(job: &Value) -> Value {
    json!([job["status"], job["matched"], job["changed"], job["skipped"], job["refused"]])
}

fn balance(client: &Client) -> Value {
    client.get("/api/v1/stats").json()["balance"].clone()
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["code"].as_str().unwrap_or_default().to_owned())
}

both_databases! {
    fn all_events_that_match_are_processed_anew_and_counted_once(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let wanted: Vec<i64> = (0..5).map(|n| misshapen(&client, "a", None, n)).collect();
        let other = misshapen(&client, "b", None, 0);
        let body = json!({"filter": {"event_name": "a"}, "patch": {"page": "/mended"}});
        let id = made(&client, "retry", &body);
        let job = ended(&server, &client, id);
        assert_eq!(figures(&job), json!(["done", 5, 5, 0, {}]), "{job}");
        assert_eq!(
            keys(&job),
            [
                "by", "changed", "created_at", "error", "filter", "finished_at", "force", "id", "kind", "matched", "patch",
                "refused", "skipped", "status", "updated_at"
            ]
        );
        assert_eq!((&job["kind"], &job["filter"], &job["patch"]), (&json!("retry"), &body["filter"], &body["patch"]));
        for (n, id) in wanted.iter().enumerate() {
            let event = finished(&client, *id);
            assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(1)), "{event}");
            assert_eq!((&event["payload"], &event["properties"]["page"]), (&json!({"page": "/mended"}), &json!("/mended")));
            let timeline = client.get(&format!("{EVENTS}/{id}/timeline")).json();
            let [change] = &timeline["changes"].as_array().expect("a list")[..] else { panic!("{timeline}") };
            assert_eq!((&timeline["generation"], &change["generation"]), (&json!(1), &json!(1)));
            assert_eq!((&change["action"], &change["job_id"]), (&json!("replayed"), &job["id"]));
            assert_eq!((&change["patched"], &change["payload_before"]), (&json!(true), &json!([n])), "what was sent first");
        }
        assert_eq!(stored(&client, other)["status"], "validation_error");
        assert_eq!(
            balance(&client),
            json!({
                "received": 6, "processed": 5, "duplicate": 0, "validation_error": 1, "failed": 0, "cancelled": 0, "pending": 0
            })
        );
        let again = made(&client, "retry", &body);
        assert_eq!(figures(&ended(&server, &client, again)), json!(["done", 0, 0, 0, {}]), "processed ones are left alone");
        let forced = made(&client, "retry", &json!({"filter": {"event_name": "a"}, "force": true}));
        assert_eq!(figures(&ended(&server, &client, forced)), json!(["done", 5, 5, 0, {}]));
        let listed = client.get(&format!("{JOBS}?limit=2")).json();
        let ids: Vec<&Value> = listed["data"].as_array().expect("a list").iter().map(|job| &job["id"]).collect();
        assert_eq!(ids, [&json!(forced), &json!(again)], "the newest first");
        let cursor = listed["next_cursor"].as_str().expect("there is one more");
        let rest = client.get(&format!("{JOBS}?cursor={cursor}")).json();
        assert_eq!((&rest["data"][0]["id"], &rest["next_cursor"]), (&json!(id), &Value::Null), "{rest}");
    }

    fn a_dry_run_tells_what_would_match_and_changes_nothing(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let wanted: Vec<i64> = (0..12).map(|n| misshapen(&client, "a", None, n)).collect();
        misshapen(&client, "b", None, 0);
        let body = json!({"filter": {"status": "validation_error", "event_name": "a"}, "dry_run": true, "patch": {"a": 1}});
        let answer = client.post_json(&format!("{EVENTS}/retry"), &body);
        let expected = json!({"dry_run": true, "kind": "retry", "matched": 12, "complete": true, "event_ids": wanted[..10]});
        assert_eq!((answer.status, answer.json()), (200, expected), "{answer:?}");
        let body = json!({"filter": {"event_name": "a"}, "dry_run": true});
        let answer = client.post_json(&format!("{EVENTS}/cancel"), &body);
        assert_eq!((answer.status, &answer.json()["matched"]), (200, &json!(0)), "none is pending: {answer:?}");
        assert_eq!(client.get(JOBS).json()["data"], json!([]));
        assert_eq!(stored(&client, wanted[0])["status"], "validation_error");
        assert_eq!(server.database().texts("SELECT action FROM replays"), Vec::<String>::new());
    }

    // Guards `visible` of the filters and `viewer` of jobs.
    fn foreign_events_are_untouched_and_foreign_jobs_unseen(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let foreign = misshapen(&client, "a", None, 0);
        let ana = server.client_with(&server.setup().create_user_with_token("ana@example.org", "operate,write,read"));
        let own = misshapen(&ana, "a", None, 1);
        let by_admin = made(&client, "cancel", &json!({"filter": {"event_name": "none"}}));
        let id = made(&ana, "retry", &json!({"filter": {"event_name": "a"}, "patch": {"a": 1}}));
        assert_eq!(figures(&ended(&server, &ana, id)), json!(["done", 1, 1, 0, {}]));
        assert_eq!(finished(&ana, own)["status"], "processed");
        assert_eq!(stored(&client, foreign)["status"], "validation_error");
        let answer = ana.post_json(&format!("{EVENTS}/retry"), &json!({"filter": {"user_id": 1}}));
        assert_eq!(code(&answer), (403, "forbidden".to_owned()));
        assert_eq!(ana.get(&format!("{JOBS}/{by_admin}")).status, 404);
        assert_eq!(ana.call("POST", &format!("{JOBS}/{by_admin}/cancel"), &[], None).status, 404);
        assert_eq!(ana.get(JOBS).json()["data"].as_array().map(Vec::len), Some(1));
        assert_eq!(client.get(JOBS).json()["data"].as_array().map(Vec::len), Some(2));
        let reader = server.client_with(&server.setup().create_token("ana@example.org", "read,write"));
        for path in [format!("{EVENTS}/retry"), format!("{EVENTS}/cancel")] {
            assert_eq!(reader.post_json(&path, &json!({"filter": {"event_name": "a"}})).status, 403, "{path}");
        }
        assert_eq!((reader.get(JOBS).status, reader.get(&format!("{JOBS}/{id}")).status), (403, 403));
    }
}

#[cfg(feature = "fault-injection")]
both_databases! {
    fn all_pending_events_that_match_are_called_off(database) {
        use crate::support::server::Setup;

        let fault = "[[faults]]\nstage = \"validator\"\nevent_name = \"fails\"\naction = \"error\"\n";
        let mut server = Server::start(Setup::new(&database).with_config(fault).with_env("EVENT_RETRY_DELAY", "60"));
        let client = server.client();
        let ids: Vec<i64> = (0..5).map(|_| id_of(&client.post_json(EVENTS, &event("fails")))).collect();
        let done = id_of(&client.post_json(EVENTS, &event("works")));
        let id = made(&client, "cancel", &json!({"filter": {"event_name": "fails"}}));
        assert_eq!(figures(&ended(&server, &client, id)), json!(["done", 5, 5, 0, {}]));
        let first = stored(&client, ids[0]);
        for id in &ids {
            let event = stored(&client, *id);
            assert_eq!((&event["status"], &event["next_attempt_at"]), (&json!("cancelled"), &Value::Null));
        }
        assert_eq!(stored(&client, done)["status"], "processed");
        let expected = json!({
            "received": 6, "processed": 1, "duplicate": 0, "validation_error": 0, "failed": 0, "cancelled": 5, "pending": 0
        });
        assert_eq!(balance(&client), expected);
        let again = made(&client, "retry", &json!({"filter": {"event_name": "fails"}}));
        assert_eq!(figures(&ended(&server, &client, again)), json!(["done", 5, 5, 0, {}]));
        let waits = |attempts: i64| {
            let all = ids.iter().map(|id| stored(&client, *id));
            let waits = |event: &Value| event["status"] == "pending" && event["attempts"] == attempts;
            all.into_iter().all(|event| waits(&event)).then_some(())
        };
        wait_for("all to fail again and wait", SOON, || waits(1), || server.log_tail());
        let filter = json!({"event_name": "fails", "status": "pending", "received_after": first["received_at"]});
        let sooner = made(&client, "retry", &json!({ "filter": filter }));
        assert_eq!(figures(&ended(&server, &client, sooner))[2], 5, "those that wait are due now");
        wait_for("their attempts to be counted on", SOON, || waits(2), || server.log_tail());
        assert_eq!((&balance(&client)["pending"], &balance(&client)["processed"]), (&json!(5), &json!(1)));
    }
}
