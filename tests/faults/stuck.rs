//! Stuck actors: what they hold is taken from them and finished elsewhere, and what they do later has no effect.

use std::time::Duration;

use serde_json::json;

use super::{QUICK, among_neighbours, assert_undisturbed, attempts, count, rule, stages};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished, stored};
use crate::support::http::Client;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, rest, wait_for};
use crate::support::wire::Connection;

/// A hard limit that a test can wait for, one actor per stage, and clients that wait until all is mended.
const IMPATIENT: &str = "\
timeouts.processing = \"1s\"
timeouts.accept = \"60s\"
actors.validators = 1
actors.normalizers = 1
actors.persisters = 1
";

/// A rule that strikes once.
fn once(stage: &str, point: &str, name: &str, action: &str) -> String {
    format!(
        "[[faults]]\nstage = {stage:?}\npoint = {point:?}\nevent_name = {name:?}\naction = {action:?}\n\
         duration = \"100s\"\ntimes = 1\n"
    )
}

fn pipeline(server: &mut Server) -> serde_json::Value {
    server.dashboard().get("/api/pipeline").json()
}

fn restarts(server: &mut Server, pool: &str) -> u64 {
    count(server, pool, "restarts")
}

/// Waits until nothing is between the door and the answer, and no claim is held.
fn assert_at_rest(server: &mut Server) {
    let is_empty =
        |view: &serde_json::Value| view["in_flight"] == json!({"events": 0, "bytes": 0}) && view["claims_held"] == 0;
    wait_for(
        "the line to be empty",
        SOON,
        || is_empty(&pipeline(server)).then_some(()),
        || "still not empty".to_owned(),
    );
    let open = server.database().texts("SELECT CAST(id AS TEXT) FROM events WHERE status = 'pending'");
    assert!(open.is_empty(), "pending: {open:?}");
}

/// Posts an event that gets stuck in `stage`, and 20 others once it is there; the ids of the others and of the first.
fn behind_a_stuck_one(server: &mut Server, client: &Client, name: &str) -> (Vec<i64>, i64) {
    let log = server.log().len();
    std::thread::scope(|scope| {
        let stuck = scope.spawn(|| accepted(client, &event(name)));
        let has_begun = || server.log()[log..].contains("Payload validation passed").then_some(());
        if !name.ends_with("validator") {
            wait_for("the event to be under way", SOON, has_begun, || server.log());
        }
        let others: Vec<_> = (0..20).map(|_| scope.spawn(|| accepted(client, &event("calm")))).collect();
        let others = others.into_iter().map(|thread| thread.join().expect("they are accepted")).collect();
        (others, stuck.join().expect("it is accepted"))
    })
}

/// In each stage an event whose work never ends: it is charged, those behind it go on, and an actor takes the place.
fn an_event_gets_stuck_in_each_stage(setup: Setup, action: &str) {
    let rules: String = stages().map(|(stage, _)| once(stage, "event", &format!("{action}-{stage}"), action)).collect();
    let mut server = Server::start(setup.with_config(QUICK).with_config(IMPATIENT).with_config(&rules));
    let client = server.client();
    for (stage, pool) in stages() {
        let (others, id) = behind_a_stuck_one(&mut server, &client, &format!("{action}-{stage}"));
        let stuck = finished(&client, id);
        assert_eq!((&stuck["status"], &stuck["attempts"]), (&json!("processed"), &json!(2)), "{stuck}");
        assert_eq!(attempts(server.database(), id), [format!("1 {stage} hard_timeout")]);
        assert_undisturbed(&client, &others);
        assert_eq!(restarts(&mut server, pool), 1, "{pool}");
    }
    assert_at_rest(&mut server);
    assert_eq!(client.get("/health/ready").status, 200, "three threads left behind are not too many");
}

