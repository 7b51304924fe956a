//! The database goes away: stopped, killed, one session killed, away for long.

use std::time::Duration;

use super::disturbance::Disturbance;
use super::scene::Scene;
use super::trial::Trial;
use crate::support::events::event;
use crate::support::lacks::say;
use crate::support::ledger::{Entry, State};
use crate::support::wait::rest;

/// Time for requests that met the beginning of an outage on a connection that was good a moment ago.
const TAKEN_UNAWARES: Duration = Duration::from_secs(4);

/// Alarms of one outage: that it came and that it went, for each part of the service that needs the database.
const ALARMS_MAX: usize = 16;

/// A backlog of an outage is to be gone within this.
const DRAINED: Duration = Duration::from_secs(30);

/// Row 4: `pg_ctl stop -m immediate` and a start, sometimes at once.
pub fn stopped_at_once(trial: &mut Trial) {
    again_and_again(trial, Disturbance::DatabaseStopped);
}

/// Row 5: `kill -9` of the postmaster.
pub fn killed(trial: &mut Trial) {
    again_and_again(trial, Disturbance::DatabaseKilled);
}

/// Row 5b: `kill -9` of one session's process; PostgreSQL ends all others and recovers.
pub fn session_killed(trial: &mut Trial) {
    again_and_again(trial, Disturbance::SessionKilled);
}

fn again_and_again(trial: &mut Trial, disturbance: Disturbance) {
    let mut scene = Scene::start_direct(trial, |plan| plan);
    for _ in 0..trial.pick(2, 5) {
        scene.await_more(usize::try_from(trial.dice.between(20, 200)).expect("small"));
        let length = Duration::from_millis(trial.dice.one_of(&[0, 200, 1_500]));
        disturbance.happen(&mut scene, trial, length);
    }
    scene.judge(trial);
    assert_uncharged(&scene, trial);
}

/// An outage is nobody's attempt.
fn assert_uncharged(scene: &Scene, trial: &mut Trial) {
    let charged = scene.database.texts("SELECT CAST(id AS TEXT) FROM events WHERE attempts <> 1 LIMIT 5");
    trial.expect(charged.is_empty(), || format!("an outage used up attempts of {charged:?}"));
}

/// Row 25: away for long while events come at a rate: each is spooled or refused, and what was spooled is drained.
pub fn away(trial: &mut Trial) {
    let seconds = trial.pick(10, trial.dice.clone().one_of(&[15, 15, 60, 600]));
    let rate = trial.pick(100, 500);
    let mut scene = Scene::start_direct(trial, |plan| plan.at_rate(rate));
    rest(Duration::from_secs(1));
    let (began, ended) = outage(&mut scene, trial, Duration::from_secs(seconds));
    let ledger = scene.judge_with(trial, DRAINED);
    let is_told = |entry: &&Entry| match entry.state {
        State::Acknowledged(_) => entry.is_spooled,
        State::Rejected(status) => status == 503,
        State::Sent | State::Unknown => false,
    };
    let during = |entry: &&Entry| entry.sent_after > began + TAKEN_UNAWARES && entry.sent_after + entry.took < ended;
    let untold: Vec<&Entry> = ledger.entries().iter().filter(during).filter(|entry| !is_told(entry)).take(3).collect();
    trial.expect(untold.is_empty(), || format!("while the database was away, neither spooled nor refused: {untold:?}"));
    assert_uncharged(&scene, trial);
}

/// Row 25b: an outage that the spool covers: no request fails, and the backlog is gone soon after.
pub fn covered_by_the_spool(trial: &mut Trial) {
    let seconds = trial.pick(10, 60);
    let rate = trial.pick(200, 2_000);
    let mut scene = Scene::start_direct(trial, |plan| plan.at_rate(rate).with_connections(64));
    rest(Duration::from_secs(2));
    let (began, ended) = outage(&mut scene, trial, Duration::from_secs(seconds));
    rest(Duration::from_secs(2));
    let ledger = scene.judge_with(trial, DRAINED);
    let meanwhile =
        ledger.entries().iter().filter(|entry| entry.sent_after > began && entry.sent_after < ended).count();
    // The clients wait for their answers: a slow service would be offered less.
    say(&format!("chaos: {:.0} events a second while it was away", meanwhile as f64 / (ended - began).as_secs_f64()));
    let failed: Vec<&Entry> = ledger.entries().iter().filter(|entry| !matches!(entry.status, Some(200..300))).collect();
    trial.expect(failed.is_empty(), || {
        let first = &failed[..failed.len().min(3)];
        format!("{} of {} requests failed: {first:?}", failed.len(), ledger.entries().len())
    });
    assert_uncharged(&scene, trial);
}

/// I8: who calls itself ready takes what comes, into the database or the spool.
fn readiness_is_true(scene: &mut Scene, trial: &mut Trial) {
    let client = scene.server.client();
    let ready = client.get("/health/ready");
    let answer = client.post_text("/api/v1/events", &event("while_away").to_string());
    let is_true = matches!((ready.status, answer.status), (200, 202) | (503, 202 | 503 | 504));
    trial.expect(is_true, || format!("I8: the server says {ready:?}, and an event gets {answer:?}"));
}

/// Row 25c: I8, a line for each change of state, and none for each failure in between.
pub fn logged(trial: &mut Trial) {
    let mut scene = Scene::start_direct(trial, |plan| plan);
    let before = alarms(&scene).len();
    outage(&mut scene, trial, Duration::from_secs(trial.pick(5, 20)));
    let lines = alarms(&scene).split_off(before);
    trial.expect(lines.len() <= ALARMS_MAX, || {
        let first = lines[..ALARMS_MAX].join("\n");
        format!("I8: {} alarms in one outage, limit {ALARMS_MAX}; the first:\n{first}", lines.len())
    });
    scene.judge(trial);
}

/// Warnings and errors in the server's log.
fn alarms(scene: &Scene) -> Vec<String> {
    let log = scene.server.log();
    log.lines().filter(|line| line.contains(" WARN ") || line.contains("ERROR ")).map(str::to_owned).collect()
}

/// When the database was away, by the load's clock.
fn outage(scene: &mut Scene, trial: &mut Trial, length: Duration) -> (Duration, Duration) {
    let began = scene.load().elapsed();
    Disturbance::DatabaseStopped.begin(scene);
    rest(length);
    readiness_is_true(scene, trial);
    let ended = scene.load().elapsed();
    Disturbance::DatabaseStopped.end(scene);
    scene.recover(trial);
    (began, ended)
}
