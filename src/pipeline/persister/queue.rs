//! Units that wait for a flush, and which of them go into the next one.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::tracker::TrackedUnit;
use super::super::unit::UnitOrigin;
use crate::config::PipelineConfig;
use crate::domain::dedupe::Namespace;
use crate::domain::outcome::TransientCode;
use crate::store::Record;

/// A unit with the records that it is to become.
pub(super) struct PreparedUnit {
    pub work: TrackedUnit,
    pub records: Vec<Record>,
    /// Which item of the unit each record comes from; an item that is not stored has none.
    pub places: Vec<usize>,
    /// Whether it met a lock that did not concern the others.
    pub is_blocked: bool,
}

impl PreparedUnit {
    /// Whether the unit has no row and does not lie in the spool.
    pub fn is_new(&self) -> bool {
        matches!(self.work.origin, UnitOrigin::Request(_))
    }

    /// Whether it has waited for longer than `longest`, or would have after another flush that meets its lock.
    pub fn is_late(&self, now: Instant, longest: Duration, flush_timeout: Duration) -> bool {
        let lock = if self.is_blocked { 2 * flush_timeout } else { Duration::ZERO };
        now.duration_since(self.work.taken_at) + lock > longest
    }

    /// Whether it lies in the spool and met the outage already on its way: that is charged to no event.
    pub fn is_to_be_drained_later(&self) -> bool {
        let is_unknown = |record: &Record| record.outcome.error_code == Some(TransientCode::LookupFailed.as_str());
        self.work.is_spooled() && self.records.iter().any(is_unknown)
    }
}

/// Units in the order in which they came.
#[derive(Default)]
pub(super) struct FlushQueue {
    waiting: VecDeque<PreparedUnit>,
}

impl FlushQueue {
    pub fn push(&mut self, unit: PreparedUnit) {
        self.waiting.push_back(unit);
    }

    /// Puts units back that could not be written, ahead of all others.
    pub fn put_back(&mut self, units: Vec<PreparedUnit>) {
        for unit in units.into_iter().rev() {
            self.waiting.push_front(unit);
        }
    }

    /// Takes the units of the next flush, at least one if any waits.
    ///
    /// A unit whose key is in the flush already is held back: it must meet that key in the database. So is one that
    /// does not match.
    pub fn take(&mut self, limits: &PipelineConfig, matches: impl Fn(&PreparedUnit) -> bool) -> Vec<PreparedUnit> {
        let mut taken = Vec::new();
        let mut held_back = Vec::new();
        let mut events = 0;
        let mut bytes = 0;
        let mut keys = HashSet::new();
        while let Some(unit) = self.waiting.pop_front() {
            if !matches(&unit) {
                held_back.push(unit);
                continue;
            }
            let unit_events = unit.records.len();
            let unit_bytes = unit.records.iter().map(bytes_of).sum::<usize>();
            let is_full = events + unit_events > limits.flush_events || bytes + unit_bytes > limits.flush_bytes;
            if is_full && !taken.is_empty() {
                self.waiting.push_front(unit);
                break;
            }
            let unit_keys: Vec<_> = unit.records.iter().filter_map(key_of).collect();
            if unit_keys.iter().any(|key| keys.contains(key)) {
                held_back.push(unit);
                continue;
            }
            keys.extend(unit_keys);
            (events, bytes) = (events + unit_events, bytes + unit_bytes);
            taken.push(unit);
        }
        self.put_back(held_back);
        taken
    }

    /// Takes the units that match.
    pub fn take_all(&mut self, matches: impl Fn(&PreparedUnit) -> bool) -> Vec<PreparedUnit> {
        if !self.waiting.iter().any(&matches) {
            return Vec::new();
        }
        let (taken, waiting): (VecDeque<_>, _) = self.waiting.drain(..).partition(matches);
        self.waiting = waiting;
        taken.into()
    }
}

fn bytes_of(record: &Record) -> usize {
    let payload = record.event.payload().map_or(0, |payload| payload.len());
    payload + record.outcome.properties.as_ref().map_or(0, String::len)
}

fn key_of(record: &Record) -> Option<(i64, Namespace, String)> {
    // Refused events may meet in a flush: what becomes of the first does not depend on its key.
    let key = record.event.key.as_ref().filter(|key| key.namespace != Namespace::Refusal)?;
    let (user_id, namespace, text) = key.identity();
    Some((user_id, namespace, text.to_owned()))
}
