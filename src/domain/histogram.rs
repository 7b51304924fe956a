//! How long events took, counted by classes: the counts of many flushes, minutes and nodes are added up, and
//! percentiles are computed from the sum. Percentiles themselves cannot be added up or averaged.

use std::fmt;

use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Binary digits of a time in microseconds up to which it falls into the first class, and from which on into the last.
const DIGITS: std::ops::RangeInclusive<u32> = 6..=29;

/// Number of the classes.
pub const CLASSES: usize = (*DIGITS.end() - *DIGITS.start() + 1) as usize;

/// The class of a time in microseconds: a power of two above the one before, so that finding it is one instruction.
pub fn class_of(us: i64) -> usize {
    let digits = i64::BITS - us.max(0).leading_zeros();
    (digits.clamp(*DIGITS.start(), *DIGITS.end()) - DIGITS.start()) as usize
}

/// The binary digits that stand for a class where it is stored.
pub fn digits_of(class: usize) -> u32 {
    *DIGITS.start() + class as u32
}

/// The class that such digits stand for.
fn class_of_digits(digits: u32) -> Option<usize> {
    DIGITS.contains(&digits).then(|| (digits - DIGITS.start()) as usize)
}

/// The times in microseconds at which one class ends and the next one begins, from 64 µs to 268 s.
pub fn bounds_us() -> [i64; CLASSES - 1] {
    std::array::from_fn(|class| 1 << (*DIGITS.start() as usize + class))
}

/// How many events took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DurationHistogram([i64; CLASSES]);

impl DurationHistogram {
    /// With these numbers of events in the classes.
    pub fn of(counts: [i64; CLASSES]) -> Self {
        Self(counts)
    }

    /// How many events are in each class.
    pub fn counts(&self) -> [i64; CLASSES] {
        self.0
    }

    /// Counts an event that took `us` microseconds.
    pub fn count(&mut self, us: i64) {
        self.add(class_of(us), 1);
    }

    /// Counts `events` more in a class.
    pub fn add(&mut self, class: usize, events: i64) {
        self.0[class] += events;
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// The time in microseconds within which `share` of the events were finished, in a straight line between the bounds of
    /// its class; `None` if none was counted. Of the last class, which has no end, it is the beginning.
    pub fn quantile_us(&self, share: f64) -> Option<f64> {
        let total: i64 = self.0.iter().sum();
        if total <= 0 {
            return None;
        }
        let rank = share.clamp(0.0, 1.0) * total as f64;
        let bounds = bounds_us();
        let mut below = 0.0;
        for (class, count) in self.0.iter().map(|count| *count as f64).enumerate().filter(|(_, count)| *count > 0.0) {
            let begin = if class == 0 { 0.0 } else { bounds[class - 1] as f64 };
            let end = bounds.get(class).map_or(begin, |bound| *bound as f64);
            if below + count >= rank {
                return Some(begin + (rank - below) / count * (end - begin));
            }
            below += count;
        }
        // What rounding left over belongs to the last class.
        Some(bounds[CLASSES - 2] as f64)
    }
}

/// The classes that are not empty, by their binary digits: `{"9":12,"10":3}`.
impl Serialize for DurationHistogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let classes = self.0.iter().enumerate().filter(|(_, events)| **events != 0);
        serializer.collect_map(classes.map(|(class, events)| (digits_of(class), events)))
    }
}

impl<'de> Deserialize<'de> for DurationHistogram {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClassVisitor)
    }
}

struct ClassVisitor;

