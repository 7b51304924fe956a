//! Percentiles of the time that finished events took, as answers report them.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::histogram::{DurationHistogram, bounds_us};

/// Within how many milliseconds so many of the finished events were finished; null where none was. Taken from a histogram
/// whose bounds are powers of two, and in a straight line between them.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Serialize)]
#[schemars(rename = "Percentiles")]
pub struct PercentilesView {
    /// Half of them.
    p50_ms: Option<f64>,
    /// 95 of a hundred.
    p95_ms: Option<f64>,
    /// 99 of a hundred.
    p99_ms: Option<f64>,
}

impl PercentilesView {
    /// Those of what was counted.
    pub fn of(times: &DurationHistogram) -> Self {
        let percentile = |share| times.quantile_us(share).map(|us| us.round() / 1_000.0);
        Self { p50_ms: percentile(0.5), p95_ms: percentile(0.95), p99_ms: percentile(0.99) }
    }
}

/// The bounds of the histogram's classes, in milliseconds.
pub fn bounds_ms() -> Vec<f64> {
    bounds_us().into_iter().map(|us| us as f64 / 1_000.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_given_in_milliseconds_to_the_microsecond() {
        let mut times = DurationHistogram::default();
        assert_eq!(PercentilesView::of(&times), PercentilesView { p50_ms: None, p95_ms: None, p99_ms: None });
        (0..3).for_each(|_| times.count(100));
        let expected = PercentilesView { p50_ms: Some(0.096), p95_ms: Some(0.125), p99_ms: Some(0.127) };
        assert_eq!(PercentilesView::of(&times), expected);
        assert_eq!(bounds_ms()[..2], [0.064, 0.128]);
    }
}
