//! The facts of exported spans.

use std::time::Duration;

use tracing::warn;

use crate::telemetry::metrics::catalogue as metrics;

/// The collector took spans.
pub fn spans_exported(spans: usize) {
    metrics::SPANS_EXPORTED.add(spans);
}

/// Spans were dropped.
pub fn spans_dropped(reason: &'static str, spans: usize) {
    metrics::SPANS_DROPPED.of(&[reason]).add(spans);
}

/// The process ends before all spans are exported.
pub fn spans_left(limit: Duration) {
    warn!(limit_ms = limit.as_millis(), "spans could not be exported in time");
}
