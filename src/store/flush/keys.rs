//! Dedupe keys in a flush: taken sorted and before the events, so that two flushes cannot deadlock over them.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryResult,
};
use uuid::Uuid;

use super::{First, FlushHeader, Record, Stop, Written, ids_returned, postgres, sqlite};
use crate::config::Planted;
use crate::domain::dedupe::DedupeKey;
use crate::domain::outcome::{Outcome, Status};

/// The key of a new or replayed event, which its record is to take.
pub(super) struct Claim<'a> {
    pub key: &'a DedupeKey,
    pub event_id: i64,
}

/// Takes the keys of new and replayed events, marks the records whose key another event holds, and gives those that took
/// theirs just now.
///
/// Of records with the same key the first takes it for all of them. They come from one unit: the Persister holds
/// another unit's back for its next flush.
pub(super) async fn take(
    tx: &DatabaseTransaction,
    records: &[Record],
    header: &FlushHeader,
    written: &mut [Written],
) -> Result<HashSet<i64>, Stop> {
    let mut claims: Vec<Claim<'_>> = records.iter().filter_map(claim_of).collect();
    if claims.is_empty() || Planted::NoUniqueKey.is_chosen() {
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
        let leader = leaders.entry(claim.key.identity()).or_insert_with(|| Holder::of(record, &claim));
        *written = holders.get(&leader.first.id).unwrap_or(leader).verdict_on(&claim);
    }
    Ok(taken)
}

/// Gives back the keys, taken just now, of replayed events whose outcome was fenced: who holds the event now may have
/// another one.
pub(super) async fn give_back(
    tx: &DatabaseTransaction,
    records: &[Record],
    written: &[Written],
    taken: &HashSet<i64>,
) -> Result<(), DbErr> {
    use entity::dedupe_key::{Column, Entity};

    let is_fenced = |(record, written): &(&Record, &Written)| {
        matches!(written, Written::Fenced) && taken.contains(&record.event.id)
    };
    for (record, _) in records.iter().zip(written).filter(is_fenced) {
        let Some(claim) = claim_of(record) else { continue };
        let (user_id, namespace, text) = claim.key.identity();
        let key = Entity::delete_by_id((user_id, namespace.code(), text.to_owned()));
        key.filter(Column::EventId.eq(claim.event_id)).exec(tx).await?;
    }
    Ok(())
}

/// Takes keys that are all different; gives the events that got theirs, and the holders of those that another event, or
/// an earlier write, has.
async fn take_all(
    tx: &DatabaseTransaction,
    mut claims: Vec<Claim<'_>>,
    header: &FlushHeader,
) -> Result<(HashSet<i64>, HashMap<i64, Holder>), DbErr> {
    let backend = tx.get_database_backend();
    let statements = match backend {
        DatabaseBackend::Postgres => vec![postgres::take_keys(&claims, header)],
        _ => sqlite::take_keys(&claims, header),
    };
    let taken = ids_returned(tx, statements).await?;
    claims.retain(|claim| !taken.contains(&claim.event_id));
    let mut holders = HashMap::new();
    if claims.is_empty() {
        return Ok((taken, holders));
    }
    let statement = match backend {
        DatabaseBackend::Postgres => postgres::holders_of_keys(&claims),
        _ => sqlite::holders_of_keys(&claims),
    };
    for row in tx.query_all_raw(statement).await? {
        let holder = Holder::read(&row)?;
        holders.insert(row.try_get_by_index::<i64>(0)?, holder);
    }
    Ok((taken, holders))
}

/// The records as they are to be written: one whose id was promised gets a row also when another event holds its key, and
/// one that is replayed has a row.
pub(super) fn bow_to_holders<'a>(records: &'a [Record], written: &mut [Written]) -> Cow<'a, [Record]> {
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

/// The key that `record` takes, unless the event was refused.
fn claim_of(record: &Record) -> Option<Claim<'_>> {
    let key = record.event.key.as_ref().filter(|_| record.outcome.status != Status::ValidationError)?;
    Some(Claim { key, event_id: record.event.id })
}

/// Who holds a key.
struct Holder {
    first: First,
    content_hash: Vec<u8>,
}

impl Holder {
    /// The record that has just taken the key of `claim`.
    fn of(record: &Record, claim: &Claim<'_>) -> Self {
        let Record { event, outcome, .. } = record;
        let first =
            First { id: event.id, task_id: event.task_id, status: outcome.status, processed_at: outcome.processed_at };
        Self { first, content_hash: claim.key.content_hash.to_vec() }
    }

    /// Reads `claimant, event_id, content_hash, task_id, status, processed_at`.
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let status: String = row.try_get_by_index(4)?;
        let status = Status::parse(&status).ok_or_else(|| DbErr::Type(format!("unknown event status {status:?}")))?;
        let first = First {
            id: row.try_get_by_index(1)?,
            task_id: row.try_get_by_index::<Uuid>(3)?,
            status,
            processed_at: row.try_get_by_index(5)?,
        };
        Ok(Self { first, content_hash: row.try_get_by_index(2)? })
    }

    /// A key held by the claimant's own id is an earlier write of it whose answer was lost.
    fn verdict_on(&self, claim: &Claim<'_>) -> Written {
        if self.first.id == claim.event_id {
            Written::Stored
        } else if self.content_hash == claim.key.content_hash {
            Written::Duplicate(self.first.clone())
        } else {
            Written::Conflict { of: self.first.id }
        }
    }
}
