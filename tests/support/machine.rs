//! Parts of the machine that a test owns and may break: disks, networks, limits, clocks.
//!
//! Nearly all of it needs root. What is made here is undone when it is dropped, and by the run's watch if the run
//! ends before.

pub mod clock;
pub mod disk;
pub mod freezer;
pub mod limits;
pub mod network;
pub mod unlocks;

mod proofs;
