//! The outcomes of claimed events: written only under their leases, and distinguished from what comes too late.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction, DbErr, QueryResult, Statement};
use uuid::Uuid;

use super::super::{StoreError, plans};
use super::inserts::existing;
use super::record::{FlushHeader, Record, Written};
use super::stop::TxAbort;
use super::{postgres, sqlite};
use crate::domain::outcome::Status;

/// Updates the claimed records under their leases. A row that did not change has the outcome already, or is fenced; one
/// that is still under the lease was left out.
pub(super) async fn update(
    tx: &DatabaseTransaction,
    records: &[Record],
    header: &FlushHeader,
    written: &mut [Written],
) -> Result<(), TxAbort> {
    let mut places: Vec<usize> = (0..records.len()).filter(|place| records[*place].lease.is_some()).collect();
    if places.is_empty() {
        return Ok(());
    }
    places.sort_by_key(|place| records[*place].event.id);
    let claimed: Vec<&Record> = places.iter().map(|place| &records[*place]).collect();
    plans::indexes_only(tx).await?;
    let backend = tx.get_database_backend();
    let statements = match backend {
        DatabaseBackend::Postgres => vec![postgres::update_events(&claimed, &header.node)],
        _ => sqlite::update_events(&claimed, &header.node),
    };
    let mut updated = leases_returned(tx, statements).await?;
    places.retain(|place| !updated.remove(&(records[*place].event.id, records[*place].lease)));
    if places.is_empty() {
        return Ok(());
    }
    let rows = tx.query_all_raw(existing(backend, places.iter().map(|place| records[*place].event.id))).await?;
    let rows: HashMap<i64, LeaseRow> = rows.iter().map(LeaseRow::read).collect::<Result<_, _>>()?;
    let mut missing = 0;
    for place in places {
        let record = &records[place];
        let row = rows.get(&records[place].event.id);
        written[place] = match row {
            Some(row) if row.has_outcome_of(record) => Written::Repeated,
            Some(row) if row.is_leased_as(record) => {
                missing += 1;
                continue;
            }
            _ => Written::Fenced,
        };
    }
    if missing > 0 {
        return Err(StoreError::unwritten("events", missing, claimed.len()).into());
    }
    Ok(())
}

/// The lease and the outcome in a row that did not change.
struct LeaseRow {
    status: String,
    token: Option<Uuid>,
    boot: Option<Uuid>,
    attempts: i32,
}

impl LeaseRow {
    /// Its id, and the rest of what [`existing`] returns.
    fn read(row: &QueryResult) -> Result<(i64, Self), DbErr> {
        let status = row.try_get_by_index(2)?;
        let token = row.try_get_by_index(3)?;
        let boot = row.try_get_by_index(4)?;
        let attempts = row.try_get_by_index(5)?;
        Ok((row.try_get_by_index(0)?, Self { status, token, boot, attempts }))
    }

    /// Whether it carries this very outcome: same token, lease given back, same status and attempts.
    fn has_outcome_of(&self, record: &Record) -> bool {
        self.token == record.lease
            && self.boot.is_none()
            && self.status == record.outcome.status.as_str()
            && i64::from(self.attempts) == i64::from(record.outcome.attempts)
    }

    /// Whether it still waits for an outcome under this lease.
    fn is_leased_as(&self, record: &Record) -> bool {
        self.token == record.lease && self.boot.is_some() && self.status == Status::Pending.as_str()
    }
}

/// Ids and tokens (as text: a returned expression has no type on SQLite) of the rows that were updated: a stale record
/// of an event may be in the flush beside a fresh one.
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