impl<'de> Visitor<'de> for ClassVisitor {
    type Value = DurationHistogram;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers of events by binary digits, from 6 to 29")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut classes: A) -> Result<DurationHistogram, A::Error> {
        let mut histogram = DurationHistogram::default();
        while let Some((digits, events)) = classes.next_entry::<u32, i64>()? {
            let class = class_of_digits(digits)
                .ok_or_else(|| A::Error::invalid_value(Unexpected::Unsigned(digits.into()), &self))?;
            histogram.add(class, events);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_times(times: &[i64]) -> DurationHistogram {
        let mut histogram = DurationHistogram::default();
        times.iter().for_each(|us| histogram.count(*us));
        histogram
    }

    #[test]
    fn classes_meet_at_powers_of_two() {
        let cases = [(i64::MIN, 0), (0, 0), (63, 0), (64, 1), (127, 1), (128, 2), (1_023, 4), (1_024, 5)];
        for (us, class) in cases {
            assert_eq!(class_of(us), class, "{us}");
        }
        assert_eq!((class_of((1 << 28) - 1), class_of(1 << 28), class_of(i64::MAX)), (22, 23, 23));
        let bounds = bounds_us();
        assert_eq!((bounds[0], bounds[CLASSES - 2]), (64, 1 << 28));
        for (class, bound) in bounds.into_iter().enumerate() {
            assert_eq!((class_of(bound - 1), class_of(bound)), (class, class + 1));
        }
    }

    #[test]
    fn the_text_names_the_classes_that_are_not_empty_by_their_binary_digits() {
        let histogram = of_times(&[0, 300, 511, 512, i64::MAX]);
        let text = serde_json::to_string(&histogram).expect("JSON");
        assert_eq!(text, r#"{"6":1,"9":2,"10":1,"29":1}"#);
        assert_eq!(serde_json::from_str::<DurationHistogram>(&text).expect("a histogram"), histogram);
        assert_eq!(serde_json::to_string(&DurationHistogram::default()).expect("JSON"), "{}");
        for text in [r#"{"5":1}"#, r#"{"30":1}"#, r#"{"9":1.5}"#, r#"{"nine":1}"#, "[1]"] {
            assert!(serde_json::from_str::<DurationHistogram>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_events_have_no_percentiles() {
        assert_eq!(DurationHistogram::default().quantile_us(0.5), None);
        assert_eq!(DurationHistogram::default().quantile_us(1.0), None);
    }

    #[test]
    fn a_quantile_lies_in_a_straight_line_between_the_bounds_of_its_class() {
        let four = of_times(&[600, 700, 800, 900]);
        assert_eq!(
            [0.0, 0.25, 0.5, 1.0].map(|share| four.quantile_us(share)),
            [512.0, 640.0, 768.0, 1_024.0].map(Some)
        );
        let mixed = of_times(&[10, 10, 1_500, 300_000_000]);
        assert_eq!(mixed.quantile_us(0.25), Some(32.0));
        assert_eq!(mixed.quantile_us(0.75), Some(2_048.0));
        assert_eq!(mixed.quantile_us(0.99), Some(268_435_456.0), "the last class has no end");
    }

    #[test]
    fn what_is_merged_is_as_if_counted_in_one_place() {
        let one = [5, 70, 900];
        let other = [70, 5_000];
        let mut merged = of_times(&one);
        merged.merge(&of_times(&other));
        assert_eq!(merged, of_times(&[&one[..], &other[..]].concat()));
        assert_eq!(DurationHistogram::of(merged.counts()), merged);
    }

    proptest! {
        #[test]
        fn a_quantile_is_in_the_class_of_the_event_of_its_rank(
            mut times in prop::collection::vec(0_i64..1 << 28, 1..200), percent in 1_usize..=100,
        ) {
            let estimate = of_times(&times).quantile_us(percent as f64 / 100.0).expect("there are events");
            times.sort_unstable();
            let rank = (percent * times.len()).div_ceil(100);
            let class = class_of(times[rank - 1]);
            let begin = if class == 0 { 0 } else { bounds_us()[class - 1] };
            // A hair, for percent / 100 is not exact.
            prop_assert!(estimate >= begin as f64 - 1e-6 && estimate <= bounds_us()[class] as f64 + 1e-6, "{} {}", estimate, class);
        }
    }
}
