//! How a flush is carried to the database: whole first, in parts when the database objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, FutureExt};
use uuid::Uuid;

use super::queue::Gathered;
#[cfg(feature = "fault-injection")]
use super::settle;
use crate::clock;
use crate::domain::outcome::{Failure, Outcome};
use crate::domain::retry::RetryPolicy;
use crate::store::{FlushError, FlushHeader, Ids, Kind, Record, Store, StoreError, StoreOutcome, Written};
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;
use crate::telemetry::spans::Flushed;

/// How often a unit is tried at once when another transaction is in its way; each try may wait for a lock, and the
/// units beside it wait as well.
const CONFLICT_TRIES: u32 = 2;

/// Units in a row that may meet a lock before the others are put off.
const BLOCKED_MAX: usize = 2;

/// How often events get new ids at once when theirs are taken.
const COLLISION_TRIES: u32 = 5;

/// What the event's row and its client are told; the database's own words may hold data and go to the log only.
const REFUSED: &str = "the database refuses the event's data";

/// What is said of an event whose id was promised before it turned out to be another one's.
const TAKEN: &str = "the event's id belongs to another event";

/// How the write of one unit ended.
pub(super) enum Ended {
    /// Committed.
    Written(Vec<Written>),
    /// It may succeed later.
    Again,
    /// It cannot be stored, whatever is left out.
    Impossible(String),
}

/// A unit after its write: its records are whole again.
pub(super) struct Finished {
    pub unit: Gathered,
    pub ended: Ended,
}

/// Writes flushes; shared by the Persisters of a node.
pub(in crate::pipeline) struct Writer {
    pub store: Store,
    pub ids: Ids,
    pub boot_id: Uuid,
    pub node: String,
    pub seq: AtomicI64,
    pub policy: RetryPolicy,
    pub flush_timeout: Duration,
    pub dedupe_window: Duration,
    /// Whether the database takes first writes; while it does not, new units go to the spool.
    pub writing: Arc<Condition>,
}

