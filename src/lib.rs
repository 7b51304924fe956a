//! Gristmill: an event-ingestion pipeline service.

pub mod domain;
pub mod store;