both_databases! {
    // Guards `gets_on` in `Pool::send`: while its actor is stuck, the other one of the pool has all the rest.
    fn nothing_gets_behind_a_stuck_event_while_another_actor_is_free(database) {
        let rules: String = ["validator", "normalizer"].map(|stage| once(stage, "event", stage, "stall")).concat();
        let config = IMPATIENT.replace("validators = 1", "validators = 2").replace("normalizers = 1", "normalizers = 2");
        let config = config.replace("processing = \"1s\"", "processing = \"6s\"");
        let mut server = Server::start(Setup::new(&database).with_config(QUICK).with_config(&config).with_config(&rules));
        let client = server.client();
        std::thread::scope(|scope| {
            let stuck = ["normalizer", "validator"].map(|name| {
                let post = scope.spawn(|| accepted(&client, &event(name)));
                // A stage logs nothing while it is stuck; whoever has been at it for so long is passed over.
                rest(Duration::from_millis(500));
                post
            });
            let others: Vec<i64> = (0..20).map(|_| accepted(&client, &event("calm"))).collect();
            assert!(stuck.iter().all(|stuck| !stuck.is_finished()), "the hard limit came first");
            assert_undisturbed(&client, &others);
        });
    }

    fn a_blocked_thread_loses_its_work_to_a_fresh_actor(database) {
        an_event_gets_stuck_in_each_stage(Setup::new(&database), "stall");
    }

    fn an_await_that_never_ends_is_given_up_and_its_work_done_again(database) {
        let rules: String = ["validator", "persister", "claimer"].map(|stage| once(stage, "turn", "", "hang")).concat();
        let mut server =
            Server::start(Setup::new(&database).with_config(QUICK).with_config(IMPATIENT).with_config(&rules));
        let client = server.client();
        // A look-up hangs first, then a flush; the others wait behind them.
        let (others, id) = among_neighbours(&client, &event("calm"), 10);
        assert_undisturbed(&client, &others);
        assert_undisturbed(&client, &[id]);
        for pool in ["validators", "persisters", "claimer"] {
            let replaced = || (restarts(&mut server, pool) == 1).then_some(());
            wait_for(&format!("a new actor in {pool}"), SOON, replaced, String::new);
        }
        assert_at_rest(&mut server);
        let view = pipeline(&mut server).to_string();
        assert!(view.contains("waited for longer than timeouts.processing"), "{view}");
    }

    fn what_a_stuck_thread_does_when_it_wakes_up_has_no_effect(database) {
        let rules = [
            once("normalizer", "event", "new", "stall").replace("100s", "4s"),
            rule("validator", "claimed", "error", 1),
            once("normalizer", "event", "claimed", "stall").replace("100s", "4s"),
        ];
        let mut server =
            Server::start(Setup::new(&database).with_config(QUICK).with_config(IMPATIENT).with_config(&rules.concat()));
        let client = server.client();
        accepted(&client, &event("calm"));
        let threads = server.threads("normalizer");
        for (name, charged) in [
            ("new", &["1 normalizer hard_timeout"][..]),
            ("claimed", &["1 validator injected", "2 normalizer hard_timeout"]),
        ] {
            let id = accepted(&client, &event(name));
            let before = finished(&client, id);
            assert_eq!((&before["status"], &before["attempts"]), (&json!("processed"), &json!(charged.len() + 1)));
            assert!(server.threads("normalizer") > threads, "the stuck thread is still there");
            let is_over = || (server.threads("normalizer") <= threads).then_some(());
            wait_for("the stuck thread to wake up and end", SOON, is_over, || server.log());
            assert_at_rest(&mut server);
            assert_eq!(stored(&client, id), before);
            assert_eq!(attempts(server.database(), id), charged);
        }
        assert_eq!(pipeline(&mut server)["stale_writes_rejected"], 0, "it did not even try");
    }
}

/// A server on which the events `stuck-0` to `stuck-<count - 1>` get stuck once, for so long.
fn where_events_get_stuck(count: usize, duration: &str) -> Server {
    let rule = |n| once("normalizer", "event", &format!("stuck-{n}"), "stall").replace("100s", duration);
    let rules: String = (0..count).map(rule).collect();
    let setup = Setup::new(&Database::sqlite()).with_config(QUICK).with_config(IMPATIENT);
    Server::start(setup.with_config(&rules))
}

/// Posts an event that gets stuck and waits until it is done elsewhere.
fn get_stuck(client: &Client, n: usize) {
    let id = accepted(client, &event(&format!("stuck-{n}")));
    assert_eq!(finished(client, id)["attempts"], 2);
}

// Guards `left_behind.retain(…)` in `Supervisor::look_after`.
#[test]
fn threads_that_were_left_behind_and_have_ended_count_no_more() {
    let mut server = where_events_get_stuck(6, "2s");
    let client = server.client();
    accepted(&client, &event("calm"));
    let threads = server.threads("normalizer");
    for n in 0..6 {
        get_stuck(&client, n);
        let is_over = || (server.threads("normalizer") <= threads).then_some(());
        wait_for("the stuck thread to end", SOON, is_over, || server.log_tail());
    }
    assert_at_rest(&mut server);
}

// Guards `LEFT_BEHIND_MAX`.
#[test]
fn five_threads_left_behind_at_once_end_the_process() {
    let mut server = where_events_get_stuck(5, "100s");
    let client = server.client();
    (0..4).for_each(|n| get_stuck(&client, n));
    assert_at_rest(&mut server);
    let mut connection = Connection::open(server.address()).expect("the server listens");
    let body = event("stuck-4").to_string();
    let token = server.token();
    let head = format!("Host: test\r\nAuthorization: Bearer {token}\r\nContent-Length: {}", body.len());
    let request = format!("POST {EVENTS} HTTP/1.1\r\n{head}\r\n\r\n{body}");
    connection.send(request.as_bytes()).expect("the server listens");
    assert_eq!(server.wait_exit(SOON).code(), Some(1), "{}", server.log_tail());
    assert!(server.log().contains("too many threads of stuck actors"), "{}", server.log_tail());
}

#[test]
fn an_endless_loop_is_left_behind() {
    let rule = once("normalizer", "event", "loop", "loop");
    let mut server =
        Server::start(Setup::new(&Database::sqlite()).with_config(QUICK).with_config(IMPATIENT).with_config(&rule));
    let client = server.client();
    let (others, id) = behind_a_stuck_one(&mut server, &client, "loop");
    assert_eq!(finished(&client, id)["attempts"], 2);
    assert_eq!(attempts(server.database(), id), ["1 normalizer hard_timeout"]);
    assert_undisturbed(&client, &others);
    assert_at_rest(&mut server);
}
