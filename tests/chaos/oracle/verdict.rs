//! Ledger and rows compared: pure, so that each finding can be shown to be found.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Figures;
use super::rows::Row;
use crate::support::ledger::{Entry, Ledger, State};

/// First attempt and three retries.
const ATTEMPTS_MAX: u32 = 4;

/// Violations of one kind that are spelt out; of more only the number is told.
const TOLD: usize = 5;

/// What was found so far.
#[derive(Debug, Default)]
pub struct Verdict {
    /// I1.
    lost: Vec<String>,
    /// I2.
    doubled: Vec<String>,
    /// All others.
    wrong: Vec<String>,
}

impl Verdict {
    /// Adds findings of other kinds.
    pub fn extend(&mut self, findings: impl IntoIterator<Item = String>) {
        self.wrong.extend(findings);
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        [&self.lost, &self.doubled, &self.wrong].iter().all(|findings| findings.is_empty())
    }

    /// I1, I2, I3, I6: each event of the load by its rows. `resent` has the ids that unknown keys got in the end.
    pub fn compare(&mut self, ledger: &Ledger, resent: &HashMap<String, i64>, rows: &[Row]) {
        let mut by_mark: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in rows {
            by_mark.entry(row.mark.as_str()).or_default().push(row);
            self.row_is_in_order(row);
        }
        let mut ids = HashSet::new();
        for entry in ledger.entries() {
            let rows = by_mark.remove(entry.key.as_str()).unwrap_or_default();
            self.entry_was_kept(entry, resent.get(&entry.key).copied(), &rows);
            if let State::Acknowledged(id) = entry.state
                && !ids.insert(id)
            {
                self.wrong.push(format!("I2: event {id} was given to {} and to another", entry.key));
            }
        }
        self.wrong.extend(by_mark.into_iter().map(|(mark, rows)| format!("I3: nobody sent {mark}: {rows:?}")));
    }

    /// I6: what was final `before` is the same `after`.
    pub fn final_states_stay(&mut self, before: &[Row], after: &[Row]) {
        let after: HashMap<i64, &Row> = after.iter().map(|row| (row.id, row)).collect();
        for row in before.iter().filter(|row| row.is_final()) {
            match after.get(&row.id) {
                Some(later) if *later == row => {}
                later => self.wrong.push(format!("I6: a final state changed: {row:?}, then {later:?}")),
            }
        }
    }

    /// The figures, with every violation as a text.
    pub fn into_figures(self, ledger: &Ledger) -> Figures {
        let (acknowledged, refused, unknown) = ledger.counts();
        let lost = self.lost.len();
        let doubled = self.doubled.len();
        let violations = [self.lost, self.doubled, self.wrong].into_iter().flat_map(told).collect();
        Figures { acknowledged, refused, lost, doubled, unknown, violations, ..Figures::default() }
    }

    fn row_is_in_order(&mut self, row: &Row) {
        let is_in_order = row.is_final() && !row.is_held && !row.is_reversed && row.generation == 0;
        if !is_in_order || !(1..=ATTEMPTS_MAX).contains(&row.attempts) {
            self.wrong.push(format!("I6: {row:?}"));
        }
    }

    /// A load's events are valid: the one effective row of an accepted one is `processed`.
    fn entry_was_kept(&mut self, entry: &Entry, resent: Option<i64>, rows: &[&Row]) {
        let effective: Vec<i64> = rows.iter().filter(|row| row.status != "duplicate").map(|row| row.id).collect();
        if effective.len() > 1 {
            self.doubled.push(format!("I2: {entry:?} has {rows:?}"));
        }
        let id = match entry.state {
            State::Acknowledged(id) => id,
            // A load's events, and its token, are good: whatever else is wrong, it is the service that cannot.
            State::Rejected(status) if status != 503 => return self.wrong.push(format!("I8: refused: {entry:?}")),
            State::Rejected(_) if rows.is_empty() => return,
            State::Rejected(_) => return self.wrong.push(format!("I3: {entry:?} was refused and has {rows:?}")),
            State::Sent | State::Unknown => match resent {
                Some(id) => id,
                // Without a key it cannot be sent again: it is there once or not at all.
                None => return,
            },
        };
        let is_processed = rows.iter().any(|row| row.status == "processed" && effective == [row.id]);
        // A spooled event may meet its key in the database: then its own row says so, and the other one counts.
        let is_told = rows.iter().any(|row| row.id == id && (row.status != "duplicate" || entry.is_spooled));
        if effective.len() <= 1 && !(is_processed && is_told) {
            self.lost.push(format!("I1: {entry:?}, in the end event {id}, has {rows:?}"));
        }
    }
}

fn told(mut findings: Vec<String>) -> Vec<String> {
    let more = findings.len().saturating_sub(TOLD);
    findings.truncate(TOLD);
    findings.extend((more > 0).then(|| format!("… and {more} more of this kind")));
    findings
}
