//! The wire to the database, and a database that does not answer: resets, black holes, silence, slowness, locks.

use std::time::Duration;

use super::disturbance::Disturbance;
use super::scene::Scene;
use super::trial::Trial;
use crate::support::ledger::{Entry, State};
use crate::support::wait::rest;

/// From one reset to the next.
const RESET_EVERY: Duration = Duration::from_millis(200);

/// After a fault has healed, every connection of the pool is good again within this, on a busy machine twice that.
const WHOLE: Duration = Duration::from_secs(10);

/// Row 6: every connection is reset every 200 ms.
pub fn resets(trial: &mut Trial) {
    let mut scene = Scene::start(trial);
    for _ in 0..trial.pick(15, 100) {
        Disturbance::Reset.begin(&mut scene);
        rest(RESET_EVERY);
    }
    scene.recover(trial);
    scene.judge(trial);
}

/// Row 7: what is sent is taken and goes nowhere, in the middle of queries.
pub fn black_hole(trial: &mut Trial) {
    lasting(trial, Disturbance::Swallowed, 8);
}

/// Row 7b: the same, met by connections that were idle.
pub fn black_hole_when_idle(trial: &mut Trial) {
    let mut scene = Scene::start_with(trial, "", |plan| plan.at_rate(2).with_connections(2));
    let length = length_of(trial);
    Disturbance::Swallowed.happen(&mut scene, trial, length);
    scene.judge(trial);
}

/// Row 7c: SIGSTOP of all of PostgreSQL.
pub fn frozen(trial: &mut Trial) {
    lasting(trial, Disturbance::DatabaseFrozen, 8);
}

/// Row 8: each message takes 100 ms each way.
pub fn slow(trial: &mut Trial) {
    lasting(trial, Disturbance::Slow, 32);
}

/// Row 8b: somebody holds the table.
pub fn locked(trial: &mut Trial) {
    lasting(trial, Disturbance::TableLocked, 32);
}

/// A disturbance under load; the long form goes on until the pool has to be whole again.
fn lasting(trial: &mut Trial, disturbance: Disturbance, connections: usize) {
    let mut scene = Scene::start_with(trial, "", |plan| plan.with_connections(connections));
    let length = length_of(trial);
    disturbance.happen(&mut scene, trial, length);
    let healed = scene.load().elapsed();
    rest(trial.pick(Duration::ZERO, WHOLE + Duration::from_secs(2)));
    let ledger = scene.judge(trial);
    let late = |entry: &&Entry| entry.sent_after > healed + WHOLE && !matches!(entry.state, State::Acknowledged(_));
    let late: Vec<&Entry> = ledger.entries().iter().filter(late).take(3).collect();
    trial.expect(late.is_empty(), || format!("{WHOLE:?} after {disturbance:?} requests still fail: {late:?}"));
}

fn length_of(trial: &mut Trial) -> Duration {
    let long = trial.dice.one_of(&[6, 6, 20, 90]);
    Duration::from_secs(trial.pick(6, long))
}
