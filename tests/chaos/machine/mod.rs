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

use super::replay;
use super::trial::Trial;

/// Whether a fault cannot be tried here, for the first of these reasons: the short form is skipped, the long form refuses.
fn is_beyond_us(trial: &Trial, reasons: &[Option<String>]) -> bool {
    let Some(reason) = reasons.iter().flatten().next() else {
        return false;
    };
    assert!(!trial.pick(false, true), "this cannot be tried here: {reason}");
    replay::skip("a fault of the machine", reason);
    true
}
