//! Faults in the stages: the event concerned is charged and retried, its neighbours never notice.

mod kinds;
mod losses;
mod overload;
mod paused;
mod resize;
mod slowness;
pub mod storm;
mod stuck;

use gristmill::domain::actor_kind::ActorKind;
use serde_json::{Value, json};

use crate::support::database::Database;
use crate::support::events::{accepted, event, finished, post_and_wait, stored};
use crate::support::http::Client;
use crate::support::server::{Server, Setup};

/// The stages, and the pool of each.
pub fn stages() -> impl Iterator<Item = (&'static str, &'static str)> {
    ActorKind::stages().map(|kind| (kind.name(), kind.pool_name()))
}

/// Retries that a test need not wait for.
pub const QUICK: &str = "retry.delay = \"100ms\"\nretry.jitter = 0.0\n";

/// One rule of `[[faults]]`.
pub fn rule(stage: &str, name: &str, action: &str, times: u32) -> String {
    format!("[[faults]]\nstage = {stage:?}\nevent_name = {name:?}\naction = {action:?}\ntimes = {times}\n")
}

/// For each stage a rule of this action, for events named `<action>-<stage>`.
pub fn rule_per_stage(action: &str, times: u32) -> String {
    stages().map(|(stage, _)| rule(stage, &format!("{action}-{stage}"), action, times)).collect()
}

/// What `GET /api/pipeline` counts for one pool, over all its actors.
pub fn count(server: &mut Server, pool: &str, what: &str) -> u64 {
    let view = server.dashboard().get("/api/pipeline").json();
    let pools = view["pools"].as_array().unwrap_or_else(|| panic!("no pools: {view}"));
    let pool = pools.iter().find(|found| found["name"] == pool).unwrap_or_else(|| panic!("no {pool}: {view}"));
    let actors = pool["actors"].as_array().unwrap_or_else(|| panic!("no actors: {pool}"));
    actors.iter().map(|actor| actor[what].as_u64().unwrap_or_else(|| panic!("no {what}: {actor}"))).sum()
}

/// The failed attempts at an event: `attempt stage error_code`.
pub fn attempts(database: &Database, id: i64) -> Vec<String> {
    database.texts(&format!(
        "SELECT CAST(attempt AS TEXT) || ' ' || stage || ' ' || error_code FROM attempts WHERE event_id = {id} \
         ORDER BY attempt"
    ))
}

/// Posts `count` events named `calm` at once, beside `also`; the ids of the calm ones and of the other.
pub fn among_neighbours(client: &Client, also: &Value, count: usize) -> (Vec<i64>, i64) {
    std::thread::scope(|scope| {
        let calm = || accepted(client, &event("calm"));
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(calm)).collect();
        let id = accepted(client, also);
        (threads.into_iter().map(|thread| thread.join().expect("neighbours are accepted")).collect(), id)
    })
}

/// Asserts that these events were processed at their first attempt.
pub fn assert_undisturbed(client: &Client, ids: &[i64]) {
    for id in ids {
        let event = finished(client, *id);
        assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(1)), "{event}");
    }
}

both_databases! {
    fn a_panic_in_any_stage_is_charged_to_its_event_and_retried(database) {
        let rules = rule_per_stage("panic", 1);
        let mut server = Server::start(Setup::new(&database).with_config(QUICK).with_config(&rules));
        let client = server.client();
        for (stage, pool) in stages() {
            let (neighbours, id) = among_neighbours(&client, &event(&format!("panic-{stage}")), 20);
            let event = finished(&client, id);
            assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(2)), "{event}");
            assert_eq!(event["processing_error"], Value::Null, "{event}");
            assert_eq!(attempts(server.database(), id), [format!("1 {stage} stage_panic")]);
            assert_undisturbed(&client, &neighbours);
            assert_eq!(count(&mut server, pool, "panics"), 1, "{pool}");
        }
        assert_eq!(server.client().get("/health/ready").status, 200);
    }

    fn an_event_that_always_panics_is_poison_after_four_attempts(database) {
        let rules = rule_per_stage("panic", 0);
        let mut server = Server::start(Setup::new(&database).with_config(QUICK).with_config(&rules));
        let client = server.client();
        for (stage, _) in stages() {
            let (neighbours, id) = among_neighbours(&client, &event(&format!("panic-{stage}")), 20);
            let event = finished(&client, id);
            assert_eq!((&event["status"], &event["error_code"]), (&json!("failed"), &json!("poison")), "{event}");
            assert_eq!((&event["attempts"], &event["processed"]), (&json!(4), &json!(false)), "{event}");
            let error = event["processing_error"].as_str().unwrap_or_default();
            assert!(error.starts_with("Processing error: "), "{event}");
            let wanted: Vec<String> = (1..=4).map(|attempt| format!("{attempt} {stage} stage_panic")).collect();
            assert_eq!(attempts(server.database(), id), wanted);
            assert_undisturbed(&client, &neighbours);
        }
        let id = accepted(&client, &event("after"));
        assert_undisturbed(&client, &[id]);
    }

    fn an_error_is_transient_and_exhausts_its_retries(database) {
        let rules = format!("{}{}", rule_per_stage("error", 0), rule("validator", "passing", "error", 2));
        let mut server = Server::start(Setup::new(&database).with_config(QUICK).with_config(&rules));
        let client = server.client();
        for (stage, pool) in stages() {
            let answer = post_and_wait(&client, &event(&format!("error-{stage}")), 60);
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["retries_exhausted"], true, "{answer:?}");
            let id = answer.json()["event_id"].as_i64().expect("a number");
            let event = stored(&client, id);
            assert_eq!(event["error_code"], "retries_exhausted", "{event}");
            assert_eq!(event["attempts"], 4, "{event}");
            assert_eq!(attempts(server.database(), id).len(), 4);
            assert_eq!(count(&mut server, pool, "panics"), 0, "{pool}");
        }
        let answer = post_and_wait(&client, &event("passing"), 60);
        assert_eq!(answer.json()["status"], "success", "{answer:?}");
        assert_eq!(finished(&client, answer.json()["event_id"].as_i64().expect("a number"))["attempts"], 3);
    }
}
