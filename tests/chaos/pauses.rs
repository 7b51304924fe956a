//! Stages that an operator pauses under load: what finds no room is refused, memory stays flat, and what was acknowledged
//! is there.

use std::time::Duration;

use super::kills::await_more;
use super::trial::Trial;
use crate::control::asked;
use crate::support::http::Client;
use crate::support::ledger::{Entry, State};
use crate::support::load::{Load, Plan};
use crate::support::server::Server;
use crate::support::wait::rest;

/// Room for eight events, which wait for two seconds.
const ROOM: &str = "\
pipeline.in_flight_events = 8
pipeline.flush_events = 8
lease.claim_events = 8
timeouts.accept = \"2s\"
";

/// Clients: most of them find no room.
const CLIENTS: usize = 32;

/// The longest that an accepted event may have waited, on a busy machine.
const ANSWERED: Duration = Duration::from_secs(10);

/// What a server may grow by meanwhile.
const GROWTH_MAX: u64 = 64 << 20;

/// Row 16: the Persisters stand still for longer than a client is made to wait.
pub fn of_the_persisters(trial: &mut Trial) {
    let database = trial.fresh_database();
    let mut server = Server::start(trial.setup(&database).with_config(ROOM));
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, CLIENTS).keyless(2));
    await_more(&load, 50, &server);
    let before = server.rss_bytes();
    change(&mut server, "/pools/persisters/pause");
    let stopped = load.elapsed();
    let count = || database.texts("SELECT CAST(COUNT(*) AS TEXT) FROM events");
    let client = server.client();
    expect_refusals(trial, &client);
    // What the Persisters held when they were paused is written by then.
    rest(Duration::from_secs(1));
    let events = count();
    rest(Duration::from_secs(trial.pick(3, 20)));
    trial.expect(count() == events, || format!("paused Persisters wrote: {events:?} events, then {:?}", count()));
    let ready = client.get("/health/ready");
    trial.expect(ready.status == 503 && ready.body.contains("the persisters are paused"), || format!("{ready:?}"));
    let resumed = load.elapsed();
    change(&mut server, "/pools/persisters/resume");
    await_more(&load, 1, &server);
    trial.recovered_in(load.elapsed() - resumed);
    await_more(&load, 50, &server);
    let grown = server.rss_bytes().saturating_sub(before);
    trial.expect(grown < GROWTH_MAX, || format!("the server grew by {grown} bytes, limit {GROWTH_MAX}"));
    let ledger = load.stop();
    let meanwhile = |entry: &&Entry| entry.sent_after > stopped && entry.sent_after < resumed;
    let refused = ledger.entries().iter().filter(meanwhile).filter(|entry| entry.state == State::Rejected(503)).count();
    trial.expect(refused > 0, || "nobody was refused".to_owned());
    let slow: Vec<&Entry> = ledger.entries().iter().filter(|entry| entry.took > ANSWERED).take(3).collect();
    trial.expect(slow.is_empty(), || format!("clients waited for too long: {slow:?}"));
    trial.judge(&database, &mut [&mut server], &ledger);
}

/// Row 16k: any pool, or the whole line, is paused; the process is killed meanwhile, and comes back paused.
pub fn with_kills(trial: &mut Trial) {
    let database = trial.fresh_database();
    let mut server = Server::start(trial.setup(&database).with_config(ROOM));
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 8).keyless(2));
    let paths = ["", "/pools/validators", "/pools/normalizers", "/pools/persisters"];
    for _ in 0..trial.pick(2, 10) {
        await_more(&load, 30, &server);
        let path = paths[usize::try_from(trial.dice.below(paths.len() as u64)).expect("small")];
        change(&mut server, &format!("{path}/pause"));
        rest(Duration::from_millis(trial.dice.below(1_000)));
        server.kill9();
        server.restart();
        let ready = server.client().get("/health/ready");
        trial.expect(ready.status == 503, || format!("{path} was paused before the kill: {ready:?}"));
        let enough = load.acknowledged();
        rest(Duration::from_millis(500));
        trial.expect(load.acknowledged() == enough, || format!("{path} is paused, and events are acknowledged"));
        change(&mut server, &format!("{path}/resume"));
    }
    await_more(&load, 1, &server);
    trial.judge(&database, &mut [&mut server], &load.stop());
}

fn change(server: &mut Server, path: &str) {
    let answer = asked(&server.dashboard(), path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
}

/// Every refusal says that the service is overloaded, and when to come back.
fn expect_refusals(trial: &mut Trial, client: &Client) {
    for _ in 0..20 {
        let answer = client.post_text("/api/v1/events", r#"{"event_name":"beside","event_type":"x","payload":{}}"#);
        let after = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        let is_right =
            answer.status == 503 && answer.json()["code"] == "overloaded" && after.is_some_and(|after| after >= 1);
        trial.expect(is_right, || format!("a paused line says {answer:?}"));
    }
}
