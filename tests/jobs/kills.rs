//! Jobs that are cut off: by `kill -9`, by an operator, by an outage. What they did is done once, and the rest comes.

use std::time::Duration;

use serde_json::{Value, json};

use super::{JOBS, balance, code, ended, figures, job, made};
use crate::support::database::Database;
use crate::support::dice::{self, Dice};
use crate::support::events::{accepted, event};
use crate::support::http::Client;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, rest, wait_for};

/// A Replayer that takes its time before each piece.
pub const SLOW: &str = "[[faults]]\nstage = \"replayer\"\npoint = \"turn\"\naction = \"stall\"\nduration = \"100ms\"\n";

/// Events that are refused and kept, so many thousand of them.
pub fn thousands(client: &Client, thousands: usize) {
    let event = |n: usize| json!({"event_name": "a", "event_type": "b", "payload": [n]});
    for thousand in 0..thousands {
        let events: Vec<Value> = (0..1_000).map(|n| event(1_000 * thousand + n)).collect();
        let answer = client.post_json("/api/v1/events/batch", &Value::from(events));
        assert_eq!(answer.json()["failed"], 1_000, "{}", answer.status);
    }
}

/// Waits until the job has changed some events.
pub fn await_begun(client: &Client, id: i64) {
    let has_begun = || job(client, id)["changed"].as_i64().filter(|changed| *changed > 0);
    wait_for("the job to begin", SOON, has_begun, || job(client, id).to_string());
}

both_databases! {
    // Guards the one transaction of `advance_job`.
    fn a_job_goes_on_after_kills_and_changes_each_event_once(database) {
        let mut server = Server::start(Setup::new(&database).with_config(SLOW));
        let client = server.client();
        thousands(&client, 4);
        let id = made(&client, "retry", &json!({"filter": {"status": "validation_error"}, "patch": {"a": 1.10}}));
        let seed = dice::seed();
        println!("again with GRISTMILL_TEST_SEED={seed}");
        let mut dice = Dice::new(seed);
        let mut cut_off = 0;
        for _ in 0..4 {
            await_begun(&server.client(), id);
            rest(Duration::from_millis(dice.below(200)));
            cut_off += u32::from(job(&server.client(), id)["status"] == "running");
            server.kill9();
            server.restart();
        }
        assert!(cut_off > 0, "the job was over before the first kill");
        let client = server.client();
        assert_eq!(figures(&ended(&server, &client, id)), json!(["done", 4_000, 4_000, 0, {}]));
        wait_for("all to be processed", SOON * 4, || (balance(&client)["processed"] == 4_000).then_some(()), || balance(&client).to_string());
        let expected = json!({
            "received": 4_000, "processed": 4_000, "duplicate": 0, "validation_error": 0, "failed": 0, "cancelled": 0, "pending": 0
        });
        assert_eq!(balance(&client), expected);
        let count = |sql: &str| server.database().texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {sql}"));
        assert_eq!(count("replays"), ["4000"]);
        assert_eq!(count("(SELECT DISTINCT event_id FROM replays) AS d"), ["4000"]);
        assert_eq!(count("events WHERE status = 'processed' AND generation = 1"), ["4000"]);
    }

    fn more_than_a_hundred_jobs_do_not_run_at_once(database) {
        let hangs = "[[faults]]\nstage = \"replayer\"\npoint = \"turn\"\naction = \"hang\"\n";
        let mut server = Server::start(Setup::new(&database).with_config(hangs));
        let client = server.client();
        let body = json!({"filter": {"event_name": "a"}});
        let ids: Vec<i64> = (0..100).map(|_| made(&client, "cancel", &body)).collect();
        let refused = client.post_json("/api/v1/events/cancel", &body);
        assert_eq!(code(&refused), (503, "overloaded".to_owned()), "{refused:?}");
        assert_eq!(client.call("POST", &format!("{JOBS}/{}/cancel", ids[0]), &[], None).status, 200);
        made(&client, "cancel", &body);
    }

    fn a_job_that_is_stopped_stays_where_it_is(database) {
        let mut server = Server::start(Setup::new(&database).with_config(SLOW));
        let client = server.client();
        thousands(&client, 3);
        let id = made(&client, "retry", &json!({"filter": {"status": "validation_error"}, "patch": {}}));
        await_begun(&client, id);
        let stopped = client.call("POST", &format!("{JOBS}/{id}/cancel"), &[], None).json();
        assert_eq!(stopped["status"], "cancelled", "{stopped}");
        assert!(stopped["finished_at"].is_string());
        let changed = stopped["changed"].as_i64().expect("a number");
        assert!(changed < 3_000, "{stopped}");
        let processed = || (balance(&client)["processed"] == changed).then_some(());
        wait_for("what it reopened to be processed", SOON, processed, || balance(&client).to_string());
        assert_eq!(balance(&client)["validation_error"], 3_000 - changed);
        let again = client.call("POST", &format!("{JOBS}/{id}/cancel"), &[], None).json();
        assert_eq!(again, stopped, "the second time changes nothing");
    }
}

both_databases! {
    // Guards `strike`: it would be tried for ever, and hold up all others.
    fn a_job_that_no_try_can_mend_fails_and_the_next_one_goes_on(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        thousands(&client, 1);
        // Its time of receipt stands for that of the job.
        accepted(&client, &event("later"));
        let hopeless = "INSERT INTO jobs (kind, status, by_user, of_event_name, patch, forced, until_id, created_at, updated_at) \
                        SELECT 'retry', 'running', 1, 'a', '[1]', FALSE, 1000000, MAX(received_at), MIN(received_at) FROM events";
        assert_eq!(server.database().execute(hopeless), 1);
        let id = made(&client, "retry", &json!({"filter": {"event_name": "a"}, "patch": {}}));
        assert_eq!(figures(&ended(&server, &client, id))[2], 1_000);
        let failed = ended(&server, &client, id - 1);
        assert_eq!((&failed["status"], &failed["changed"]), (&json!("failed"), &json!(0)), "{failed}");
        assert!(failed["error"].as_str().is_some_and(|error| error.contains("log")), "{failed}");
    }
}

#[test]
fn a_job_outlives_an_outage_of_the_database() {
    let cluster = Cluster::start();
    let database = Database::at(cluster.fresh_database());
    let mut server = Server::start(Setup::new(&database).with_config(SLOW));
    let client = server.client();
    thousands(&client, 3);
    let id = made(&client, "retry", &json!({"filter": {"event_name": "a"}, "patch": {}}));
    await_begun(&client, id);
    cluster.stop_immediate();
    rest(Duration::from_secs(1));
    cluster.start_again();
    let answers = || (client.get(&format!("{JOBS}/{id}")).status == 200).then_some(());
    wait_for("the database to answer", SOON, answers, || server.log_tail());
    assert_eq!(figures(&ended(&server, &client, id)), json!(["done", 3_000, 3_000, 0, {}]));
    wait_for(
        "all to be processed",
        SOON * 4,
        || (balance(&client)["processed"] == 3_000).then_some(()),
        || server.log_tail(),
    );
}
