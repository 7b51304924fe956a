//! The outcomes of claimed events: written only under their leases, and told apart from what comes too late.

use std::collections::HashSet;

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, QueryResult, Statement};
use uuid::Uuid;

use super::{FlushHeader, Record, Stop, Written, existing, mark, postgres, sqlite};

/// Updates the claimed records under their leases; a row that did not change had the outcome already, or is fenced.
pub(super) async fn update(
    tx: &DatabaseTransaction,
    records: &[Record],
    header: &FlushHeader,
    written: &mut [Written],
) -> Result<(), Stop> {
    let mut claimed: Vec<&Record> = records.iter().filter(|record| record.lease.is_some()).collect();
    if claimed.is_empty() {
        return Ok(());
    }
    claimed.sort_by_key(|record| record.event.id);
    let statements = match tx.get_database_backend() {
        DatabaseBackend::Postgres => vec![postgres::update_events(&claimed, &header.node)],
        _ => sqlite::update_events(&claimed, &header.node),
    };
    let updated = leases_returned(tx, statements).await?;
    let is_updated = |record: &Record| updated.contains(&(record.event.id, record.lease));
    claimed.retain(|record| !is_updated(record));
    if claimed.is_empty() {
        return Ok(());
    }
    let ids = claimed.iter().map(|record| record.event.id);
    let rows = tx.query_all_raw(existing(tx.get_database_backend(), ids)).await?;
    let mut ours = HashSet::new();
    for record in &claimed {
        if has_outcome_already(&rows, record)? {
            ours.insert(record.event.id);
        }
    }
    let is_unchanged = |record: &Record| record.lease.is_some() && !is_updated(record);
    mark(records, written, |record| is_unchanged(record) && ours.contains(&record.event.id), Written::Repeated);
    mark(records, written, |record| is_unchanged(record) && !ours.contains(&record.event.id), Written::Fenced);
    Ok(())
}

/// Whether the row carries this very outcome: same token, lease given back, same status and attempts.
fn has_outcome_already(rows: &[QueryResult], record: &Record) -> Result<bool, DbErr> {
    for row in rows {
        if row.try_get_by_index::<i64>(0)? != record.event.id {
            continue;
        }
        let status: String = row.try_get_by_index(2)?;
        let token: Option<Uuid> = row.try_get_by_index(3)?;
        let lease_boot: Option<Uuid> = row.try_get_by_index(4)?;
        let attempts: i32 = row.try_get_by_index(5)?;
        return Ok(token == record.lease
            && lease_boot.is_none()
            && status == record.outcome.status.as_str()
            && i64::from(attempts) == i64::from(record.outcome.attempts));
    }
    Ok(false)
}

/// Ids and tokens (as text: a returned expression has no type on SQLite) of the rows that were updated: a stale record of an event may be in the flush beside a fresh one.
async fn leases_returned(
    tx: &DatabaseTransaction,
    statements: Vec<Statement>,
) -> Result<HashSet<(i64, Option<Uuid>)>, DbErr> {
    let mut leases = HashSet::new();
    for statement in statements {
        for row in tx.query_all_raw(statement).await? {
            let token: String = row.try_get_by_index(1)?;
            let token = Uuid::parse_str(&token).map_err(|error| DbErr::Type(format!("lease {token:?}: {error}")))?;
            leases.insert((row.try_get_by_index(0)?, Some(token)));
        }
    }
    Ok(leases)
}
