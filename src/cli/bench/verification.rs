//! Reads every row of a run back and compares it with what was sent and answered.

use std::io::BufRead;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::interrupt::Interrupt;
use super::progress::Progress;
use super::record::Fate;
use super::requests::payload;
use crate::cli::client::ApiClient;

/// Longest wait for events that are stored and not processed yet.
const PENDING_MAX: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How many of the rows are as they should be, and how many are not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Verification {
    /// Events whose storing was acknowledged.
    pub(super) acknowledged: u64,
    /// Those of them that have one row with their id, number and payload, processed.
    pub(super) verified: u64,
    /// Rows of events whose requests were not answered, or without success: both may be.
    pub(super) unacknowledged: u64,
    /// Acknowledged events without a row.
    pub(super) missing: u64,
    /// Second rows of an event, and rows with the id of the row before.
    pub(super) duplicates: u64,
    /// Rows with another id, payload or status, and rows of events that were refused or never sent.
    pub(super) wrong: u64,
    /// Rows that are not processed yet.
    #[serde(skip)]
    pending: u64,
}

#[derive(Deserialize)]
struct Row {
    id: i64,
    status: String,
    payload: Value,
}

impl Verification {
    /// Whether no row is missing, too many or wrong.
    pub(super) fn is_clean(&self) -> bool {
        self.verified == self.acknowledged && self.missing + self.duplicates + self.wrong == 0
    }

    /// Of all events with this name, of which `fates` is known by their numbers.
    pub(super) fn of(
        client: &ApiClient,
        name: &str,
        fates: &[Fate],
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        loop {
            let lines = client.read("/api/v1/events/export", &[("event_name", name), ("order", "asc")], &[])?;
            let found = Comparison::new(fates).read(lines, interrupt, progress)?;
            if found.pending == 0 || began.elapsed() >= PENDING_MAX {
                return Ok(found);
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// The comparison while rows come.
struct Comparison<'a> {
    fates: &'a [Fate],
    is_met: Vec<bool>,
    /// Of the last row: the export is in the order of ids.
    id: i64,
    /// A small and a large one.
    payloads: [Value; 2],
    found: Verification,
}

impl<'a> Comparison<'a> {
    fn new(fates: &'a [Fate]) -> Self {
        let payloads = [false, true].map(|is_large| payload(is_large, ""));
        let is_met = vec![false; fates.len()];
        Self { fates, is_met, id: 0, payloads, found: Verification::default() }
    }

    fn read(
        mut self,
        mut lines: impl BufRead,
        interrupt: &Interrupt,
        progress: &Progress,
    ) -> anyhow::Result<Verification> {
        let mut line = String::new();
        let mut rows: u64 = 0;
        loop {
            interrupt.check()?;
            progress.look(|| format!("{rows} of {} rows", self.fates.len()));
            line.clear();
            if lines.read_line(&mut line).context("the export broke off")? == 0 {
                bail!("the export broke off after {rows} events");
            }
            if line.starts_with("{\"summary\":") {
                return Ok(self.end());
            }
            if line.starts_with("{\"unreadable\":") {
                self.found.wrong += 1;
            } else if !line.starts_with("{\"cursor\":") {
                rows += 1;
                self.compare(serde_json::from_str(&line).context("a line of the export cannot be read")?);
            }
        }
    }

    fn compare(&mut self, row: Row) {
        let found = &mut self.found;
        found.pending += u64::from(row.status == "pending");
        let mut payload = row.payload;
        let number = payload["number"].as_str().and_then(|text| text.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < self.fates.len()) else {
            found.wrong += 1;
            return;
        };
        payload["number"] = "".into();
        let has_new_id = row.id > std::mem::replace(&mut self.id, row.id);
        if std::mem::replace(&mut self.is_met[number], true) || !has_new_id {
            found.duplicates += 1;
            return;
        }
        let is_whole = row.status == "processed" && self.payloads.contains(&payload);
        match self.fates[number] {
            Fate::Stored if is_whole => found.verified += 1,
            Fate::StoredAs(id) if is_whole && id == row.id => found.verified += 1,
            Fate::Unknown if is_whole => found.unacknowledged += 1,
            _ => found.wrong += 1,
        }
    }

    fn end(mut self) -> Verification {
        for (fate, is_met) in self.fates.iter().zip(&self.is_met) {
            let is_acknowledged = matches!(fate, Fate::Stored | Fate::StoredAs(_));
            self.found.acknowledged += u64::from(is_acknowledged);
            self.found.missing += u64::from(is_acknowledged && !is_met);
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FATES: [Fate; 5] = [Fate::Stored, Fate::StoredAs(12), Fate::Unknown, Fate::Unknown, Fate::Refused];

    fn row(id: i64, number: usize) -> Row {
        Row { id, status: "processed".to_owned(), payload: payload(number == 1, &format!("{number:010}")) }
    }

    fn of(rows: Vec<Row>) -> Verification {
        let mut comparison = Comparison::new(&FATES);
        rows.into_iter().for_each(|row| comparison.compare(row));
        comparison.end()
    }

    #[test]
    fn rows_as_they_were_answered_are_clean() {
        let found = of(vec![row(10, 0), row(11, 2), row(12, 1)]);
        let expected = Verification { acknowledged: 2, verified: 2, unacknowledged: 1, ..Verification::default() };
        assert_eq!(found, expected);
        assert!(found.is_clean());
    }

    #[test]
    fn what_is_missing_too_many_or_wrong_is_found() {
        let pending = || Row { status: "pending".to_owned(), ..row(12, 1) };
        let changed = || Row { payload: json!({ "number": "0000000001" }), ..row(12, 1) };
        for (rows, missing, duplicates, wrong) in [
            (vec![row(12, 1)], 1, 0, 0),
            (vec![row(10, 0), row(12, 1), row(13, 0)], 0, 1, 0),
            (vec![row(12, 0), row(12, 1)], 0, 1, 0),
            (vec![row(10, 0), row(13, 1)], 0, 0, 1),
            (vec![row(10, 0), pending()], 0, 0, 1),
            (vec![row(10, 0), changed()], 0, 0, 1),
            (vec![row(10, 0), row(12, 1), row(13, 4)], 0, 0, 1),
            (vec![row(10, 0), row(12, 1), row(13, 5)], 0, 0, 1),
        ] {
            let found = of(rows);
            assert_eq!((found.missing, found.duplicates, found.wrong), (missing, duplicates, wrong), "{found:?}");
            assert!(!found.is_clean());
        }
    }
}
