//! Bounds that requests share: waits, and how many may be under way.

use std::time::Duration;

/// Longest wait of a request for one look into the database.
pub const STORE_WAIT: Duration = Duration::from_secs(5);

/// Exports under way at once: each of them keeps the database busy.
pub const EXPORTS_MAX: usize = 8;

/// Streams open at once: each of them reads by itself.
pub const STREAMS_MAX: usize = 64;

/// Streams to dashboards open at once: 512 dashboards, each with the state of the pipeline and with events.
pub const DASHBOARDS_MAX: usize = 2 * 512;
