//! Two faults at once, thrown with the trial's dice.

use std::time::Duration;

use super::disturbance::Disturbance;
use super::scene::Scene;
use super::trial::Trial;
use crate::support::wait::rest;

/// Row 29: one begins, then the other; they end in the order of their beginning or in the other one.
pub fn at_random(trial: &mut Trial) {
    let mut scene = Scene::start(trial);
    for _ in 0..trial.pick(2, 4) {
        let mut pair = Disturbance::pair(&mut trial.dice);
        println!("{pair:?}");
        if trial.dice.below(2) == 0 {
            pair.swap(0, 1);
        }
        for disturbance in pair {
            disturbance.begin(&mut scene);
            rest(Duration::from_millis(trial.dice.below(1_500)));
        }
        if trial.dice.below(2) == 0 {
            pair.swap(0, 1);
        }
        // A server comes up only when its database is there.
        pair.sort_by_key(|disturbance| *disturbance == Disturbance::ServerKilled);
        for disturbance in pair {
            disturbance.end(&mut scene);
            rest(Duration::from_millis(trial.dice.below(300)));
        }
        scene.recover(trial);
    }
    scene.judge(trial);
}
