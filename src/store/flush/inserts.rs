//! The rows of new events: each is ours only if the database confirms it.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, Statement};
use uuid::Uuid;

use super::super::dialect::list;
use super::super::{StoreError, plans};
use super::record::{EventKey, FlushHeader, Record, Written};
use super::stop::TxAbort;
use super::{postgres, sqlite};

/// Inserts the records that have no row yet. A row that is there already is ours, or its id has collided, also with that
/// of another record of this flush; one that is neither returned nor there was left out.
pub(super) async fn insert(
    tx: &DatabaseTransaction,
    records: &[Record],
    header: &FlushHeader,
    written: &mut [Written],
) -> Result<(), TxAbort> {
    let is_new = |place: &usize| written[*place].is_stored() && records[*place].lease.is_none();
    let mut places: Vec<usize> = (0..records.len()).filter(is_new).collect();
    if places.is_empty() {
        return Ok(());
    }
    // Of two records with one id the first gets it: one whose id was promised cannot have another.
    places.sort_by_key(|place| !records[*place].is_acknowledged);
    let new: Vec<&Record> = places.iter().map(|place| &records[*place]).collect();
    let backend = tx.get_database_backend();
    let statements = match backend {
        DatabaseBackend::Postgres => vec![postgres::insert_events(&new, &header.node)],
        _ => sqlite::insert_events(&new, &header.node),
    };
    let mut inserted = identities(tx, statements).await?;
    places.retain(|place| !inserted.remove(&identity(&records[*place])));
    if places.is_empty() {
        return Ok(());
    }
    plans::indexes_only(tx).await?;
    let there = existing(backend, places.iter().map(|place| records[*place].event.id));
    let there: HashMap<i64, Uuid> = identities(tx, vec![there]).await?.into_iter().collect();
    let mut collided = Vec::new();
    let mut missing = 0;
    for place in places {
        let (id, task_id) = identity(&records[place]);
        match there.get(&id) {
            Some(holder) if *holder == task_id => written[place] = Written::Repeated,
            Some(_) => collided.push((id, task_id)),
            None => missing += 1,
        }
    }
    if !collided.is_empty() {
        return Err(TxAbort::Collision(collided));
    }
    if missing > 0 {
        return Err(StoreError::unwritten("events", missing, new.len()).into());
    }
    Ok(())
}

fn identity(record: &Record) -> EventKey {
    (record.event.id, record.event.task_id)
}

/// The rows that these statements return, each as its id and its task.
async fn identities(tx: &DatabaseTransaction, statements: Vec<Statement>) -> Result<HashSet<EventKey>, DbErr> {
    let mut rows = HashSet::new();
    for statement in statements {
        for row in tx.query_all_raw(statement).await? {
            rows.insert((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        }
    }
    Ok(rows)
}

/// `id, task_id, status, lease_token, lease_boot is null, attempts` of the rows with these ids.
pub(super) fn existing(backend: DatabaseBackend, ids: impl Iterator<Item = i64>) -> Statement {
    let ids: Vec<i64> = ids.collect();
    let sql = format!(
        "SELECT id, task_id, status, lease_token, lease_boot, attempts FROM events WHERE id IN ({})",
        list(&ids)
    );
    Statement::from_string(backend, sql)
}
