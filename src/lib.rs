//! Gristmill: an event-ingestion pipeline service.

pub mod clock;
pub mod config;
pub mod telemetry;