impl Writer {
    /// Writes `units` in as few transactions as the database allows; a unit is never split.
    pub(super) fn write(self: Arc<Self>, mut units: Vec<Gathered>, tries: u32) -> BoxFuture<'static, Vec<Finished>> {
        async move {
            let began = Instant::now();
            match self.flush(&mut units).await {
                Ok(written) => {
                    self.writing.succeeded();
                    facts::flushed(units.len(), written.len(), began.elapsed());
                    distribute(units, written)
                }
                Err(FlushError::Collision(ids)) => self.with_new_ids(units, &ids, tries).await,
                Err(FlushError::Store(error)) => self.after_error(units, error, tries).await,
            }
        }
        .boxed()
    }

    async fn flush(&self, units: &mut [Gathered]) -> Result<Vec<Written>, FlushError> {
        #[cfg(feature = "fault-injection")]
        settle::acknowledge_too_early(units);
        let (header, began) = (self.header(units), clock::now());
        let before: Vec<bool> = units.iter().map(|unit| unit.work.maybe_stored).collect();
        // Until the answer is here: this actor may die while it waits.
        units.iter_mut().for_each(|unit| unit.work.maybe_stored = true);
        let records: Vec<Record> = units.iter_mut().flat_map(|unit| std::mem::take(&mut unit.records)).collect();
        let records = Arc::new(records);
        let result = self.store.persist_event_to_db(records.clone(), header, self.flush_timeout).await;
        give_back(units, records);
        tell_spans(units, began, result.as_ref().err());
        if result.as_ref().is_err_and(is_certain) {
            units.iter_mut().zip(before).for_each(|(unit, before)| unit.work.maybe_stored = before);
        }
        result
    }

    fn header(&self, units: &[Gathered]) -> FlushHeader {
        let oldest = units.iter().map(|unit| unit.work.taken_at).min();
        FlushHeader {
            boot_id: self.boot_id,
            node: self.node.clone(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            gathered: oldest.map(|taken_at| taken_at.elapsed()).unwrap_or_default(),
            is_first_write: !units.iter().any(|unit| unit.work.maybe_stored),
            keys_live_for: self.dedupe_window,
        }
    }

    async fn after_error(self: Arc<Self>, units: Vec<Gathered>, error: StoreError, tries: u32) -> Vec<Finished> {
        match error.kind {
            Kind::Conflict | Kind::Locked if tries < CONFLICT_TRIES => self.apart(units, tries + 1).await,
            Kind::Refused | Kind::Bug if units.len() > 1 => self.in_halves(units, tries).await,
            Kind::Refused => self.without_refused(units, error).await,
            // A bug is ours: nothing is taken from the event for it.
            Kind::Transient | Kind::Exhausted | Kind::Conflict | Kind::Locked | Kind::Bug => {
                if matches!(error.kind, Kind::Conflict | Kind::Locked) && units.iter().any(is_keyed) {
                    // A key may be held for a while; whatever else is in the way is in the way of every event.
                    facts::key_awaited(&error);
                } else {
                    self.writing.failed(&error);
                }
                units.into_iter().map(|unit| Finished { unit, ended: Ended::Again }).collect()
            }
        }
    }

    /// Keyed units each alone, the others together: only keys can make flushes wait for each other.
    async fn apart(self: Arc<Self>, units: Vec<Gathered>, tries: u32) -> Vec<Finished> {
        let (keyed, others): (Vec<_>, Vec<_>) = units.into_iter().partition(is_keyed);
        let mut finished = Vec::new();
        if !others.is_empty() {
            finished.extend(self.clone().write(others, tries).await);
        }
        let (mut blocked, mut in_a_row) = (Vec::new(), 0);
        for unit in keyed {
            // Where not one key is held but many or all of them, the rest does not wait for each.
            if in_a_row >= BLOCKED_MAX {
                finished.push(Finished { unit, ended: Ended::Again });
                continue;
            }
            let (again, ended): (Vec<_>, Vec<_>) =
                self.clone().write(vec![unit], tries).await.into_iter().partition(is_again);
            in_a_row = if again.is_empty() { 0 } else { in_a_row + 1 };
            finished.extend(ended);
            blocked.extend(again);
        }
        // Last, so that the next flush comes to the others first.
        finished.extend(blocked);
        finished
    }

    async fn in_halves(self: Arc<Self>, mut units: Vec<Gathered>, tries: u32) -> Vec<Finished> {
        let second = units.split_off(units.len() / 2);
        let mut finished = self.clone().write(units, tries).await;
        finished.extend(self.write(second, tries).await);
        finished
    }

    /// Marks the events of the one unit that the database refuses as failed, without their data, and writes it again.
    async fn without_refused(self: Arc<Self>, mut units: Vec<Gathered>, error: StoreError) -> Vec<Finished> {
        for unit in &mut units {
            let Ok(refused) = self.clone().find_refused(unit.records.clone(), 0).await else {
                return units.into_iter().map(|unit| Finished { unit, ended: Ended::Again }).collect();
            };
            for place in refused {
                self.refuse(unit, place, &error);
            }
        }
        let began = Instant::now();
        match self.flush(&mut units).await {
            Ok(written) => {
                self.writing.succeeded();
                facts::flushed(units.len(), written.len(), began.elapsed());
                distribute(units, written)
            }
            Err(FlushError::Store(error)) if error.kind == Kind::Refused => {
                units.into_iter().map(|unit| Finished { unit, ended: Ended::Impossible(error.to_string()) }).collect()
            }
            Err(_) => units.into_iter().map(|unit| Finished { unit, ended: Ended::Again }).collect(),
        }
    }

    fn refuse(&self, unit: &mut Gathered, place: usize, error: &StoreError) {
        let record = &mut unit.records[place];
        facts::refused_by_database(&record.event, error);
        let failure = Failure::Refused(REFUSED.to_owned());
        record.event.submission.payload = None;
        record.outcome = Outcome::of(&record.event, Err(&failure), &self.policy, clock::now());
        record.failed_attempt = None;
        unit.work.items[unit.places[place]].result = Some(Err(failure));
    }

    /// The places, counted from `first`, of the records that the database refuses; found by halving. An error says that
    /// it cannot be found out now.
    fn find_refused(
        self: Arc<Self>,
        mut records: Vec<Record>,
        first: usize,
    ) -> BoxFuture<'static, Result<Vec<usize>, StoreError>> {
        async move {
            let header = self.header(&[]);
            let rehearsed = self.store.rehearse(Arc::new(records.clone()), header, self.flush_timeout).await;
            match rehearsed {
                Err(error) if error.kind == Kind::Refused && records.len() > 1 => {
                    let half = records.len() / 2;
                    let second = records.split_off(half);
                    let mut refused = self.clone().find_refused(records, first).await?;
                    refused.extend(self.find_refused(second, first + half).await?);
                    Ok(refused)
                }
                Err(error) if error.kind == Kind::Refused => Ok(vec![first]),
                Err(error) => Err(error),
                Ok(()) => Ok(Vec::new()),
            }
        }
        .boxed()
    }

    /// Gives new ids to events whose ids belong to others; nothing was acknowledged under the old ones.
    async fn with_new_ids(self: Arc<Self>, mut units: Vec<Gathered>, taken: &[i64], tries: u32) -> Vec<Finished> {
        facts::ids_collided(taken);
        // What was promised under its id cannot get another one.
        let (promised, units_left): (Vec<_>, Vec<_>) =
            units.into_iter().partition(|unit| unit.work.is_spooled && has_any(unit, taken));
        if !promised.is_empty() {
            let impossible = |unit| Finished { unit, ended: Ended::Impossible(TAKEN.to_owned()) };
            let mut finished: Vec<Finished> = promised.into_iter().map(impossible).collect();
            if !units_left.is_empty() {
                finished.extend(self.write(units_left, tries).await);
            }
            return finished;
        }
        units = units_left;
        let Ok(mut fresh) = self.ids.take(taken.len()).await.map(IntoIterator::into_iter) else {
            return units.into_iter().map(|unit| Finished { unit, ended: Ended::Again }).collect();
        };
        for unit in &mut units {
            for (record, place) in unit.records.iter_mut().zip(&unit.places) {
                if record.lease.is_none() && taken.contains(&record.event.id) {
                    record.event.id = fresh.next().unwrap_or(record.event.id);
                    unit.work.renumber(*place, record.event.id);
                }
            }
        }
        if tries < COLLISION_TRIES {
            return self.write(units, tries + 1).await;
        }
        units.into_iter().map(|unit| Finished { unit, ended: Ended::Again }).collect()
    }
}

