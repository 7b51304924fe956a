//! Faults of the machine around the processes: power, disks, locks, files, limits, slow clients, cables, clocks, and
//! wrong beginnings.

pub mod caps;
pub mod clocks;
pub mod files;
pub mod full_disks;
pub mod islands;
pub mod locks;
pub mod power;
pub mod refusals;
pub mod slow_clients;

#[cfg(feature = "fault-injection")]
mod planted;
mod probe;

use super::trial::Trial;
use crate::support::lacks::{Lack, skip};

/// Whether a fault cannot be tried here, for want of the first of these: the short form is skipped, the long form refuses.
fn is_beyond_us(trial: &Trial, lacks: &[Option<Lack>]) -> bool {
    let Some(lack) = lacks.iter().flatten().next() else {
        return false;
    };
    assert!(!trial.pick(false, true), "this cannot be tried here: {lack}");
    skip(lack);
    true
}
