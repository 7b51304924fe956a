//! Old events: a walk along their ids for each age by which some go.

use std::time::{Duration, Instant};

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

use super::partition::{self, PartitionLook};
use super::run::{PruneStep, Removed, hold, note};
use super::terms::EventTerms;
use super::walk::{Walk, ids_of};
use crate::store::archive::{Archive, ArchivedLine, ArchivedPiece, ArchivedTable, GoingRows, Withdrawal, json_text};
use crate::store::dialect::{list, placeholder};
use crate::store::open::Conn;
use crate::store::{Store, StoreError};

/// Ids that are looked at for one piece.
const SPAN: i64 = 5_000;

/// Bytes of payloads that are archived at once, but for one that is larger.
const ARCHIVED_BYTES: i64 = 4 << 20;

/// What the look for a piece has found.
enum Look {
    /// Nothing more.
    Nothing,
    /// These, with the last id of what was looked at.
    Old(Vec<i64>, i64),
    /// A partition of which all may go.
    Partition(PartitionLook),
}

impl Store {
    /// Removes the next events that go, at most `rows`, or on PostgreSQL a whole partition where nothing is archived;
    /// `None` if another node is at it by now.
    pub async fn prune_events(
        &self,
        boot_id: Uuid,
        terms: EventTerms,
        rows: usize,
        archive: Option<Archive>,
        wait: Duration,
    ) -> Result<Option<PruneStep>, StoreError> {
        let sought = terms.clone();
        let in_rows = archive.is_some();
        let look = move |conn: Conn| async move { look(&conn, &sought, rows, in_rows).await };
        let (mut walk, mut look) = self.run("look for old events", wait, look).await?;
        let mut archived = None;
        let mut withdrawal = Withdrawal::default();
        if let (Some(archive), Look::Old(ids, to)) = (archive, &mut look) {
            let piece = self.archive_events(&archive, &terms, ids, to, wait).await?;
            withdrawal = archive.withdrawal(&piece);
            archived = Some(piece);
        }
        let began = Instant::now();
        let removal = self.transaction("removal of old events", wait, move |tx| {
            Box::pin(async move {
                let Some(run) = hold(tx, boot_id).await? else { return Ok(None) };
                let mut step = PruneStep { goes_on: true, ..PruneStep::default() };
                match look {
                    Look::Nothing => step.goes_on = false,
                    Look::Old(ids, to) => {
                        walk.cursor = to;
                        step.archived = archived.as_ref().map_or(0, ArchivedPiece::rows);
                        step.removed = remove(tx, &terms, &ids, archived).await?;
                    }
                    Look::Partition(PartitionLook::Grows) => step.goes_on = false,
                    Look::Partition(look) => step.removed = partition::apply(tx, &mut walk, look, terms.age()).await?,
                }
                walk.write(tx, step.goes_on).await?;
                note(tx, &run, &step.removed).await?;
                step.took = began.elapsed();
                Ok(Some(step))
            })
        });
        let removal = removal.await;
        withdrawal.unless_removed(&removal);
        removal
    }

    /// Writes events into the archive with what hangs on them, and leaves out those that it cannot take now.
    async fn archive_events(
        &self,
        archive: &Archive,
        terms: &EventTerms,
        ids: &mut Vec<i64>,
        to: &mut i64,
        wait: Duration,
    ) -> Result<ArchivedPiece, StoreError> {
        let sought = ids.clone();
        let terms = terms.clone();
        let read = self.run("read old events", wait, |conn| async move {
            let fitting = fitting(&conn, &sought).await?;
            let mut events = events_going(conn.backend(), &terms, &fitting).read(conn.read()).await?;
            for hanging in hanging_on(&ids_in(&events.lines)) {
                let rows = hanging.read(conn.read()).await?;
                events.lines.extend(rows.lines);
                events.unreadable.extend(rows.unreadable);
            }
            // Of an event with something unreadable nothing goes.
            let of_event = |line: &ArchivedLine| line.number("event_id").or_else(|| line.number("id"));
            events.lines.retain(|line| of_event(line).is_some_and(|id| !events.unreadable.contains(&id)));
            Ok((fitting, events.lines))
        });
        let (fitting, lines) = read.await?;
        if fitting.len() < ids.len() {
            *to = fitting.last().copied().unwrap_or(*to);
        }
        *ids = ids_in(&lines);
        archive.write(self, lines, wait).await
    }
}

/// The events among these rows.
fn ids_in(lines: &[ArchivedLine]) -> Vec<i64> {
    lines.iter().filter(|line| line.table == ArchivedTable::Events).filter_map(|line| line.number("id")).collect()
}

