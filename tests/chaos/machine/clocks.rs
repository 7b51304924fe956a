//! Row 27: the wall clock of one node is wrong, and jumps while the node works.

use std::time::Duration;

use super::super::kills::await_more;
use super::super::trial::Trial;
use super::is_beyond_us;
use super::probe::Probe;
use crate::support::http::Answer;
use crate::support::load::{Load, Plan};
use crate::support::machine::clock::Clock;
use crate::support::server::Server;
use crate::support::wait::rest;

/// How far the clock is off.
const SHIFTS: [&str; 4] = ["+1h", "-1h", "+10d", "-10d"];

/// The first attempts of a node fail, so that the clock jumps while there are retries to be timed and leases to be held.
const FLAKY: &str = "[[faults]]\nstage = \"validator\"\naction = \"error\"\ntimes = 40\n";

/// One of two nodes has a wrong clock: it starts with it, and it jumps under load. Nobody is thought dead, retries come
/// in time (or the verdict finds them pending), and a key stays taken.
pub fn of_one_node(trial: &mut Trial) {
    if is_beyond_us(trial, &[Clock::lacks()]) {
        return;
    }
    let database = trial.fresh_database();
    let clock = Clock::new();
    let mut steady = Server::start(trial.setup(&database).with_config(FLAKY));
    let token = steady.token();
    clock.shift(trial.dice.one_of(&SHIFTS));
    let mut shifted = Server::start(clock.around(trial.setup(&database).with_config(FLAKY)));
    shifted.share_token(&token);
    let mut probe = Probe::new(steady.client());
    let plan = Plan::new(steady.ports(), &token, 2).and_to(shifted.ports()).keyless(2);
    let load = Load::of(plan.at_rate(200));
    await_more(&load, 5, &steady);
    for shift in SHIFTS.into_iter().cycle().take(trial.pick(4, 8)).chain(["+0"]) {
        let first = probe.post();
        clock.shift(shift);
        expect_the_same(trial, shift, &first, &probe.post_again_to(&shifted.client()));
        rest(Duration::from_millis(500));
        await_more(&load, 20, &steady);
    }
    for server in [&steady, &shifted] {
        let log = server.log();
        for sign in ["node is silent", "events of a dead node taken over", "late outcomes"] {
            let line = log.lines().find(|line| line.contains(sign)).unwrap_or_default();
            trial.expect(line.is_empty(), || format!("nobody died, but a node says: {line}"));
        }
    }
    trial.judge(&database, &mut [&mut steady, &mut shifted], &probe.added_to(&load.stop()));
}

/// The clock of the only node, which is its database's clock too: it stops nothing, and frees no key within the window in
/// which keys are remembered.
pub fn of_the_only_node(trial: &mut Trial) {
    if is_beyond_us(trial, &[Clock::lacks()]) {
        return;
    }
    let clock = Clock::new();
    let mut server = Server::start(clock.around(trial.setup(&trial.fresh_database())));
    let database = server.database().clone();
    let token = server.token();
    let mut probe = Probe::new(server.client());
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2).at_rate(200));
    for shift in SHIFTS {
        await_more(&load, 20, &server);
        clock.shift(shift);
        await_more(&load, 20, &server);
        clock.shift("+0");
        let first = probe.post();
        clock.shift(if shift.starts_with('+') { "+1h" } else { "-1h" });
        expect_the_same(trial, shift, &first, &probe.post_again_to(&server.client()));
    }
    clock.shift("+0");
    trial.judge(&database, &mut [&mut server], &probe.added_to(&load.stop()));
}

fn expect_the_same(trial: &mut Trial, shift: &str, first: &Answer, again: &Answer) {
    let is_same = first.json()["event_id"] == again.json()["event_id"];
    trial.expect(is_same, || format!("at {shift} a key sent again gets {again:?}, after {first:?}"));
}
