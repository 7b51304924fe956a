//! The long form: every fault again and again, by turns, until the time is over; then the table.
//!
//! Asked for by variables: `GRISTMILL_CHAOS_MINUTES` (how long), or `GRISTMILL_CHAOS_ROUNDS` (how often each);
//! `GRISTMILL_CHAOS_ONLY` (numbers of faults, by commas), `GRISTMILL_CHAOS_ON` (`sqlite` or `postgres`),
//! `GRISTMILL_CHAOS_SHORT` (if set, the short form of each, for many repetitions of what is long).

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::figures::{Line, table};
use super::replay::{Form, command, repeat};
use super::trial::Trial;
use super::{FAULTS, Fault};
use crate::support::database::Kind;
use crate::support::dice;
use crate::support::lacks::say;
use crate::support::run;

/// What the variables ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    until: Until,
    only: Vec<String>,
    on: Option<String>,
    form: Form,
}

/// When it is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Minutes(u64),
    Rounds(u64),
}

/// A fault on a database.
struct Row {
    fault: &'static Fault,
    line: Line,
}

impl Wanted {
    /// `None` if the variables ask for nothing.
    pub fn from_environment() -> Option<Self> {
        let given = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let number =
            |name: &str| given(name).map(|text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")));
        let minutes = number("GRISTMILL_CHAOS_MINUTES").map(Until::Minutes);
        let until = number("GRISTMILL_CHAOS_ROUNDS").map(Until::Rounds).or(minutes)?;
        let only = given("GRISTMILL_CHAOS_ONLY").unwrap_or_default();
        let only = only.split(',').map(str::trim).filter(|number| !number.is_empty()).map(str::to_owned).collect();
        let form = if given("GRISTMILL_CHAOS_SHORT").is_some() { Form::Short } else { Form::Long };
        Some(Self { until, only, on: given("GRISTMILL_CHAOS_ON"), form })
    }

    /// Runs what is wanted; panics unless nothing contradicts the promise.
    pub fn run(&self) {
        assert!(run::is_root(), "the long form mounts, cuts and limits: it needs root");
        let mut rows = self.rows();
        let seed = dice::seed();
        say(&format!("chaos: {} rows, seed {seed}", rows.len()));
        let began = Instant::now();
        let mut round = 0;
        while self.goes_on(round, began.elapsed()) {
            for row in &mut rows {
                if self.goes_on(round, began.elapsed()) {
                    row.repeat(seed + round, self.form);
                }
            }
            round += 1;
        }
        let lines: Vec<Line> = rows.into_iter().map(|row| row.line).collect();
        conclude(&lines, seed, began.elapsed());
    }

    fn rows(&self) -> Vec<Row> {
        for number in &self.only {
            assert!(FAULTS.iter().any(|fault| fault.number == number), "no fault has the number {number}");
        }
        let is_wanted = |fault: &&Fault| self.only.is_empty() || self.only.iter().any(|number| number == fault.number);
        let is_meant = |kind: &Kind| self.on.as_ref().is_none_or(|on| on.eq_ignore_ascii_case(&format!("{kind:?}")));
        let rows_of = |fault: &'static Fault| {
            fault.databases.iter().filter(|kind| is_meant(kind)).map(move |kind| Row::new(fault, *kind))
        };
        let rows: Vec<Row> = FAULTS.iter().filter(is_wanted).flat_map(rows_of).collect();
        assert!(!rows.is_empty(), "no fault is left: {self:?}");
        rows
    }

    fn goes_on(&self, round: u64, elapsed: Duration) -> bool {
        match self.until {
            Until::Rounds(rounds) => round < rounds,
            Until::Minutes(minutes) => elapsed < Duration::from_secs(60 * minutes),
        }
    }
}

impl Row {
    fn new(fault: &'static Fault, kind: Kind) -> Self {
        let name = format!("{:<3} {}", fault.number, fault.name.replace('_', " "));
        Self { fault, line: Line { fault: name, kind, repetitions: 0, figures: Default::default() } }
    }

    /// One more repetition, with a live line.
    fn repeat(&mut self, seed: u64, form: Form) {
        let Self { fault, line } = self;
        let began = Instant::now();
        let figures = repeat(fault, Trial::new(line.kind, seed, form));
        line.repetitions += 1;
        say(&format!(
            "chaos: {} on {:?} #{}: {:.1} s, {} acknowledged, {} refused, {} unknown, {} lost, {} doubled, {} violations",
            line.fault,
            line.kind,
            line.repetitions,
            began.elapsed().as_secs_f64(),
            figures.acknowledged,
            figures.refused,
            figures.unknown,
            figures.lost,
            figures.doubled,
            figures.violations.len(),
        ));
        if !figures.violations.is_empty() {
            let what = figures.violations.join("\n  ");
            say(&format!("chaos: FAILED, again: {}\n  {what}", command(fault, line.kind, seed)));
        }
        line.figures.add(figures);
    }
}

/// Prints the table, keeps it in `target/chaos.txt`, and fails unless all is well.
fn conclude(lines: &[Line], seed: u64, took: Duration) {
    let text = format!("{}\nseed {seed}, {:.1} minutes\n", table(lines), took.as_secs_f64() / 60.0);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chaos.txt");
    fs::write(&file, &text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    say(&format!("\n{text}"));
    let untried: Vec<&str> =
        lines.iter().filter(|line| line.repetitions == 0).map(|line| line.fault.as_str()).collect();
    if !untried.is_empty() {
        say(&format!("chaos: the time was over before {untried:?} were tried"));
    }
    let broken: usize = lines.iter().map(|line| line.figures.violations.len()).sum();
    assert_eq!(broken, 0, "the promise was broken; {}", file.display());
}
