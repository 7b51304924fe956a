//! The reference description, heading by heading: every number, key and return value that a single event meets.

mod answers;
mod configuration;
mod export;
mod filters;
mod list;
mod logging;
mod normalization;
#[cfg(feature = "fault-injection")]
mod retries;
#[cfg(feature = "fault-injection")]
mod session;
mod stats;
mod stream;
mod validation;
