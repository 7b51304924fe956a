//! Two or three nodes on one PostgreSQL, all under load: one of them is lost for a while.

use std::time::{Duration, Instant};

use super::kills::await_more;
use super::oracle::Case;
use super::trial::{LEASE, Trial};
use crate::support::load::{Load, Plan};
use crate::support::run;
use crate::support::server::Server;
use crate::support::wait::rest;

/// First attempts fail now and then, so that there are claims to be lost.
const RETRIES: &str = "[[faults]]\nstage = \"validator\"\naction = \"error\"\nshare = 0.05";

/// One of them is killed, and comes back.
pub fn killed(trial: &mut Trial) {
    one_is_lost(trial, Server::kill9, Server::restart);
}

/// One of them is frozen for three leases: the others take its claims, and what it writes late changes nothing.
pub fn frozen(trial: &mut Trial) {
    one_is_lost(trial, |server| run::signal(server.pid(), "STOP"), |server| run::signal(server.pid(), "CONT"));
}

fn one_is_lost(trial: &mut Trial, lose: fn(&mut Server), find: fn(&mut Server)) {
    let count = usize::try_from(trial.dice.between(2, 4)).expect("small");
    let database = trial.fresh_database();
    let mut nodes: Vec<Server> = (0..count)
        .map(|number| {
            let name = format!("node.name = \"node-{number}\"\n{RETRIES}");
            let folder = run::folder("member");
            Server::start(trial.setup(&database).with_data(folder).with_config(&name))
        })
        .collect();
    let token = nodes[0].token();
    nodes.iter_mut().for_each(|node| node.share_token(&token));
    let plan = Plan::new(nodes[0].ports(), &token, 6).keyless(2).with_deadline(Duration::from_secs(5));
    let load = Load::of(nodes[1..].iter().fold(plan, |plan, node| plan.and_to(node.ports())));
    await_more(&load, 100, &nodes[0]);

    let lost = usize::try_from(trial.dice.below(count as u64)).expect("small");
    let stays = (lost + 1) % count;
    lose(&mut nodes[lost]);
    let began = Instant::now();
    await_more(&load, 50, &nodes[stays]);
    rest((3 * LEASE).saturating_sub(began.elapsed()));
    find(&mut nodes[lost]);
    await_more(&load, 100, &nodes[stays]);
    let ledger = load.stop();
    let mut servers: Vec<&mut Server> = nodes.iter_mut().collect();
    let began = Instant::now();
    trial.judge_case(Case::new(&database, &mut servers, &ledger));
    trial.recovered_in(began.elapsed());
}
