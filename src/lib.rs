//! Gristmill: an event-ingestion pipeline service.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod pipeline;
pub mod store;
pub mod telemetry;

// What the integration tests have too.
#[cfg(test)]
#[path = "../tests/support/dice.rs"]
mod dice;
#[cfg(test)]
#[path = "../tests/support/fuzz.rs"]
mod fuzz;
