//! Dedupe keys in a flush: taken sorted and before the events, so that two flushes cannot deadlock over them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryResult,
    Statement,
};

use super::super::reading::Cells;
use super::super::{StoreError, plans};
use super::record::{FlushHeader, KeptEvent, KeyClaim, Record, Written};
use super::stop::TxAbort;
use super::{postgres, sqlite};
use crate::config::PlantedBug;
use crate::domain::dedupe::{DedupeKey, Namespace};
use crate::domain::outcome::{Outcome, Status};

/// Takes the keys of new and replayed events, marks the records whose key another event holds, and returns those that
/// took theirs just now.
///
/// Of records with the same key the first takes it for all of them. They come from one unit: the Persister holds
/// another unit's back for its next flush.
pub(super) async fn take(
    tx: &DatabaseTransaction,
    records: &[Record],
    header: &FlushHeader,
    written: &mut [Written],
) -> Result<HashSet<i64>, TxAbort> {
    let mut claims: Vec<KeyClaim<'_>> = records.iter().filter_map(claim_of).collect();
    if claims.is_empty() || PlantedBug::NoUniqueKey.is_chosen() {
        return Ok(HashSet::new());
    }
    // Stable: of equal keys the first in the unit stays the first.
    claims.sort_by(|a, b| a.key.identity().cmp(&b.key.identity()));
    let total = claims.len();
    claims.dedup_by(|later, first| later.key.identity() == first.key.identity());
    let has_followers = claims.len() < total;
    let (taken, holders) = take_all(tx, claims, header).await?;
    if holders.is_empty() && !has_followers {
        return Ok(taken);
    }
    let mut leaders = HashMap::new();
    for (record, written) in records.iter().zip(written) {
        let Some(claim) = claim_of(record) else { continue };
        let leader = leaders.entry(claim.key.identity()).or_insert_with(|| KeyHolder::of(record, &claim));
        *written = holders.get(&leader.first.id).unwrap_or(leader).verdict_on(&claim);
    }
    Ok(taken)
}

/// Gives back the keys, taken just now, of replayed events whose outcome was fenced: the present holder of the event
/// may have another one.
pub(super) async fn give_back(
    tx: &DatabaseTransaction,
    records: &[Record],
    written: &[Written],
    taken: &HashSet<i64>,
) -> Result<(), DbErr> {
    let is_fenced = |(record, written): &(&Record, &Written)| {
        matches!(written, Written::Fenced) && taken.contains(&record.event.id)
    };
    for (record, _) in records.iter().zip(written).filter(is_fenced) {
        let Some(claim) = claim_of(record) else { continue };
        remove(tx, claim.key, claim.event_id).await?;
    }
    Ok(())
}

/// Removes a key, if this event holds it.
async fn remove(tx: &DatabaseTransaction, key: &DedupeKey, event_id: i64) -> Result<(), DbErr> {
    use entity::dedupe_key::{Column, Entity};

    let (user_id, namespace, text) = key.identity();
    let row = Entity::delete_by_id((user_id, namespace.code(), text.to_owned()));
    row.filter(Column::EventId.eq(event_id)).exec(tx).await.map(drop)
}

/// Takes keys that are all different; returns the events that got theirs, and the holders of those that another event,
/// or an earlier write, has. A key that is neither taken nor held was left out.
async fn take_all(
    tx: &DatabaseTransaction,
    mut claims: Vec<KeyClaim<'_>>,
    header: &FlushHeader,
) -> Result<(HashSet<i64>, HashMap<i64, KeyHolder>), TxAbort> {
    let backend = tx.get_database_backend();
    let total = claims.len();
    let mut taken = HashSet::new();
    let mut holders = HashMap::new();
    // Keys without an event are taken in a second round.
    for _ in 0..2 {
        let statements = match backend {
            DatabaseBackend::Postgres => vec![postgres::take_keys(&claims, header)],
            _ => sqlite::take_keys(&claims, header),
        };
        taken.extend(ids_returned(tx, statements).await?);
        claims.retain(|claim| !taken.contains(&claim.event_id));
        if claims.is_empty() {
            return Ok((taken, holders));
        }
        plans::indexes_only(tx).await?;
        let statement = match backend {
            DatabaseBackend::Postgres => postgres::holders_of_keys(&claims),
            _ => sqlite::holders_of_keys(&claims),
        };
        let mut orphaned = HashMap::new();
        for row in tx.query_all_raw(statement).await? {
            let claimant: i64 = row.try_get_by_index(0)?;
            match KeyHolder::read(&row) {
                Some(holder) => drop(holders.insert(claimant, holder)),
                None => drop(orphaned.insert(claimant, row.try_get_by_index::<i64>(1)?)),
            }
        }
        claims.retain(|claim| !holders.contains_key(&claim.event_id));
        if claims.is_empty() {
            return Ok((taken, holders));
        }
        // It was written with its event, which has been deleted since.
        for claim in &claims {
            if let Some(event_id) = orphaned.get(&claim.event_id) {
                remove(tx, claim.key, *event_id).await?;
            }
        }
    }
    Err(StoreError::unwritten("dedupe_keys", claims.len(), total).into())
}

