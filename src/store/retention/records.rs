//! Old rows beside events: attempts, the audit log, jobs.

use std::time::{Duration, Instant};

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement};

use super::run::{PruneStep, Removed, hold, note};
use super::walk::{Walk, ids_of};
use crate::store::archive::{Archive, ArchivedLine, ArchivedPiece, ArchivedTable, GoingRows, Withdrawal};
use crate::store::dialect::{list, micros_ago, placeholder};
use crate::store::open::Conn;
use crate::store::{Store, StoreError, key_clock};

/// Ids of events whose attempts are looked at for one piece.
const SPAN: i64 = 20_000;

/// What is removed, and at which age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldRecords {
    /// Failed attempts of events that stay.
    Attempts(Duration),
    /// Rows of the audit log.
    Audit(Duration),
    /// Jobs that ended.
    Jobs(Duration),
}

impl OldRecords {
    fn table(self) -> ArchivedTable {
        match self {
            Self::Attempts(_) => ArchivedTable::Attempts,
            Self::Audit(_) => ArchivedTable::Audit,
            Self::Jobs(_) => ArchivedTable::Jobs,
        }
    }
}

/// Records that go next.
struct RecordsLook {
    going: GoingRows,
    /// For attempts: their walk, and how far it comes with them; `None` if it is at its end.
    walk: Option<(Walk, Option<i64>)>,
}

impl Store {
    /// Removes the next records that are old, at most about `rows`; `None` if another node is at it by now.
    pub async fn prune_records(
        &self,
        boot_id: Uuid,
        records: OldRecords,
        rows: usize,
        archive: Option<Archive>,
        wait: Duration,
    ) -> Result<Option<PruneStep>, StoreError> {
        let look = move |conn: Conn| async move { look(&conn, records, rows).await };
        let RecordsLook { mut going, walk } = self.run("look for old records", wait, look).await?;
        let mut archived = None;
        let mut withdrawal = Withdrawal::default();
        if let Some(archive) = archive {
            let piece = self.archive_records(&archive, &mut going, wait).await?;
            withdrawal = archive.withdrawal(&piece);
            archived = Some(piece);
        }
        let began = Instant::now();
        let removal = self.transaction("removal of old records", wait, move |tx| {
            Box::pin(async move {
                let Some(run) = hold(tx, boot_id).await? else { return Ok(None) };
                let in_archive = archived.as_ref().map_or(0, ArchivedPiece::rows);
                let count = remove(tx, &going, archived).await?;
                let goes_on = match walk {
                    Some((mut walk, to)) => {
                        walk.cursor = to.unwrap_or(walk.cursor);
                        walk.write(tx, to.is_some()).await?;
                        to.is_some()
                    }
                    None => count >= rows as u64,
                };
                let table = records.table().name();
                let removed: Removed = (count > 0).then(|| (table.to_owned(), count)).into_iter().collect();
                note(tx, &run, &removed).await?;
                Ok(Some(PruneStep { removed, archived: in_archive, goes_on, took: began.elapsed() }))
            })
        });
        let removal = removal.await;
        withdrawal.unless_removed(&removal);
        removal
    }

    /// Writes records into the archive, and leaves out those that cannot be read.
    async fn archive_records(
        &self,
        archive: &Archive,
        going: &mut GoingRows,
        wait: Duration,
    ) -> Result<ArchivedPiece, StoreError> {
        let sought = going.clone();
        let read = self.run("read old records", wait, |conn| async move { sought.read(conn.read()).await });
        let rows = read.await?;
        if !rows.unreadable.is_empty() {
            let key = if going.table == ArchivedTable::Attempts { "event_id" } else { "id" };
            going.condition = format!("{} AND {key} NOT IN ({})", going.condition, list(&rows.unreadable));
        }
        let stays = |line: &ArchivedLine| line.number("event_id").is_some_and(|id| rows.unreadable.contains(&id));
        let lines = rows.lines.into_iter().filter(|line| !stays(line)).collect();
        archive.write(self, lines, wait).await
    }
}

async fn remove(
    tx: &DatabaseTransaction,
    going: &GoingRows,
    archived: Option<ArchivedPiece>,
) -> Result<u64, StoreError> {
    let Some(archived) = archived else {
        let sql = format!("DELETE FROM {} WHERE {}", going.table.name(), going.condition);
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, going.values.clone());
        return Ok(tx.execute_raw(statement).await?.rows_affected());
    };
    let rows = going.remove(tx).await?;
    archived.confirm(tx, &rows).await?;
    Ok(rows.len() as u64)
}

async fn look(conn: &Conn, records: OldRecords, rows: usize) -> Result<RecordsLook, StoreError> {
    let backend = conn.backend();
    let table = records.table();
    Ok(match records {
        OldRecords::Attempts(age) => {
            let (walk, span) = look_for_attempts(conn, age, rows).await?;
            let (first, last) = span.unwrap_or((0, -1));
            let [from, to, since] = [1, 2, 3].map(|n| placeholder(backend, n));
            let condition = format!(
                "event_id >= {from} AND event_id <= {to} AND ended_at <= {}",
                key_clock::expiry_sql(backend, &since)
            );
            let values = vec![first.into(), last.into(), micros_ago(age)];
            RecordsLook { going: GoingRows { table, condition, values }, walk: Some((walk, span.map(|(_, to)| to))) }
        }
        OldRecords::Audit(age) => RecordsLook { going: oldest(backend, table, "at", "TRUE", age, rows), walk: None },
        OldRecords::Jobs(age) => {
            let going = oldest(backend, table, "finished_at", "status <> 'running'", age, rows);
            RecordsLook { going, walk: None }
        }
    })
}

/// The first and the last event whose attempts are next.
async fn look_for_attempts(conn: &Conn, age: Duration, rows: usize) -> Result<(Walk, Option<(i64, i64)>), StoreError> {
    let walk = Walk::read(conn, "attempts", &format!("{}s", age.as_secs()), age).await?;
    let Some(first) = walk.next_id(conn, "attempts", "event_id").await? else { return Ok((walk, None)) };
    let end = first.saturating_add(SPAN).min(walk.bound);
    let backend = conn.backend();
    let sql = format!(
        "SELECT event_id FROM attempts WHERE event_id >= {} AND event_id < {} ORDER BY event_id LIMIT {rows}",
        placeholder(backend, 1),
        placeholder(backend, 2)
    );
    let ids = ids_of(conn, Statement::from_sql_and_values(backend, sql, [first.into(), end.into()])).await?;
    let last = ids.last().copied().filter(|_| ids.len() == rows).unwrap_or(end - 1);
    Ok((walk, Some((first, last))))
}

/// Those of the oldest rows that are older than `age` and match.
fn oldest(
    backend: DbBackend,
    table: ArchivedTable,
    time: &str,
    condition: &str,
    age: Duration,
    rows: usize,
) -> GoingRows {
    let condition = format!(
        "id IN (SELECT id FROM (SELECT * FROM {table} ORDER BY id LIMIT {most}) AS oldest \
         WHERE {condition} AND {time} <= {since} LIMIT {rows})",
        table = table.name(),
        most = rows.saturating_mul(2),
        since = key_clock::expiry_sql(backend, &placeholder(backend, 1)),
    );
    GoingRows { table, condition, values: vec![micros_ago(age)] }
}
