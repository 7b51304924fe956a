//! Several nodes on one database, and what a node tells of its life: one module per fault or promise.
//!
//! A fault's `run` takes its sizes, so that a longer form can call it with larger ones.

mod clocks;
pub mod cluster;

mod control;
mod heartbeat;
pub mod keys;
mod lines;
mod listing;
pub mod migration;
pub mod race;
mod revocation;
pub mod rolling;
mod snapshots;
mod timeline;

#[cfg(feature = "fault-injection")]
mod fairness;
#[cfg(feature = "fault-injection")]
pub mod freeze;
#[cfg(feature = "fault-injection")]
mod hints;
#[cfg(feature = "fault-injection")]
mod jobs;
#[cfg(feature = "fault-injection")]
pub mod midbatch;