fn is_again(finished: &Finished) -> bool {
    matches!(finished.ended, Ended::Again)
}

fn is_keyed(unit: &Gathered) -> bool {
    unit.records.iter().any(|record| record.event.key.is_some())
}

/// Whether nothing of the flush is in the database, now or later.
fn is_certain(error: &FlushError) -> bool {
    match error {
        FlushError::Store(error) => error.outcome == StoreOutcome::NotStored,
        FlushError::Collision(_) => true,
    }
}

fn has_any(unit: &Gathered, ids: &[i64]) -> bool {
    unit.records.iter().any(|record| ids.contains(&record.event.id))
}

/// Tells of each event that is traced that it was part of this flush.
fn tell_spans(units: &[Gathered], began: DateTime<Utc>, error: Option<&FlushError>) {
    let error = error.map(|error| match error {
        FlushError::Store(error) => error.kind.as_str(),
        FlushError::Collision(_) => "id_collision",
    });
    let events = units.iter().map(|unit| unit.records.len()).sum();
    let flushed = Flushed { began, events, units: units.len(), error };
    for unit in units {
        let items = unit.places.iter().map(|place| &unit.work.items[*place]);
        items.filter_map(|item| Some((item, item.span?))).for_each(|(item, span)| span.flushed(&item.event, flushed));
    }
}

/// Hands the records back to their units; without copies, unless the flush still runs.
fn give_back(units: &mut [Gathered], records: Arc<Vec<Record>>) {
    let mut records = Arc::try_unwrap(records).unwrap_or_else(|shared| shared.to_vec()).into_iter();
    for unit in units {
        unit.records = records.by_ref().take(unit.places.len()).collect();
    }
}

fn distribute(units: Vec<Gathered>, written: Vec<Written>) -> Vec<Finished> {
    let mut written = written.into_iter();
    units
        .into_iter()
        .map(|unit| {
            let ended = Ended::Written(written.by_ref().take(unit.records.len()).collect());
            Finished { unit, ended }
        })
        .collect()
}
