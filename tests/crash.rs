//! `kill -9` of the real binary under load: what was acknowledged is there, final, and once.

use std::time::{Duration, Instant};

use crate::support::database::Database;
use crate::support::dice::{self, Dice};
use crate::support::load::Load;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// Kills per database.
const KILLS: u32 = 20;

/// Most acknowledgements between a start and its kill.
const BETWEEN_MAX: u64 = 400;

/// Kills the server at random instants under load and checks the whole ledger at the end.
fn kill_again_and_again(database: &Database) {
    let seed = dice::seed();
    println!("again with GRISTMILL_TEST_SEED={seed}");
    let mut dice = Dice::new(seed);
    let mut server = Server::start(database);
    let token = server.token();
    let load = Load::start(server.ports(), &token, 4);
    let mut slowest = Duration::ZERO;
    for kill in 1..=KILLS {
        let enough = load.acknowledged() + 1 + usize::try_from(dice.below(BETWEEN_MAX)).expect("small");
        wait_for(
            &format!("{enough} acknowledgements before kill {kill}"),
            SOON,
            || (load.acknowledged() >= enough).then_some(()),
            || format!("{} acknowledged\n{}", load.acknowledged(), server.log()),
        );
        server.kill9();
        let began = Instant::now();
        server.restart();
        slowest = slowest.max(began.elapsed());
    }
    let ledger = load.stop();
    println!("{:?} acknowledged, rejected, unknown; slowest start {slowest:?}", ledger.counts());
    ledger.verify(&server.client(), server.database());
    let open = "SELECT CAST(id AS TEXT) FROM events WHERE status = 'pending'";
    wait_for(
        "no event to be left pending",
        SOON,
        || server.database().texts(open).is_empty().then_some(()),
        || format!("{:?}", server.database().texts(open)),
    );
}

both_databases! {
    fn every_acknowledged_event_survives_twenty_kills_once(database) {
        kill_again_and_again(&database);
    }
}
