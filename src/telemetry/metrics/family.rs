//! How metrics are made: with one figure, or with one for each combination of labels that there can be.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};

/// The value of every label outside of the known combinations.
const OTHER: &str = "other";

/// Bounds for times in seconds: from a tenth of a millisecond, where a stage is, to ten seconds, where an event is given
/// up.
pub const TIMES: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Bounds for waits in seconds: from a tenth of a second to the longest backoff, an hour.
pub const WAITS: [f64; 11] = [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0];

/// Bounds for numbers of things, up to the largest flush that makes sense.
pub const SIZES: [f64; 12] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0];

/// A counter of this name, with a sentence for people.
pub fn counter(name: &str, help: &str) -> IntCounter {
    valid(IntCounter::new(name, help))
}

/// A histogram with these upper bounds of its buckets.
pub fn histogram(name: &str, help: &str, bounds: &[f64]) -> Histogram {
    valid(Histogram::with_opts(histogram_options(name, help, bounds)))
}

/// Counters that labels of these names distinguish.
pub fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    valid(IntCounterVec::new(Opts::new(name, help), labels))
}

/// Histograms that labels of these names distinguish.
pub fn histograms(name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> HistogramVec {
    valid(HistogramVec::new(histogram_options(name, help, bounds), labels))
}

fn histogram_options(name: &str, help: &str, bounds: &[f64]) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(bounds.to_vec())
}

/// What the library made of names of ours.
pub(super) fn valid<T>(made: prometheus::Result<T>) -> T {
    made.expect("names, labels and bounds follow the rules of Prometheus")
}

/// A metric whose figures are distinguished by labels. Every combination is there from the first scrape on; any other
/// is counted as `other`.
pub struct Family<M> {
    members: Vec<(Vec<&'static str>, M)>,
    all: Box<dyn Collector>,
}

impl Family<IntCounter> {
    /// Counters; `combinations` are all values that the labels take together.
    pub fn counters(name: &str, help: &str, labels: &[&str], combinations: Vec<Vec<&'static str>>) -> Self {
        let all = counters(name, help, labels);
        Self { members: members(labels, combinations, |values| all.with_label_values(values)), all: Box::new(all) }
    }
}

impl Family<Histogram> {
    /// Histograms, the same.
    pub fn histograms(
        name: &str,
        help: &str,
        labels: &[&str],
        combinations: Vec<Vec<&'static str>>,
        bounds: &[f64],
    ) -> Self {
        let all = histograms(name, help, labels, bounds);
        Self { members: members(labels, combinations, |values| all.with_label_values(values)), all: Box::new(all) }
    }
}

/// Each member with its values; the last one stands for all others.
fn members<M>(
    labels: &[&str],
    combinations: Vec<Vec<&'static str>>,
    make: impl Fn(&[&'static str]) -> M,
) -> Vec<(Vec<&'static str>, M)> {
    let other = vec![OTHER; labels.len()];
    combinations.into_iter().chain([other]).map(|values| (values.clone(), make(&values))).collect()
}

impl<M> Family<M> {
    /// The member of one combination: to be looked up once where many events come by.
    pub fn of(&self, values: &[&str]) -> &M {
        let member = self.members.iter().find(|(known, _)| known.as_slice() == values).or(self.members.last());
        &member.expect("the last one stands for all others").1
    }
}

impl<M: Send + Sync> Collector for Family<M> {
    fn desc(&self) -> Vec<&Desc> {
        self.all.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Exposition;
    use super::*;

    #[test]
    fn what_no_combination_stands_for_is_counted_as_other() {
        let kinds = vec![vec!["pear"], vec!["apple"]];
        let fruits = Family::counters("fruits_total", "Fruits.", &["kind"], kinds);
        fruits.of(&["pear"]).inc();
        fruits.of(&["potato"]).inc_by(2);
        let mut page = Exposition::default();
        page.add(&fruits);
        assert_eq!(
            page.into_text(),
            "# HELP fruits_total Fruits.\n# TYPE fruits_total counter\nfruits_total{kind=\"apple\"} 0\n\
             fruits_total{kind=\"other\"} 2\nfruits_total{kind=\"pear\"} 1\n"
        );
    }

    #[test]
    fn a_figure_is_in_the_first_bucket_that_it_does_not_exceed_and_all_are_in_the_last() {
        let sizes = Family::histograms("a", "A.", &["b"], vec![vec!["c"]], &SIZES);
        for figure in [0, 1, 2, 3, 5_000, 5_001] {
            sizes.of(&["c"]).observe(f64::from(figure));
        }
        let mut page = Exposition::default();
        page.add(&sizes);
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
}
