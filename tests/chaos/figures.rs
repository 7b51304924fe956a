//! What the repetitions of a fault added up to, and the table at the end.

use std::fmt::Write;
use std::time::Duration;

use super::super::support::database::Kind;

/// Figures of one or more repetitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Events acknowledged to the load.
    pub acknowledged: usize,
    /// Events refused: certainly not stored.
    pub refused: usize,
    /// Acknowledged events that are gone or not final.
    pub lost: usize,
    /// Keys or marks with more than one effective row.
    pub doubled: usize,
    /// Events whose answer was lost; they were sent again.
    pub unknown: usize,
    /// The slowest recovery that a repetition measured.
    pub recovery: Duration,
    /// Everything that contradicts the promise, lost and doubled events included.
    pub violations: Vec<String>,
}

impl Figures {
    /// Adds those of another repetition.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.unknown += other.unknown;
        self.recovery = self.recovery.max(other.recovery);
        self.violations.extend(other.violations);
    }
}

/// A line of the table: a fault on a database, over all its repetitions.
#[derive(Debug)]
pub struct Line {
    /// Number and name of the fault.
    pub fault: String,
    /// The database.
    pub kind: Kind,
    /// How often it was tried.
    pub repetitions: usize,
    /// What that added up to.
    pub figures: Figures,
}

/// The table as text.
pub fn table(lines: &[Line]) -> String {
    let mut text = format!(
        "{:<72} {:<8} {:>5} {:>12} {:>8} {:>5} {:>8} {:>8} {:>10} {:>9}\n",
        "fault", "database", "times", "acknowledged", "refused", "lost", "doubled", "unknown", "violations", "recovery"
    );
    for Line { fault, kind, repetitions, figures } in lines {
        writeln!(
            text,
            "{fault:<72} {kind:<8} {repetitions:>5} {:>12} {:>8} {:>5} {:>8} {:>8} {:>10} {:>7.1} s",
            figures.acknowledged,
            figures.refused,
            figures.lost,
            figures.doubled,
            figures.unknown,
            figures.violations.len(),
            figures.recovery.as_secs_f64(),
            kind = format!("{kind:?}"),
        )
        .expect("a text takes everything");
    }
    text
}
