//! What the service reports about itself.

pub mod audit;
pub mod condition;
pub mod escape;
pub mod facts;
pub mod logging;
mod metrics;
pub mod outlet;
pub mod scrape;
pub mod spans;
pub mod threads;
