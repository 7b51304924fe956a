//! Gristmill: an event-ingestion pipeline service.
