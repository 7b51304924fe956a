//! A bug on purpose that only power cuts reveal: commits that do not wait for the disk.

use super::is_beyond_us;
use crate::chaos::FAULTS;
use crate::chaos::replay::{Form, repeat};
use crate::chaos::trial::Trial;
use crate::support::dice;
use crate::support::lacks::root_with;
use crate::support::machine::disk;

/// Power cuts within which such a bug is seen to lose something; the first one nearly always does.
const REPETITIONS: u64 = 10;

both_databases! {
    fn commits_that_do_not_wait_for_the_disk_are_found(database) {
        let trial = |seed| Trial::new(database.kind(), seed, Form::Short).with_planted("synchronous_normal");
        if is_beyond_us(&trial(0), &[root_with(&disk::PROGRAMS)]) {
            return;
        }
        let fault = FAULTS.iter().find(|fault| fault.number == "3").expect("row 3 cuts the power");
        let figures = (0..REPETITIONS).map(|more| repeat(fault, trial(dice::seed() + more)));
        let found = figures.inspect(|figures| println!("{figures:?}")).any(|figures| figures.lost > 0);
        assert!(found, "{REPETITIONS} power cuts lost nothing");
    }
}
