//! The feed: what flushes did, in the order of their transactions.
//!
//! Guarantees: from a position on, every flush is met once and in order. On PostgreSQL nothing is read from the first
//! transaction on that is still open, else what it commits later would lie behind the reader; on SQLite one connection
//! writes, and numbers its flushes.
//! Not guaranteed: an event is shown as it is when the feed is read, which may be later than the flush; a reader of the
//! newest events learns when some are left out.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, QueryResult, Statement};

use super::dialect::{micros_ago, now_plus_micros_sql, placeholder};
use super::filters::{Filter, Filters, name};
use super::open::Conn;
use super::reading::Cells;
use super::{Store, StoreError};
use crate::domain::outcome::Status;

/// Flushes that are read at once.
const FLUSHES_MAX: usize = 8;
/// Events that one statement names.
const IDS_MAX: usize = 1_000;
/// Flushes that a look for the newest events takes in, and events of them, two statements of them.
const NEWEST_FLUSHES_MAX: usize = 64;
const NEWEST_IDS_MAX: usize = 2 * IDS_MAX;

/// A reader's position in the feed: in a flush, after this many of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedPosition {
    /// The flush.
    pub flush: i64,
    /// Events of it that were delivered.
    pub delivered: usize,
}

/// An event that a flush wrote, or answered a duplicate with.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedEvent {
    /// The reader's position after it.
    pub place: FeedPosition,
    /// Its number.
    pub id: i64,
    /// Its user.
    pub user_id: i64,
    /// Its name.
    pub event_name: Option<String>,
    /// Its type.
    pub event_type: Option<String>,
    /// Its state now.
    pub status: Status,
    /// The code of its error.
    pub error_code: Option<String>,
    /// Attempts charged so far.
    pub attempts: i32,
    /// When it was processed.
    pub processed_at: Option<DateTime<Utc>>,
    /// How often an operator had it processed again.
    pub generation: i32,
}

impl FeedPosition {
    /// After all of a flush.
    pub fn after(flush: i64) -> Self {
        Self { flush, delivered: usize::MAX }
    }
}

impl Store {
    /// The last flush that the feed has come to, 0 if there is none.
    pub async fn feed_head(&self, wait: Duration) -> Result<i64, StoreError> {
        self.run("read the feed's head", wait, |conn| async move {
            let backend = conn.backend();
            let sql = format!("SELECT COALESCE(MAX(xid), 0) FROM flushes WHERE {}", settled(backend));
            let row = conn.read().query_one_raw(Statement::from_string(backend, sql)).await?;
            Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
        })
        .await
    }

    /// Whether `flush` is there and younger than `age`, so that nothing after it is gone.
    pub async fn feed_reaches(&self, flush: i64, age: Duration, wait: Duration) -> Result<bool, StoreError> {
        self.run("look for a place in the feed", wait, move |conn| async move {
            let backend = conn.backend();
            let sql = format!(
                "SELECT 1 FROM flushes WHERE xid = {} AND flushed_at > {} AND {}",
                placeholder(backend, 1),
                now_plus_micros_sql(backend, &placeholder(backend, 2)),
                settled(backend),
            );
            let statement = Statement::from_sql_and_values(backend, sql, [flush.into(), micros_ago(age)]);
            Ok(conn.read().query_one_raw(statement).await?.is_some())
        })
        .await
    }

    /// The matching events of some flushes from a position on, and the position after them; the same one at the end.
    pub async fn feed(
        &self,
        after: FeedPosition,
        filters: &Filters,
        wait: Duration,
    ) -> Result<(Vec<FeedEvent>, FeedPosition), StoreError> {
        let filters = filters.clone();
        self.run("read the feed", wait, move |conn| async move {
            let mut named = Vec::new();
            let mut place = after;
            for (flush, ids) in flushes(&conn, after.flush).await? {
                let delivered = if flush == after.flush { after.delivered } else { 0 };
                named.extend(
                    ids.iter()
                        .enumerate()
                        .skip(delivered)
                        .map(|(at, id)| (FeedPosition { flush, delivered: at + 1 }, *id)),
                );
                place = FeedPosition::after(flush);
            }
            let mut events = Vec::new();
            for some in named.chunks(IDS_MAX) {
                events.extend(read(&conn, some, &filters).await?);
            }
            Ok((events, place))
        })
        .await
    }

