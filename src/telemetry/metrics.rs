//! Metrics: what facts count, and how a scrape reads it.
//!
//! Private to telemetry: only facts count, so code that wants a figure states a fact. Counting is an atomic
//! addition to an address that is known before, or four for a histogram; nothing is locked, looked up or allocated for an
//! event. Labels
//! are `&'static str`: no text from a client can become one. Guaranteed: no figure of a counter ever falls while the
//! process lives. Not guaranteed: that the figures of one scrape belong to one instant.

pub mod catalogue;
mod exposition;
mod family;
mod process;
mod route;

pub use self::exposition::Exposition;
pub use self::process::write_process;
pub use self::route::{Route, route};
