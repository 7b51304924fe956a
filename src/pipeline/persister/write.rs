//! How a flush is carried to the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::super::deps::Deps;
use super::forms;
use super::queue::PreparedUnit;
#[cfg(feature = "fault-injection")]
use super::settle;
use crate::clock;
use crate::domain::event::Event;
use crate::store::{FlushError, FlushHeader, Ids, Record, StoreError, StoreOutcome, Written};
use crate::telemetry::facts;
use crate::telemetry::spans::Flushed;

/// Writes flushes; shared by the Persisters of a node.
pub(in crate::pipeline) struct Writer {
    pub deps: Arc<Deps>,
    pub ids: Ids,
    seq: AtomicI64,
}

impl Writer {
    pub fn new(deps: Arc<Deps>, ids: Ids) -> Self {
        Self { deps, ids, seq: AtomicI64::new(1) }
    }

    /// One transaction with all of `units`.
    pub(super) async fn flush(&self, units: &mut [PreparedUnit]) -> Result<Vec<Written>, FlushError> {
        #[cfg(feature = "fault-injection")]
        settle::acknowledge_too_early(units);
        let header = self.header(units);
        let began = Instant::now();
        let now = clock::now();
        let before: Vec<bool> = units.iter().map(|unit| unit.work.maybe_stored).collect();
        // Until the answer is here: this actor may die while it waits.
        units.iter_mut().for_each(|unit| unit.work.maybe_stored = true);
        let records: Vec<Record> = units.iter_mut().flat_map(|unit| std::mem::take(&mut unit.records)).collect();
        let records = Arc::new(records);
        let result =
            self.deps.store.persist_event_to_db(records.clone(), header, self.deps.config.timeouts.flush).await;
        give_back(units, records);
        export_spans(units, now, result.as_ref().err());
        match &result {
            Ok(written) => facts::flushed(units.len(), written.len(), began.elapsed()),
            Err(error) if is_certain(error) => {
                units.iter_mut().zip(before).for_each(|(unit, before)| unit.work.maybe_stored = before);
            }
            Err(_) => {}
        }
        result
    }

    /// Whether the database would take `records`; nothing of them is stored.
    pub(super) async fn rehearse(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.deps.store.rehearse(Arc::new(records), self.header(&[]), self.deps.config.timeouts.flush).await
    }

    /// Whether the database would take an event under this id, its COMMIT included; nothing of it is stored.
    pub(in crate::pipeline) async fn probe(&self, id: i64) -> Result<(), StoreError> {
        self.deps
            .store
            .probe(forms::probe(id, &self.deps.policy()), self.header(&[]), self.deps.config.timeouts.flush)
            .await
    }

    /// The event of a probe, as the spool would take it.
    pub(in crate::pipeline) fn probe_event(&self, id: i64) -> Arc<Event> {
        forms::probe(id, &self.deps.policy()).event
    }

    /// Whether a lock that a flush met is that of a table. If that cannot be queried, it is.
    pub(super) async fn is_table_locked(&self) -> bool {
        self.deps.store.is_flush_locked(self.deps.config.timeouts.flush).await.unwrap_or(true)
    }

    fn header(&self, units: &[PreparedUnit]) -> FlushHeader {
        let oldest = units.iter().map(|unit| unit.work.taken_at).min();
        FlushHeader {
            boot_id: self.deps.identity.boot_id,
            node: self.deps.identity.node.clone(),
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            gathered: oldest.map(|taken_at| taken_at.elapsed()).unwrap_or_default(),
            is_first_write: !units.iter().any(|unit| unit.work.maybe_stored),
            keys_live_for: self.deps.config.dedupe.window,
        }
    }
}

/// Whether nothing of the flush is in the database, now or later.
fn is_certain(error: &FlushError) -> bool {
    match error {
        FlushError::Store(error) => error.outcome == StoreOutcome::NotStored,
        FlushError::Collision(_) => true,
    }
}

/// Records the flush in the span of each traced event.
fn export_spans(units: &[PreparedUnit], began: DateTime<Utc>, error: Option<&FlushError>) {
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
fn give_back(units: &mut [PreparedUnit], records: Arc<Vec<Record>>) {
    let mut records = Arc::try_unwrap(records).unwrap_or_else(|shared| shared.to_vec()).into_iter();
    for unit in units {
        unit.records = records.by_ref().take(unit.places.len()).collect();
    }
}
