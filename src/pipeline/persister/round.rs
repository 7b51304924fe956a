//! A flush from its first try to its end: whole first, in parts when the database objects.
//!
//! What is refused may be refused for itself, or because everything is (a right was revoked, a column is new). So before
//! a flush is taken apart, a row with nothing from a client is tried and rolled back. If that is refused, too,
//! nothing else is tried. Else the flush is halved down to the units at fault; what was written beside them stays. The
//! number of tries is bounded: a flush that needs more goes on with the next one.

use std::sync::Arc;
use std::time::Instant;

use super::super::unit::UnitOrigin;
use super::forms::{Stripped, bare, ordinary, strip};
use super::queue::PreparedUnit;
use super::write::Writer;
use crate::store::{Cause, FlushError, Record, StoreError, StoreErrorKind, Written};
use crate::telemetry::facts;

/// How often a unit is tried again at once when another transaction is in its way; each try may wait for a lock, and the
/// units beside it wait as well.
const CONFLICT_TRIES: u32 = 2;

/// Units in a row that may meet a lock before the others are put off.
const BLOCKED_MAX: usize = 2;

/// How often events get new ids at once when theirs are taken.
const COLLISION_TRIES: u32 = 5;

/// Tries in search of what the database refuses.
const SEARCHES_MAX: u32 = 64;

/// The error of an event whose id was promised before it turned out to belong to another one.
const TAKEN: &str = "the event's id belongs to another event";

/// Units that are written by the same statements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum UnitClass {
    Plain,
    Keyed,
    Claimed,
}

impl UnitClass {
    const ALL: [Self; 3] = [Self::Plain, Self::Keyed, Self::Claimed];

    fn of(unit: &PreparedUnit) -> Self {
        if unit.work.origin == UnitOrigin::Claim {
            Self::Claimed
        } else if unit.records.iter().any(|record| record.event.key.is_some()) {
            Self::Keyed
        } else {
            Self::Plain
        }
    }
}

/// Whether the database takes units of one sort.
#[derive(Clone)]
enum Acceptance {
    Nothing,
    /// A row with nothing from a client: what is refused is refused for itself.
    Taken,
    /// Not even that.
    Refused(StoreError),
}

/// Units that are to be written together.
struct WriteGroup {
    units: Vec<PreparedUnit>,
    /// How often they were tried again at once.
    tries: u32,
    /// Whether others of its flush are tried one by one as well, because of a lock.
    is_alone: bool,
}

impl WriteGroup {
    fn of(units: Vec<PreparedUnit>) -> Self {
        Self { units, tries: 0, is_alone: false }
    }

    /// A unit that may meet a lock.
    fn alone(unit: PreparedUnit) -> Self {
        Self { units: vec![unit], tries: 0, is_alone: true }
    }

    /// The sort of all of its units, if they are of one.
    fn sort(&self) -> Option<UnitClass> {
        let first = UnitClass::of(self.units.first()?);
        self.units.iter().all(|unit| UnitClass::of(unit) == first).then_some(first)
    }
}

/// How the write of one unit ended.
pub(super) enum WriteOutcome {
    /// Committed.
    Written(Vec<Written>),
    /// It may succeed later.
    Again,
    /// The database takes others, and this one in no form; why, in its words.
    Refused(String),
}

/// A unit after its write: its records are whole again.
pub(super) struct FinishedUnit {
    pub unit: PreparedUnit,
    pub ended: WriteOutcome,
}

impl Writer {
    /// Writes `units` in as few transactions as the database allows; a unit is never split.
    pub(super) async fn write(&self, units: Vec<PreparedUnit>) -> Vec<FinishedUnit> {
        Round::of(self, units).run().await
    }
}

