//! What the service tells of itself: metrics, and the documents that name them.

mod access;
mod bounds;
mod claiming;
mod counts;
mod documents;
#[cfg(feature = "fault-injection")]
mod faults;
mod outages;
mod page;
mod promtool;

use self::page::Page;
use crate::support::server::Server;

/// Where metrics are.
const METRICS: &str = "/metrics";

/// A scrape, as Prometheus makes it.
fn scrape(server: &Server) -> Page {
    let answer = server.dashboard().get(METRICS);
    assert_eq!(answer.status, 200, "{answer:?}");
    Page::parse(&answer.body)
}
