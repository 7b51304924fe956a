//! Faults whose tests live with their subject; the long form repeats them with more of everything.

use super::trial::Trial;
use crate::nodes;
use crate::support::lacks::say;

/// Row 13: a storm of panics; `GRISTMILL_CHAOS_STORM` says how many events.
#[cfg(feature = "fault-injection")]
pub fn storm(trial: &mut Trial) {
    let events = std::env::var("GRISTMILL_CHAOS_STORM").ok().and_then(|text| text.parse().ok());
    let storm = crate::faults::storm::run(&trial.fresh_database(), events.unwrap_or(20_000));
    say(&format!("chaos: {storm:?}"));
    trial.acknowledged(storm.acknowledged);
}

/// Row 13, which needs the cargo feature.
#[cfg(not(feature = "fault-injection"))]
pub fn storm(_: &mut Trial) {
    say("a storm of panics needs the cargo feature fault-injection");
}

/// Row 19.
pub fn keys(_: &mut Trial) {
    nodes::keys::run(5);
}

/// Row 20.
pub fn race(_: &mut Trial) {
    nodes::race::run(8, 20_000);
}

/// Row 21.
pub fn freeze(trial: &mut Trial) {
    let slowest = nodes::freeze::run(1);
    trial.recovered_in(slowest);
}

/// Row 22.
pub fn midbatch(_: &mut Trial) {
    nodes::midbatch::run(1);
}

/// Row 23.
pub fn migration(_: &mut Trial) {
    nodes::migration::run(8, 2);
}

/// A restart of one node after the other, under load.
pub fn rolling(_: &mut Trial) {
    nodes::rolling::run(3, 1);
}