/// The first of these events, as many as are archived at once.
async fn fitting(conn: &Conn, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let [payload, properties] = ["payload", "properties"].map(|column| match conn.backend() {
        DbBackend::Postgres => format!("octet_length({})", json_text(column)),
        _ => format!("octet_length({column})"),
    });
    let sql = format!(
        "SELECT id, CAST(COALESCE({payload}, 0) + COALESCE({properties}, 0) AS bigint) FROM events \
         WHERE id IN ({}) ORDER BY id",
        list(ids)
    );
    let mut fitting = Vec::new();
    let mut bytes = 0;
    for row in conn.search(Statement::from_string(conn.backend(), sql)).await? {
        bytes += row.try_get_by_index::<i64>(1)?;
        if bytes > ARCHIVED_BYTES && !fitting.is_empty() {
            break;
        }
        fitting.push(row.try_get_by_index(0)?);
    }
    Ok(fitting)
}

/// Those of the events that still may go.
fn events_going(backend: DbBackend, terms: &EventTerms, ids: &[i64]) -> GoingRows {
    let (condition, values) = terms.condition(backend, 1);
    let condition = format!("id IN ({}) AND {condition}", if ids.is_empty() { "0".to_owned() } else { list(ids) });
    GoingRows { table: ArchivedTable::Events, condition, values }
}

/// What hangs on events.
fn hanging_on(ids: &[i64]) -> Vec<GoingRows> {
    let tables = [ArchivedTable::Attempts, ArchivedTable::Replays].into_iter().filter(|_| !ids.is_empty());
    tables
        .map(|table| GoingRows { table, condition: format!("event_id IN ({})", list(ids)), values: Vec::new() })
        .collect()
}

async fn look(conn: &Conn, terms: &EventTerms, rows: usize, in_rows: bool) -> Result<(Walk, Look), StoreError> {
    let walk = Walk::read(conn, &terms.name(), &terms.rule.text(), terms.age()).await?;
    let Some(first) = walk.next_id(conn, "events", "id").await? else { return Ok((walk, Look::Nothing)) };
    if conn.backend() == DbBackend::Postgres
        && !in_rows
        && let Some(look) = partition::look(conn, &walk, terms, first, rows).await?
    {
        return Ok((walk, Look::Partition(look)));
    }
    let end = first.saturating_add(SPAN).min(walk.bound);
    let (condition, mut values) = terms.condition(conn.backend(), 3);
    values.splice(0..0, [first.into(), end.into()]);
    let [from, to] = [1, 2].map(|n| placeholder(conn.backend(), n));
    let sql =
        format!("SELECT id FROM events WHERE id >= {from} AND id < {to} AND {condition} ORDER BY id LIMIT {rows}");
    let ids = ids_of(conn, Statement::from_sql_and_values(conn.backend(), sql, values)).await?;
    let is_full = ids.len() == rows;
    let to = ids.last().copied().filter(|_| is_full).unwrap_or(end - 1);
    Ok((walk, Look::Old(ids, to)))
}

/// Removes those of the events that still may go, with what hangs on them; of what was archived, all.
async fn remove(
    tx: &DatabaseTransaction,
    terms: &EventTerms,
    ids: &[i64],
    archived: Option<ArchivedPiece>,
) -> Result<Removed, StoreError> {
    if ids.is_empty() {
        return Ok(Removed::new());
    }
    let going = events_going(tx.get_database_backend(), terms, ids);
    match archived {
        Some(archived) => remove_archived(tx, &going, ids, archived).await,
        None => Ok(remove_for_good(tx, &going).await?),
    }
}

async fn remove_archived(
    tx: &DatabaseTransaction,
    going: &GoingRows,
    ids: &[i64],
    archived: ArchivedPiece,
) -> Result<Removed, StoreError> {
    let mut rows = going.remove(tx).await?;
    let mut removed = Removed::new();
    for row in &rows {
        *removed.entry(row.text("status").unwrap_or_default()).or_default() += 1;
    }
    for hanging in hanging_on(ids) {
        rows.extend(hanging.remove(tx).await?);
    }
    archived.confirm(tx, &rows).await?;
    Ok(removed)
}

async fn remove_for_good(tx: &DatabaseTransaction, going: &GoingRows) -> Result<Removed, DbErr> {
    let backend = tx.get_database_backend();
    let sql = format!("DELETE FROM events WHERE {} RETURNING id, status", going.condition);
    let rows = tx.query_all_raw(Statement::from_sql_and_values(backend, sql, going.values.clone())).await?;
    let mut removed = Removed::new();
    let mut gone = Vec::with_capacity(rows.len());
    for row in &rows {
        gone.push(row.try_get_by_index(0)?);
        *removed.entry(row.try_get_by_index(1)?).or_default() += 1;
    }
    for hanging in hanging_on(&gone) {
        let sql = format!("DELETE FROM {} WHERE {}", hanging.table.name(), hanging.condition);
        tx.execute_raw(Statement::from_string(backend, sql)).await?;
    }
    Ok(removed)
}