/// One flush.
pub(super) struct Round<'a> {
    writer: &'a Writer,
    /// What is still to be written, the next part last.
    groups: Vec<WriteGroup>,
    /// Nothing more is begun then: others wait.
    until: Instant,
    finished: Vec<FinishedUnit>,
    /// Units that are put off.
    later: Vec<PreparedUnit>,
    /// Units that were tried in vain: the next flush comes to them last.
    blocked: Vec<PreparedUnit>,
    /// Units of a sort of which the database takes none.
    refused: Vec<(PreparedUnit, StoreError)>,
    known: [Acceptance; 3],
    searches_left: u32,
    blocked_in_a_row: usize,
    /// Why new units could not be written that are not at fault themselves.
    failure: Option<StoreError>,
    /// Nothing more is tried.
    is_stopped: bool,
    has_written: bool,
}

impl<'a> Round<'a> {
    /// The flush of `units`. Those that met a lock before are tried last, each alone: they delay no other.
    pub fn of(writer: &'a Writer, units: Vec<PreparedUnit>) -> Self {
        let (blocked, free): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| unit.is_blocked);
        let alone = blocked.into_iter().rev().map(WriteGroup::alone);
        Self {
            writer,
            groups: alone.chain((!free.is_empty()).then(|| WriteGroup::of(free))).collect(),
            until: Instant::now() + writer.deps.config.timeouts.flush,
            finished: Vec::new(),
            later: Vec::new(),
            blocked: Vec::new(),
            refused: Vec::new(),
            known: [const { Acceptance::Nothing }; 3],
            searches_left: SEARCHES_MAX,
            blocked_in_a_row: 0,
            failure: None,
            is_stopped: false,
            has_written: false,
        }
    }

    /// Carries it out; every unit comes back.
    pub async fn run(mut self) -> Vec<FinishedUnit> {
        while let Some(group) = self.groups.pop() {
            // Where not one key is held but many or all of them, the rest does not wait for each.
            let is_held_up = group.is_alone && self.blocked_in_a_row >= BLOCKED_MAX;
            if self.is_stopped || is_held_up || Instant::now() >= self.until {
                self.later.extend(group.units);
            } else if let Some(error) = self.refusal_of(&group) {
                self.refused.extend(group.units.into_iter().map(|unit| (unit, error.clone())));
            } else {
                self.write(group).await;
            }
        }
        self.end()
    }

    fn refusal_of(&self, group: &WriteGroup) -> Option<StoreError> {
        match &self.known[group.sort()? as usize] {
            Acceptance::Refused(error) => Some(error.clone()),
            Acceptance::Nothing | Acceptance::Taken => None,
        }
    }

    async fn write(&mut self, mut group: WriteGroup) {
        let error = match self.writer.flush(&mut group.units).await {
            Ok(written) => return self.written(group, written),
            Err(FlushError::Collision(events)) => return self.renumber(group, &events).await,
            Err(FlushError::Store(error)) => error,
        };
        match error.kind {
            StoreErrorKind::Transient => self.stop(group, error),
            StoreErrorKind::Locked if self.writer.is_table_locked().await => self.stop(group, error),
            // A unit that met a lock alone would only wait for it again.
            StoreErrorKind::Locked if group.is_alone => self.block(group, error),
            StoreErrorKind::Locked | StoreErrorKind::Conflict if group.tries < CONFLICT_TRIES => self.take_apart(group),
            StoreErrorKind::Locked | StoreErrorKind::Conflict => self.block(group, error),
            StoreErrorKind::Exhausted | StoreErrorKind::Refused | StoreErrorKind::Bug => {
                self.search(group, error).await
            }
        }
    }

    fn written(&mut self, group: WriteGroup, written: Vec<Written>) {
        self.blocked_in_a_row = 0;
        let mut written = written.into_iter();
        for unit in group.units {
            self.has_written |= UnitClass::of(&unit) != UnitClass::Claimed;
            let ended = WriteOutcome::Written(written.by_ref().take(unit.records.len()).collect());
            self.finished.push(FinishedUnit { unit, ended });
        }
    }

    /// Tries nothing more: all would fail as this did.
    fn stop(&mut self, group: WriteGroup, error: StoreError) {
        self.later.extend(group.units);
        self.failure = Some(error);
        self.is_stopped = true;
    }

    /// Units that may wait for a key or a row each alone, the others together and first.
    fn take_apart(&mut self, group: WriteGroup) {
        let tries = group.tries + 1;
        let (others, alone): (Vec<_>, Vec<_>) =
            group.units.into_iter().partition(|unit| UnitClass::of(unit) == UnitClass::Plain);
        let alone = alone.into_iter().rev().map(|unit| WriteGroup { tries, ..WriteGroup::alone(unit) });
        self.groups.extend(alone);
        if !others.is_empty() {
            self.groups.push(WriteGroup { tries, ..WriteGroup::of(others) });
        }
    }

    /// A key or a row may be held for a while; whatever else is in the way is in the way of every event.
    fn block(&mut self, group: WriteGroup, error: StoreError) {
        self.blocked_in_a_row += 1;
        if group.sort() == Some(UnitClass::Plain) {
            self.failure = Some(error);
        } else {
            facts::key_awaited(&error);
        }
        let blocked = group.units.into_iter().map(|unit| PreparedUnit { is_blocked: true, ..unit });
        self.blocked.extend(blocked);
    }

    /// Gives new ids to events whose ids belong to others; nothing was acknowledged under the old ones.
    async fn renumber(&mut self, group: WriteGroup, events: &[(i64, uuid::Uuid)]) {
        facts::ids_collided(&events.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        let is_taken = |record: &Record| events.contains(&(record.event.id, record.event.task_id));
        // What was promised under its id cannot get another one.
        let is_promised = |unit: &PreparedUnit| unit.work.is_spooled() && unit.records.iter().any(is_taken);
        let (promised, mut units): (Vec<_>, Vec<_>) = group.units.into_iter().partition(is_promised);
        self.finished.extend(
            promised.into_iter().map(|unit| FinishedUnit { unit, ended: WriteOutcome::Refused(TAKEN.to_owned()) }),
        );
        if units.is_empty() || group.tries >= COLLISION_TRIES {
            return self.blocked.extend(units);
        }
        let mut fresh = match self.writer.ids.take(events.len()).await {
            Ok(fresh) => fresh.into_iter(),
            Err(error) => {
                self.failure = Some(error);
                return self.blocked.extend(units);
            }
        };
        for unit in &mut units {
            for (record, place) in unit.records.iter_mut().zip(&unit.places).filter(|(record, _)| is_taken(record)) {
                let id = fresh.next().expect("an id for each");
                Arc::make_mut(&mut record.event).id = id;
                unit.work.renumber(*place, id);
            }
        }
        self.groups.push(WriteGroup { units, tries: group.tries + 1, ..group });
    }

    /// Looks for the units at fault.
    async fn search(&mut self, group: WriteGroup, error: StoreError) {
        let Some(sort) = group.sort() else { return self.groups.extend(by_sort(group)) };
        if matches!(self.known[sort as usize], Acceptance::Nothing) {
            let is_taken = self.takes_neutral_rows(&group.units).await;
            self.known[sort as usize] = if is_taken { Acceptance::Taken } else { Acceptance::Refused(error.clone()) };
            if is_taken && group.units.len() == 1 {
                // The obstacle to everything may have gone since.
                return self.groups.push(group);
            }
        }
        if self.refusal_of(&group).is_some() {
            self.refused.extend(group.units.into_iter().map(|unit| (unit, error.clone())));
        } else if !self.may_search() {
            self.later.extend(group.units);
        } else if group.units.len() > 1 {
            self.groups.extend(in_halves(group));
        } else {
            self.judge(group, error).await;
        }
    }

    /// Whether another try is left.
    fn may_search(&mut self) -> bool {
        let is_left = self.searches_left > 0;
        self.searches_left = self.searches_left.saturating_sub(1);
        is_left
    }

    /// Two of them, which differ in what an operator's constraint may forbid, made of two units.
    async fn takes_neutral_rows(&self, units: &[PreparedUnit]) -> bool {
        let (Some(first), Some(last)) = (units.first(), units.last()) else { return true };
        let policy = &self.writer.deps.policy();
        self.writer.rehearse(vec![bare(typical(first), policy)]).await.is_ok()
            || self.writer.rehearse(vec![ordinary(typical(last), policy)]).await.is_ok()
    }

    /// One unit that the database refuses while it takes others.
    async fn judge(&mut self, mut group: WriteGroup, error: StoreError) {
        let Some(mut unit) = group.units.pop() else { return };
        // One refusal does not decide about what was promised, and a row that is left out is not a refusal.
        let is_promised = unit.work.origin == UnitOrigin::Spool { gives_up: false };
        if is_promised || matches!(error.cause, Cause::Unwritten { .. }) {
            return self.finished.push(FinishedUnit { unit, ended: WriteOutcome::Refused(error.to_string()) });
        }
        if error.kind == StoreErrorKind::Exhausted {
            self.failure = Some(error);
            return self.blocked.push(unit);
        }
        let refused = self.find_refused(&unit.records).await;
        if refused.is_empty() && group.tries >= CONFLICT_TRIES {
            return self.blocked.push(unit);
        }
        for place in &refused {
            match strip(&mut unit.records[*place], &self.writer.deps.policy()) {
                Some(Stripped::Payload) => facts::refused_by_database(&unit.records[*place].event, &error),
                Some(Stripped::All) => {}
                None => {
                    return self.finished.push(FinishedUnit { unit, ended: WriteOutcome::Refused(error.to_string()) });
                }
            }
        }
        let tries = if refused.is_empty() { group.tries + 1 } else { group.tries };
        self.groups.push(WriteGroup { units: vec![unit], tries, ..group });
    }

    /// The positions of the records that the database refuses when each is tried again, found by halving; some of them
    /// if there are many.
    async fn find_refused(&mut self, records: &[Record]) -> Vec<usize> {
        let mut refused = Vec::new();
        let mut ranges = vec![(0, records.len())];
        while let Some((first, end)) = ranges.pop().filter(|_| self.may_search()) {
            let rehearsed = self.writer.rehearse(records[first..end].to_vec()).await;
            let is_refused =
                rehearsed.is_err_and(|error| matches!(error.kind, StoreErrorKind::Refused | StoreErrorKind::Bug));
            if is_refused && end - first > 1 {
                let middle = first + (end - first) / 2;
                ranges.extend([(middle, end), (first, middle)]);
            } else if is_refused {
                refused.push(first);
            }
        }
        refused
    }

    fn end(mut self) -> Vec<FinishedUnit> {
        for (unit, error) in std::mem::take(&mut self.refused) {
            if self.has_written || UnitClass::of(&unit) == UnitClass::Claimed {
                self.finished.push(FinishedUnit { unit, ended: WriteOutcome::Refused(error.to_string()) });
            } else {
                self.failure = Some(error);
                self.later.push(unit);
            }
        }
        match &self.failure {
            Some(error) if self.is_stopped || !self.has_written => {
                self.writer.deps.writing.failed_as(error, error.outline())
            }
            _ if self.has_written => self.writer.deps.writing.succeeded(),
            _ => {}
        }
        let again = self.later.into_iter().chain(self.blocked);
        self.finished.extend(again.map(|unit| FinishedUnit { unit, ended: WriteOutcome::Again }));
        self.finished
    }
}

/// The record that has most of what units of its sort have.
fn typical(unit: &PreparedUnit) -> &Record {
    let keyed = unit.records.iter().find(|record| record.event.key.is_some());
    keyed.unwrap_or_else(|| unit.records.first().expect("a unit without records is settled, not written"))
}

fn by_sort(mut group: WriteGroup) -> Vec<WriteGroup> {
    let tries = group.tries;
    let of_sort = |sort| group.units.extract_if(.., |unit| UnitClass::of(unit) == sort).collect::<Vec<_>>();
    let sorts: Vec<Vec<PreparedUnit>> = UnitClass::ALL.map(of_sort).into();
    let sorts = sorts.into_iter().filter(|units| !units.is_empty());
    sorts.map(|units| WriteGroup { tries, ..WriteGroup::of(units) }).collect()
}

fn in_halves(mut group: WriteGroup) -> [WriteGroup; 2] {
    let second = group.units.split_off(group.units.len() / 2);
    [WriteGroup { units: second, ..group }, group]
}