async fn ids_returned(tx: &DatabaseTransaction, statements: Vec<Statement>) -> Result<Vec<i64>, DbErr> {
    let mut ids = Vec::new();
    for statement in statements {
        for row in tx.query_all_raw(statement).await? {
            ids.push(row.try_get_by_index(0)?);
        }
    }
    Ok(ids)
}

/// The records as they are to be written: one whose id was promised gets a row also when another event holds its key, and
/// one that is replayed has a row.
pub(super) fn apply_key_conflicts<'a>(records: &'a [Record], written: &mut [Written]) -> Cow<'a, [Record]> {
    let mut records = Cow::Borrowed(records);
    for (place, written) in written.iter_mut().enumerate() {
        let record = &records[place];
        let outcome = match written {
            _ if !record.is_acknowledged && record.lease.is_none() => continue,
            Written::Duplicate(first) => Outcome::duplicate(&record.event, first.id),
            Written::Conflict { of } => Outcome::key_conflict(&record.event, *of),
            _ => continue,
        };
        *written = Written::StoredAs(Box::new(outcome.clone()));
        let record = &mut records.to_mut()[place];
        record.outcome = outcome;
        record.failed_attempt = None;
    }
    records
}

/// The key that `record` takes: a refused event only that of its refusal.
fn claim_of(record: &Record) -> Option<KeyClaim<'_>> {
    let is_refused = record.outcome.status == Status::ValidationError;
    let key = record.event.key.as_ref().filter(|key| is_refused == (key.namespace == Namespace::Refusal))?;
    Some(KeyClaim { key, event_id: record.event.id })
}

/// The holder of a key.
struct KeyHolder {
    first: KeptEvent,
    content_hash: Vec<u8>,
}

impl KeyHolder {
    /// The record that has just taken the key of `claim`.
    fn of(record: &Record, claim: &KeyClaim<'_>) -> Self {
        let Record { event, outcome, .. } = record;
        let first = KeptEvent {
            id: event.id,
            task_id: event.task_id,
            status: outcome.status,
            processed_at: outcome.processed_at,
            differs: Vec::new(),
            repeats: 0,
        };
        Self { first, content_hash: claim.key.content_hash.to_vec() }
    }

    /// Reads `claimant, event_id, content_hash, task_id, status, processed_at`; none if there is no such event.
    ///
    /// What cannot be read of the event is empty: it has the key all the same, and the flush has other records.
    fn read(row: &QueryResult) -> Option<Self> {
        if matches!(row.try_get_by_index::<Option<String>>(4), Ok(None)) {
            return None;
        }
        let mut cells = Cells::plain(row);
        let (_, id, content_hash): (i64, _, _) = (cells.get(), cells.get(), cells.get());
        let first = KeptEvent {
            id,
            task_id: cells.get(),
            status: cells.status(),
            processed_at: cells.time_or_none(),
            differs: Vec::new(),
            repeats: 0,
        };
        Some(Self { first, content_hash })
    }

    /// A key held by the claimant's own id is an earlier write of it whose answer was lost.
    fn verdict_on(&self, claim: &KeyClaim<'_>) -> Written {
        if self.first.id == claim.event_id {
            Written::Stored
        } else if self.content_hash == claim.key.content_hash {
            Written::Duplicate(self.first.clone())
        } else {
            Written::Conflict { of: self.first.id }
        }
    }
}
