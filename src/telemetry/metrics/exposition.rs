//! The text of a scrape: Prometheus' text format, version 0.0.4.

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, TextEncoder};

use super::family::valid;

/// The page of one scrape in the making.
#[derive(Default)]
pub struct Exposition(Vec<MetricFamily>);

impl Exposition {
    /// Takes a metric as it is now, its labels in the order of their declaration; one without samples is left out.
    pub fn add(&mut self, metric: &dyn Collector) {
        for (mut family, desc) in metric.collect().into_iter().zip(metric.desc()) {
            let place = |name: &str| desc.variable_labels.iter().position(|label| label == name);
            for sample in family.mut_metric() {
                sample.mut_label().sort_by_key(|label| place(label.name()));
            }
            family.mut_metric().sort_by_cached_key(|sample| {
                sample.get_label().iter().map(|label| label.value().to_owned()).collect::<Vec<_>>()
            });
            if !family.get_metric().is_empty() {
                self.0.push(family);
            }
        }
    }

    /// A metric of one figure that may rise and fall.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [], [([], value)]);
    }

    /// A metric with a figure for each combination of labels, which may rise and fall.
    pub fn gauges<'a, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        samples: impl IntoIterator<Item = ([&'a str; N], f64)>,
    ) {
        let gauges = valid(GaugeVec::new(Opts::new(name, help), &labels));
        samples.into_iter().for_each(|(values, value)| gauges.with_label_values(&values).set(value));
        self.add(&gauges);
    }

    /// The page as it is sent.
    pub fn into_text(self) -> String {
        TextEncoder::new().encode_to_string(&self.0).expect("every metric has a name and samples")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_label_or_a_help_text_ends_its_line() {
        let mut page = Exposition::default();
        page.gauges("a", "one\ntwo \"three\" \\", ["c", "b"], [(["x\"y\n", "\\"], 1.5)]);
        assert_eq!(
            page.into_text(),
            "# HELP a one\\ntwo \"three\" \\\\\n# TYPE a gauge\na{c=\"x\\\"y\\n\",b=\"\\\\\"} 1.5\n"
        );
    }

    #[test]
    fn a_metric_without_samples_is_left_out() {
        let mut page = Exposition::default();
        page.gauges("a", "A.", ["b"], []);
        page.gauge("c", "C.", 3.0);
        assert_eq!(page.into_text(), "# HELP c C.\n# TYPE c gauge\nc 3\n");
    }
}
