//! A histogram of latencies whose classes are less than 1 % wide, whatever the latency.

use std::time::Duration;

/// Binary digits that a latency keeps; the class is 1/128 of it.
const DIGITS: u32 = 7;

/// Latencies in nanoseconds, counted by classes.
#[derive(Debug, Clone, Default)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Latencies {
    /// Counts one latency.
    pub(super) fn count(&mut self, latency: Duration) {
        let class = class_of(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if class >= self.counts.len() {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += 1;
        self.total += 1;
        self.max = self.max.max(latency);
    }

    /// Adds those of another one.
    pub(super) fn merge(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, more)| *sum += more);
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many were counted.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The longest.
    pub(super) fn max(&self) -> Duration {
        self.max
    }

    /// The latency that `share` of them do not exceed, by less than 1 % too long; zero if there are none.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        // A hair less, for shares are not exact.
        let rank = (share * self.total as f64 - 1e-6).ceil().max(1.0) as u64;
        let mut met = 0;
        for (class, count) in self.counts.iter().enumerate() {
            met += count;
            if met >= rank {
                return Duration::from_nanos(end_of(class)).min(self.max);
            }
        }
        self.max
    }
}

/// Up to 255 ns each value has a class; above that each power of two has 128.
fn class_of(nanoseconds: u64) -> usize {
    let shift = (63 - nanoseconds.max(1).leading_zeros()).saturating_sub(DIGITS);
    ((u64::from(shift) << DIGITS) + (nanoseconds >> shift)) as usize
}

/// The largest value of a class.
fn end_of(class: usize) -> u64 {
    let class = class as u64;
    let shift = (class >> DIGITS).saturating_sub(1);
    (((class - (shift << DIGITS)) + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn classes_follow_each_other_without_a_gap() {
        let mut class = 0;
        for value in 0..100_000 {
            let next = class_of(value);
            assert!(next == class || (next == class + 1 && value == end_of(class) + 1), "{value}: {class}, {next}");
            class = next;
        }
    }

    #[test]
    fn of_none_every_quantile_is_zero() {
        assert_eq!(Latencies::default().quantile(0.99), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_latency_of_its_rank_or_less_than_1_percent_more(
            mut all in prop::collection::vec(1_u64..100_000_000_000, 1..300), permille in 1_usize..=1_000,
        ) {
            let mut latencies = Latencies::default();
            let mut half = Latencies::default();
            for (place, nanoseconds) in all.iter().enumerate() {
                let into = if place % 2 == 0 { &mut latencies } else { &mut half };
                into.count(Duration::from_nanos(*nanoseconds));
            }
            latencies.merge(&half);
            all.sort_unstable();
            let exact = all[(permille * all.len()).div_ceil(1_000) - 1] as f64;
            let found = latencies.quantile(permille as f64 / 1_000.0).as_nanos() as f64;
            prop_assert!(found >= exact && found <= exact * 1.01, "{found} {exact}");
            prop_assert_eq!(latencies.total(), all.len() as u64);
            prop_assert_eq!(latencies.max().as_nanos() as u64, all[all.len() - 1]);
        }
    }
}
