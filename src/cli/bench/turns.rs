//! Two builds by turns, and the ratios of their figures: a machine whose speed varies changes both of a pair alike.

use std::fmt;

use serde::Serialize;

use super::report::Report;

/// A figure of a report, if it was measured.
type Figure = fn(&Report) -> Option<f64>;

/// The figures that are compared.
const COMPARED: [(&str, Figure); 6] = [
    ("events_per_second", |report| Some(report.events_per_second)),
    ("p50_ms", |report| Some(report.latency_ms.p50)),
    ("p99_ms", |report| Some(report.latency_ms.p99)),
    ("server_us_per_event", |report| report.processor_us_per_event.server),
    ("database_us_per_event", |report| report.processor_us_per_event.database),
    ("memory_bytes_peak", |report| Some(report.memory_bytes?.peak as f64)),
];

/// The runs of both.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) first: String,
    pub(super) second: String,
    figures: Vec<Compared>,
    pub(super) rounds: Vec<[Report; 2]>,
}

/// One figure: the medians of both, and the ratios of the second to the first, round by round.
#[derive(Debug, Serialize)]
struct Compared {
    figure: &'static str,
    first: f64,
    second: f64,
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
}

impl Comparison {
    pub(super) fn of(first: String, second: String, rounds: Vec<[Report; 2]>) -> Self {
        let figures = COMPARED.into_iter().filter_map(|(figure, of)| Compared::of(figure, of, &rounds)).collect();
        Self { first, second, figures, rounds }
    }

    /// Whether every row of every run was verified.
    pub(super) fn is_verified(&self) -> bool {
        self.rounds.iter().flatten().all(|report| report.verified)
    }
}

impl Compared {
    fn of(figure: &'static str, of: Figure, rounds: &[[Report; 2]]) -> Option<Self> {
        let pairs: Vec<(f64, f64)> = rounds.iter().map(|[a, b]| of(a).zip(of(b))).collect::<Option<_>>()?;
        let ratios = sorted(pairs.iter().filter(|(first, _)| *first > 0.0).map(|(first, second)| second / first));
        Some(Self {
            figure,
            first: median(&sorted(pairs.iter().map(|pair| pair.0)))?,
            second: median(&sorted(pairs.iter().map(|pair| pair.1)))?,
            ratio: median(&ratios)?,
            ratio_min: *ratios.first()?,
            ratio_max: *ratios.last()?,
        })
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values; between the two in the middle if their number is even.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some([report, _]) = self.rounds.first() {
            writeln!(f, "{}", report.load)?;
        }
        writeln!(
            f,
            "A: {}\nB: {}\nmedians of {} rounds, and of their ratios with the range\n",
            self.first,
            self.second,
            self.rounds.len()
        )?;
        write!(f, "{:<22}{:>14}{:>14}{:>8}", "", "A", "B", "B/A")?;
        for Compared { figure, first, second, ratio, ratio_min, ratio_max } in &self.figures {
            write!(f, "\n{figure:<22}{first:>14.2}{second:>14.2}{ratio:>8.3}  ({ratio_min:.3} to {ratio_max:.3})")?;
        }
        let unverified = self.rounds.iter().flatten().filter(|report| !report.verified);
        for report in unverified {
            write!(f, "\nnot verified: {}", report.rows)?;
        }
        let events: u64 = self.rounds.iter().flatten().map(|report| report.rows.verified).sum();
        write!(f, "\n\nrows verified: {events}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_in_the_middle() {
        for (values, expected) in
            [(vec![], None), (vec![3.0], Some(3.0)), (vec![1.0, 4.0], Some(2.5)), (vec![1.0, 2.0, 9.0], Some(2.0))]
        {
            assert_eq!(median(&values), expected);
        }
    }
}
