//! Stalls: stages that overlap, attempts that are cut short, and a stop that waits for its requests.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{QUICK, attempts, count, rule};
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::http::Client;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

fn stall(stage: &str, name: &str, duration: &str, times: u32) -> String {
    format!(
        "[[faults]]\nstage = {stage:?}\nevent_name = {name:?}\naction = \"stall\"\nduration = {duration:?}\n\
         times = {times}\n"
    )
}

/// Posts this many slow events, each as soon as the one before is in the line: what comes in one turn of the event loop
/// goes to one actor. Waits until all are processed, and gives the time it took.
fn slow_events(server: &mut Server, count: usize) -> Duration {
    let client = server.client();
    let dashboard = server.dashboard();
    let began = Instant::now();
    let in_flight = || dashboard.get("/api/pipeline").json()["in_flight"]["events"].as_u64();
    std::thread::scope(|scope| {
        for number in 1..=count {
            scope.spawn(|| {
                let id = accepted(&client, &event("slow"));
                assert_eq!(finished(&client, id)["status"], "processed");
            });
            let is_in = || in_flight().filter(|events| *events >= number as u64);
            wait_for("the event to be in the line", SOON, is_in, || format!("{:?}", in_flight()));
        }
    });
    began.elapsed()
}

#[test]
fn four_validators_work_on_four_slow_events_at_once() {
    let setup = Setup::new(&Database::sqlite())
        .with_config("actors.validators = 4\ntimeouts.accept = \"60s\"")
        .with_config(&stall("validator", "slow", "5s", 0));
    let mut server = Server::start(setup);
    let took = slow_events(&mut server, 4);
    assert!(took >= Duration::from_secs(5), "the stall has to be there to be shared: {took:?}");
    assert!(took < Duration::from_secs(20), "one after the other takes 20 s; at once took {took:?}");
    let slow = count(&mut server, "validators", "events");
    assert!(slow >= 4, "{slow} events were counted");
}

#[test]
fn a_full_line_refuses_at_once_and_says_when_to_come_back() {
    let setup = Setup::new(&Database::sqlite())
        .with_config("[pipeline]\nin_flight_events = 10\nflush_events = 10\n[lease]\nclaim_events = 10")
        .with_config(&stall("normalizer", "slow", "3s", 2));
    let mut server = Server::start(setup);
    let client = server.client();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..30).map(|_| scope.spawn(|| client.post_json(EVENTS, &event("slow")))).collect();
        threads.into_iter().map(|thread| thread.join().expect("every post is answered")).collect()
    });
    let taken = answers.iter().filter(|answer| answer.status == 202).count();
    assert!((1..30).contains(&taken), "{taken} of 30 were taken by a line of 10");
    for answer in answers.iter().filter(|answer| answer.status != 202) {
        assert_eq!(answer.status, 503, "{answer:?}");
        let problem = answer.json();
        assert_eq!((&problem["code"], &problem["retryable"]), (&json!("overloaded"), &json!(true)), "{problem}");
        let seconds = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds >= 1), "{answer:?}");
    }
    let rows = server.database().texts("SELECT CAST(id AS TEXT) FROM events").len();
    assert_eq!(rows, taken, "503 means certainly not stored");
    let id = accepted(&client, &event("after"));
    assert_eq!(finished(&client, id)["status"], "processed");
}

both_databases! {
    fn an_attempt_beyond_the_soft_limit_ends_and_is_retried(database) {
        let setup = Setup::new(&database)
            .with_config(QUICK)
            .with_config("timeouts.processing = \"4s\"\ntimeouts.accept = \"60s\"")
            .with_config(&stall("normalizer", "slow", "3600ms", 1));
        let mut server = Server::start(setup);
        let client = server.client();
        let id = accepted(&client, &event("slow"));
        let event = finished(&client, id);
        assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(2)), "{event}");
        assert_eq!(attempts(server.database(), id), ["1 normalizer soft_timeout"]);
    }

    fn an_attempt_at_a_stored_event_may_take_longer_than_clients_wait(database) {
        let setup = Setup::new(&database)
            .with_config(QUICK)
            .with_config("timeouts.accept = \"2s\"")
            .with_config(&format!("{}{}", rule("validator", "slow", "error", 1), stall("normalizer", "slow", "3s", 0)));
        let mut server = Server::start(setup);
        let client = server.client();
        let id = accepted(&client, &event("slow"));
        let event = finished(&client, id);
        assert_eq!((&event["status"], &event["attempts"]), (&json!("processed"), &json!(2)), "{event}");
    }

    fn an_actor_beyond_the_hard_limit_is_replaced_and_its_event_retried(database) {
        let setup = Setup::new(&database)
            .with_config(QUICK)
            .with_config("timeouts.processing = \"1s\"\ntimeouts.accept = \"60s\"\nactors.normalizers = 1")
            .with_config(&stall("normalizer", "stuck", "20s", 1));
        let mut server = Server::start(setup);
        let client = server.client();
        let id = accepted(&client, &event("stuck"));
        let stuck = finished(&client, id);
        assert_eq!((&stuck["status"], &stuck["attempts"]), (&json!("processed"), &json!(2)), "{stuck}");
        wait_for(
            "a new normalizer",
            SOON,
            || (count(&mut server, "normalizers", "restarts") >= 1).then_some(()),
            String::new,
        );
        let id = accepted(&client, &event("after"));
        assert_eq!(finished(&client, id)["attempts"], 1);
    }

    fn a_stop_answers_the_request_in_flight_and_is_not_ready_meanwhile(database) {
        let setup = Setup::new(&database).with_config(&stall("validator", "slow", "3s", 1));
        let mut server = Server::start(setup);
        let client = server.client();
        let nobody = Client::new(server.address(), None);
        let is_stopping = || {
            let connection = crate::support::wire::Connection::open(server.address());
            let Ok(mut connection) = connection else { return Some(()) };
            let request = b"GET /health/ready HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            let answer = connection.send(request).and_then(|()| connection.answer());
            answer.map_or(Some(()), |answer| (answer.status == 503).then_some(()))
        };
        assert_eq!(nobody.get("/health/ready").status, 200);
        let busy = || server.log().contains("Starting processing").then_some(());
        let id = std::thread::scope(|scope| {
            let request = scope.spawn(|| accepted(&client, &event("slow")));
            wait_for("the request to be at work", SOON, busy, || server.log());
            server.terminate();
            wait_for("the server to be no longer ready", SOON, is_stopping, || server.log());
            request.join().expect("the request in flight is answered")
        });
        assert_eq!(server.wait_exit(SOON).code(), Some(0), "{}", server.log());
        let mut server = Server::start(server.setup().clone().with_config("faults = []"));
        assert_eq!(finished(&server.client(), id)["status"], "processed");
    }
}
