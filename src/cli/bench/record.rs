//! What became of each request and each event, while it is measured and around that.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::time::Instant;

use super::latencies::Latencies;
use super::requests::Kind;

/// What is known of an event that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may be stored.
    Unknown,
    /// It is certainly not.
    Refused,
    Stored,
    /// Stored under this id.
    StoredAs(i64),
}

/// When a request was due, and when it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) due: Instant,
    pub(super) sent: Instant,
}

/// The record of a load.
#[derive(Debug, Default)]
pub(super) struct Record {
    from: Option<Instant>,
    until: Option<Instant>,
    /// Events that were stored in the measured time, and requests that were answered so; of one that was under way at its
    /// beginning or end as much as the share of its time.
    pub(super) events: f64,
    pub(super) requests: f64,
    /// Of requests that were due in the measured time, by their kind.
    latencies: [Latencies; 4],
    /// Requests that were due in the measured time and not sent, with their wait so far.
    unsent: Latencies,
    /// Answers that are no success, over the whole load.
    pub(super) refusals: BTreeMap<u16, u64>,
    /// Connections that broke, over the whole load, and how the first one did.
    pub(super) failures: u64,
    pub(super) failure: Option<String>,
    /// By the events' numbers.
    pub(super) fates: Vec<Fate>,
    stored: u64,
    successes: u64,
}

impl Record {
    /// Measures from now on.
    pub(super) fn begin(&mut self, at: Instant) {
        self.from = Some(at);
    }

    /// Measures no more.
    pub(super) fn end(&mut self, at: Instant) {
        self.until = Some(at);
    }

    /// How long was measured.
    pub(super) fn seconds(&self) -> f64 {
        let measured = self.from.zip(self.until).map(|(from, until)| until.duration_since(from));
        measured.unwrap_or_default().as_secs_f64()
    }

    /// Events that were stored so far.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// Requests with success so far.
    pub(super) fn successes(&self) -> u64 {
        self.successes
    }

    /// Requests without success so far.
    pub(super) fn errors(&self) -> u64 {
        self.failures + self.refusals.values().sum::<u64>()
    }

    /// The events up to this number are on their way.
    pub(super) fn sends(&mut self, end: usize) {
        self.fates.resize(self.fates.len().max(end), Fate::Unknown);
    }

    /// A request was answered.
    pub(super) fn answered(&mut self, kind: Kind, times: Times, events: Range<usize>, status: u16, fate: Fate) {
        let Times { due, sent } = times;
        let count = events.len() as u64;
        self.fates[events].fill(fate);
        if !matches!(fate, Fate::Stored | Fate::StoredAs(_)) {
            *self.refusals.entry(status).or_default() += 1;
            return;
        }
        self.stored += count;
        self.successes += 1;
        let Some(from) = self.from else { return };
        let now = Instant::now();
        let measured = self.until.unwrap_or(now).min(now).saturating_duration_since(sent.max(from));
        let share = measured.as_secs_f64() / now.duration_since(sent).as_secs_f64().max(f64::MIN_POSITIVE);
        self.events += share * count as f64;
        self.requests += share;
        if due >= from && self.until.is_none_or(|until| due < until) {
            self.latencies[kind as usize].count(now.duration_since(due));
        }
    }

    /// A request was not answered.
    pub(super) fn failed(&mut self, events: Range<usize>, error: &io::Error, fate: Fate) {
        self.fates[events].fill(fate);
        self.failures += 1;
        self.failure.get_or_insert_with(|| error.to_string());
    }

    /// Counts requests that were due then and could not be sent in the measured time.
    pub(super) fn add_unsent(&mut self, due: impl Iterator<Item = Instant>) {
        let Some((from, until)) = self.from.zip(self.until) else { return };
        due.filter(|due| *due >= from).for_each(|due| self.unsent.count(until.duration_since(due)));
    }

    /// How many these were.
    pub(super) fn unsent_requests(&self) -> u64 {
        self.unsent.total()
    }

    /// The latencies of this kind of request.
    pub(super) fn of(&self, kind: Kind) -> &Latencies {
        &self.latencies[kind as usize]
    }

    /// The latencies of all requests; those that were not sent would have taken longer than that.
    pub(super) fn all(&self) -> Latencies {
        let mut all = self.unsent.clone();
        self.latencies.iter().for_each(|latencies| all.merge(latencies));
        all
    }
}
