//! How often a figure was at most so large.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::exposition::{Exposition, Labels};
use super::family::Cell;

/// Most bounds of a histogram.
const BOUNDS_MAX: usize = 16;

/// What a histogram's figures are, inside and on the page.
#[derive(Clone, Copy)]
pub struct Scale {
    /// The upper bounds of its buckets, in whole units.
    bounds: &'static [u64],
    /// Units in one of the page's.
    units: f64,
}

impl Scale {
    /// Times in microseconds, shown in seconds: from a tenth of a millisecond, where a stage is, to ten seconds, where
    /// an event is given up.
    pub const TIMES: Self = Self {
        bounds: &[
            100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
            2_500_000, 5_000_000, 10_000_000,
        ],
        units: 1_000_000.0,
    };

    /// Waits in microseconds, shown in seconds: from a tenth of a second to the longest backoff, an hour.
    pub const WAITS: Self = Self {
        bounds: &[
            100_000,
            500_000,
            1_000_000,
            2_500_000,
            5_000_000,
            10_000_000,
            30_000_000,
            60_000_000,
            300_000_000,
            900_000_000,
            3_600_000_000,
        ],
        units: 1_000_000.0,
    };

    /// Numbers of things, up to the largest flush that makes sense.
    pub const SIZES: Self = Self { bounds: &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000], units: 1.0 };
}

/// A histogram. An observation is two additions; the number of all is the sum of the buckets, so both always agree.
pub struct Histogram {
    scale: Scale,
    /// Of each bound, and last of what is above all of them; not cumulated.
    buckets: [AtomicU64; BOUNDS_MAX + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Nothing observed yet.
    pub const fn new(scale: Scale) -> Self {
        assert!(scale.bounds.len() <= BOUNDS_MAX, "a histogram has that many buckets");
        Self { scale, buckets: [const { AtomicU64::new(0) }; BOUNDS_MAX + 1], sum: AtomicU64::new(0) }
    }

    /// Counts a figure in whole units.
    pub fn observe(&self, figure: u64) {
        let bucket = self.scale.bounds.partition_point(|bound| *bound < figure);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(figure, Ordering::Relaxed);
    }

    /// Counts a time.
    pub fn observe_time(&self, took: Duration) {
        self.observe(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many figures were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

impl Cell for Histogram {
    const KIND: &'static str = "histogram";

    fn write(&self, page: &mut Exposition, name: &str, (names, values): Labels<'_>) {
        let Scale { bounds, units } = self.scale;
        // Read once, so that the buckets and their number agree while others count.
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let names: Vec<&str> = names.iter().copied().chain(["le"]).collect();
        let mut cumulated = 0;
        for (bound, count) in bounds.iter().zip(&counts) {
            cumulated += count;
            let bound = (*bound as f64 / units).to_string();
            let values: Vec<&str> = values.iter().copied().chain([bound.as_str()]).collect();
            page.sample(name, "_bucket", (&names, &values), cumulated);
        }
        let all: u64 = counts.iter().sum();
        let above: Vec<&str> = values.iter().copied().chain(["+Inf"]).collect();
        page.sample(name, "_bucket", (&names, &above), all);
        let names = &names[..names.len() - 1];
        page.sample(name, "_sum", (names, values), self.sum.load(Ordering::Relaxed) as f64 / units);
        page.sample(name, "_count", (names, values), all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_in_the_first_bucket_that_it_does_not_exceed_and_all_are_in_the_last() {
        let histogram = Histogram::new(Scale::SIZES);
        for figure in [0, 1, 2, 3, 5_000, 5_001] {
            histogram.observe(figure);
        }
        let mut page = Exposition::default();
        histogram.write(&mut page, "a", (&["b"], &["c"]));
        let text = page.into_text();
        for line in [
            "a_bucket{b=\"c\",le=\"1\"} 2",
            "a_bucket{b=\"c\",le=\"2\"} 3",
            "a_bucket{b=\"c\",le=\"5\"} 4",
            "a_bucket{b=\"c\",le=\"5000\"} 5",
            "a_bucket{b=\"c\",le=\"+Inf\"} 6",
            "a_sum{b=\"c\"} 10007",
            "a_count{b=\"c\"} 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn times_are_shown_in_seconds() {
        let histogram = Histogram::new(Scale::TIMES);
        histogram.observe_time(Duration::from_millis(1_500));
        let mut page = Exposition::default();
        histogram.write(&mut page, "a", (&[], &[]));
        let text = page.into_text();
        assert!(text.contains("a_bucket{le=\"0.0001\"} 0\n") && text.contains("a_bucket{le=\"2.5\"} 1\n"), "{text}");
        assert!(text.contains("a_sum 1.5\na_count 1\n"), "{text}");
    }
}
