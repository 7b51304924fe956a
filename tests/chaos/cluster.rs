//! Ends of PostgreSQL itself: stopped at once, killed, one session killed, away for long.

use std::time::{Duration, Instant};

use super::kills::await_more;
use super::trial::Trial;
use crate::support::load::{Load, Plan};
use crate::support::postgres::Cluster;
use crate::support::server::Server;
use crate::support::wait::rest;

/// Row 4: `pg_ctl stop -m immediate` and a start, sometimes at once.
pub fn stopped_at_once(trial: &mut Trial) {
    again_and_again(trial, Cluster::stop_immediate);
}

/// Row 5: `kill -9` of the postmaster.
pub fn killed(trial: &mut Trial) {
    again_and_again(trial, Cluster::kill_postmaster);
}

fn again_and_again(trial: &mut Trial, end: fn(&Cluster)) {
    let cluster = Cluster::start();
    let database = trial.fresh_database_in(&cluster);
    let mut server = Server::start(trial.setup(&database));
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 8).keyless(2));
    for _ in 0..trial.pick(2, 5) {
        await_more(&load, usize::try_from(trial.dice.between(20, 200)).expect("small"), &server);
        end(&cluster);
        rest(Duration::from_millis(trial.dice.one_of(&[0, 200, 1_500])));
        cluster.start_again();
        let began = Instant::now();
        await_more(&load, 1, &server);
        trial.recovered_in(began.elapsed());
    }
    trial.judge(&database, &mut [&mut server], &load.stop());
    let charged = database.texts("SELECT CAST(id AS TEXT) FROM events WHERE attempts <> 1");
    trial.expect(charged.is_empty(), || format!("an outage used up attempts of {charged:?}"));
}
