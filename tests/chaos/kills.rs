//! Ends of the server's own process: `kill -9`, SIGTERM.

use std::time::{Duration, Instant};

use super::trial::Trial;
use crate::support::load::{Load, Plan};
use crate::support::server::Server;
use crate::support::session::Session;
use crate::support::wait::{SOON, rest, wait_for};

/// Most acknowledgements between a start and its kill.
const BETWEEN_MAX: u64 = 400;

/// Row 1: kills under load, some of them while the server comes up again.
pub fn at_random_instants(trial: &mut Trial) {
    let database = trial.fresh_database();
    let mut server = Server::start(trial.setup(&database));
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 8).keyless(2));
    for _ in 0..trial.pick(10, 20) {
        let more = usize::try_from(trial.dice.below(BETWEEN_MAX)).expect("small");
        await_more(&load, more, &server);
        server.kill9();
        if trial.dice.below(3) == 0 {
            kill_while_it_comes_up(trial, &mut server);
        }
        let began = Instant::now();
        server.restart();
        trial.recovered_in(began.elapsed());
    }
    await_more(&load, 1, &server);
    trial.judge(&database, &mut [&mut server], &load.stop());
}

/// Row 1b: a kill while every write waits for a lock that somebody else holds.
pub fn behind_a_lock(trial: &mut Trial) {
    let database = trial.fresh_database();
    let mut server = Server::start(trial.setup(&database));
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 8).keyless(2));
    for _ in 0..trial.pick(2, 5) {
        await_more(&load, 20, &server);
        let session = Session::lock_events(&database);
        rest(Duration::from_millis(trial.dice.between(300, 900)));
        server.kill9();
        session.commit();
        let began = Instant::now();
        server.restart();
        trial.recovered_in(began.elapsed());
    }
    await_more(&load, 1, &server);
    trial.judge(&database, &mut [&mut server], &load.stop());
}

/// Waits until the load has so many more acknowledgements.
pub fn await_more(load: &Load, more: usize, server: &Server) {
    let enough = load.acknowledged() + more;
    wait_for(
        &format!("{enough} acknowledgements"),
        SOON,
        || (load.acknowledged() >= enough).then_some(()),
        || format!("{} acknowledged\n{}", load.acknowledged(), server.log_tail()),
    );
}

fn kill_while_it_comes_up(trial: &mut Trial, server: &mut Server) {
    server.spawn();
    rest(Duration::from_millis(trial.dice.below(120)));
    server.kill9();
}