    /// The newest matching events of the flushes after `after` up to `until`, at most `most` of them, the oldest of these
    /// first, and whether these are all. However many flushes there are, the cost is bounded.
    pub async fn feed_newest(
        &self,
        (after, until): (i64, i64),
        filters: &Filters,
        most: usize,
        wait: Duration,
    ) -> Result<(Vec<FeedEvent>, bool), StoreError> {
        let filters = filters.clone();
        self.run("read the newest of the feed", wait, move |conn| async move {
            let flushes = newest_flushes(&conn, (after, until), filters.status).await?;
            let mut is_all = flushes.len() < NEWEST_FLUSHES_MAX;
            // Unless something is to be left out, the newest of the flushes are the newest that match.
            let room = if filters == Filters::default() { most } else { NEWEST_IDS_MAX };
            let newest_first = |(flush, ids): &(i64, Vec<i64>)| {
                let place = FeedPosition::after(*flush);
                ids.iter().rev().map(move |id| (place, *id)).collect::<Vec<_>>()
            };
            let mut named: Vec<(FeedPosition, i64)> = flushes.iter().flat_map(newest_first).take(room + 1).collect();
            is_all &= named.len() <= room;
            named.truncate(room);
            let mut events = Vec::new();
            for some in named.chunks(IDS_MAX) {
                events.extend(read(&conn, some, &filters).await?);
            }
            is_all &= events.len() <= most;
            events.truncate(most);
            events.reverse();
            Ok((events, is_all))
        })
        .await
    }

    /// The events of these ids that there are, as they stand.
    pub async fn feed_events(&self, ids: Vec<i64>, wait: Duration) -> Result<Vec<FeedEvent>, StoreError> {
        self.run("read watched events", wait, move |conn| async move {
            let named: Vec<(FeedPosition, i64)> = ids.into_iter().map(|id| (FeedPosition::after(0), id)).collect();
            let mut events = Vec::new();
            for some in named.chunks(IDS_MAX) {
                events.extend(read(&conn, some, &Filters::default()).await?);
            }
            Ok(events)
        })
        .await
    }
}

/// The condition that a flush, and every one before it, is committed.
fn settled(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
        _ => "TRUE",
    }
}

async fn flushes(conn: &Conn, from: i64) -> Result<Vec<(i64, Vec<i64>)>, DbErr> {
    let backend = conn.backend();
    let rest = format!("xid >= {} AND {} ORDER BY xid LIMIT {FLUSHES_MAX}", placeholder(backend, 1), settled(backend),);
    flushes_where(conn, &rest, &[from]).await
}

/// The newest first; with `status`, those that brought an event there.
async fn newest_flushes(
    conn: &Conn,
    (after, until): (i64, i64),
    status: Option<Status>,
) -> Result<Vec<(i64, Vec<i64>)>, DbErr> {
    let backend = conn.backend();
    let brought = status.map_or_else(String::new, |status| format!("AND {} > 0", status.as_str()));
    let rest = format!(
        "xid > {} AND xid <= {} {brought} ORDER BY xid DESC LIMIT {NEWEST_FLUSHES_MAX}",
        placeholder(backend, 1),
        placeholder(backend, 2),
    );
    flushes_where(conn, &rest, &[after, until]).await
}

async fn flushes_where(conn: &Conn, rest: &str, values: &[i64]) -> Result<Vec<(i64, Vec<i64>)>, DbErr> {
    let backend = conn.backend();
    let json = if backend == DbBackend::Postgres { "::text" } else { "" };
    let sql = format!("SELECT xid, event_ids{json} FROM flushes WHERE {rest}");
    let values = values.iter().map(|value| (*value).into());
    let rows = conn.read().query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    let flush = |row: &QueryResult| {
        let mut cells = Cells::plain(row);
        let xid = cells.get();
        let ids = cells.json(|ids| serde_json::from_str(&ids));
        // One that cannot be read has nothing to deliver, and holds up no other.
        (xid, ids.unwrap_or_default())
    };
    Ok(rows.iter().map(flush).collect())
}

/// Those of the `named` events that match, in their order; one that a flush names twice is returned twice.
async fn read(conn: &Conn, named: &[(FeedPosition, i64)], filters: &Filters) -> Result<Vec<FeedEvent>, StoreError> {
    let mut filter = Filter::new(conn.backend());
    let ids: Vec<i64> = named.iter().map(|(_, id)| *id).collect();
    name(&mut filter, &ids, filters);
    let columns = "id, user_id, event_name, event_type, status, error_code, attempts, processed_at, generation";
    let rows = conn.search(filter.select(columns, "events", "")).await?;
    let by_id: HashMap<i64, FeedEvent> = rows.iter().map(feed_event).map(|event| (event.id, event)).collect();
    let delivered = |(place, id): &(FeedPosition, i64)| Some(FeedEvent { place: *place, ..by_id.get(id)?.clone() });
    Ok(named.iter().filter_map(delivered).collect())
}

/// What cannot be read of an event is empty: it is delivered all the same.
fn feed_event(row: &QueryResult) -> FeedEvent {
    let mut cells = Cells::plain(row);
    FeedEvent {
        place: FeedPosition::after(0),
        id: cells.get(),
        user_id: cells.get(),
        event_name: cells.get(),
        event_type: cells.get(),
        status: cells.status(),
        error_code: cells.get(),
        attempts: cells.get(),
        processed_at: cells.time_or_none(),
        generation: cells.get(),
    }
}
