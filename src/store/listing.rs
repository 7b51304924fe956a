//! The list of events: filtered, in the order of one index, read in slices.
//!
//! Guarantees: a list walks one index, its *scan plan*, from one position on, and every event that matches throughout
//! is met exactly once, because the columns of the order never change in a row. A slice looks at a bounded number of
//! rows, however few of them match, so that no list waits for a scan of the table.
//! Not guaranteed: that an event which is stored later is met; a spooled one may come with a time of receipt that a
//! list has passed.

mod scan_plan;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement};

use self::scan_plan::ScanPlan;
use super::error::UnreadableEvent;
use super::events::StoredEvent;
use super::filters::{Filter, Filters, matches, range};
use super::open::Conn;
use super::reading::{self, ReadEvent, time};
use super::{Store, StoreError};
use crate::domain::outcome::Status;

/// Rows that one slice looks at when its plan does not decide all filters.
const SLICE_ROWS: usize = 5_000;

/// Rows that a piece of a job looks at: its transaction holds up all others on SQLite.
const JOB_ROWS: usize = 2_000;

/// The direction of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOrder {
    /// The oldest first.
    Asc,
    /// The newest first.
    Desc,
}

/// A list: with a time range in the order of receipt, else in the order of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Which events.
    pub filters: Filters,
    /// In which direction.
    pub order: ListOrder,
}

/// An event's position in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPosition {
    /// When it was received; `None` if that cannot be read.
    pub received_at: Option<DateTime<Utc>>,
    /// Its number.
    pub id: i64,
}

/// A piece of a list.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The events that match with their positions, those that cannot be read among them.
    pub events: Vec<(ListPosition, Result<StoredEvent, UnreadableEvent>)>,
    /// Where the next slice begins; `None` at the end of the list.
    pub next: Option<ListPosition>,
    /// Rows that were looked at.
    pub looked_at: usize,
}

impl Store {
    /// The events of `query` after a position, at most `limit` of them, and with `bytes` of JSON; there may be fewer,
    /// or none, before the end of the list.
    pub async fn list_events(
        &self,
        query: &ListQuery,
        after: Option<ListPosition>,
        limit: usize,
        bytes: usize,
        wait: Duration,
    ) -> Result<Slice, StoreError> {
        let plan = ScanPlan::of(&query.filters);
        let rows_max = if plan.decides(&query.filters) { limit } else { SLICE_ROWS };
        let look = search_statement(self.backend(), &ListSearch::of(query), after, rows_max);
        let seen = self.run("list events", wait, |conn| async move { Ok(scanned(&conn.search(look).await?)?) }).await?;
        let (places, next) = cut(&seen, limit, rows_max);
        let filters = query.filters.clone();
        let room = self.room_for(bytes);
        let ids: Vec<i64> = places.iter().map(|place| place.id).collect();
        // A row may have changed since it was seen.
        let read = self.run("read listed events", wait * reading::PATIENCE, move |conn| async move {
            reading::read::<StoredEvent>(&conn, &ids, &filters, room).await
        });
        let read = read.await?;
        let next = if read.looked_at < places.len() { places[..read.looked_at].last().copied() } else { next };
        let mut places = places.into_iter();
        let placed = |event: ReadEvent<StoredEvent>| {
            let place = places.find(|place| place.id == event.id)?;
            Some((place, event.readable()))
        };
        let events = read.events.into_iter().filter_map(placed).collect();
        Ok(Slice { events, next, looked_at: seen.len() })
    }

    /// How the database looks for the events of a slice: the lines of its plan, on PostgreSQL with what it read.
    pub async fn explain_list(
        &self,
        query: &ListQuery,
        after: Option<ListPosition>,
        wait: Duration,
    ) -> Result<Vec<String>, StoreError> {
        let statement = search_statement(self.backend(), &ListSearch::of(query), after, SLICE_ROWS);
        self.run("explain a list", wait, move |conn| async move { explain(&conn, statement).await }).await
    }
}

/// The lines of the plan of a job's walk.
pub(super) async fn explain_walk(
    conn: &Conn,
    filters: &Filters,
    within: &Within<'_>,
    after: Option<ListPosition>,
) -> Result<Vec<String>, StoreError> {
    let look = ListSearch { filters, order: ListOrder::Asc, within: Some(within) };
    explain(conn, self::search_statement(conn.backend(), &look, after, JOB_ROWS)).await
}

async fn explain(conn: &Conn, statement: Statement) -> Result<Vec<String>, StoreError> {
    let (explain, column) = match conn.backend() {
        DbBackend::Postgres => ("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF)", 0),
        _ => ("EXPLAIN QUERY PLAN", 3),
    };
    let statement = Statement { sql: format!("{explain} {}", statement.sql), ..statement };
    let rows = conn.search(statement).await?;
    Ok(rows.iter().map(|row| row.try_get_by_index(column)).collect::<Result<_, _>>()?)
}

/// Which events a job walks, the oldest first: those of its list that were stored when it was made.
pub(super) struct Within<'a> {
    /// In one of these states.
    pub states: &'a [Status],
    /// Received before this time, up to this id.
    pub until: ListPosition,
}

/// The positions of the next events of `filters` that lie `within`, at most `limit` of them; `None` at their end. With
/// a time range `filters` must end it no later than `within` does.
pub(super) async fn scan_matches(
    tx: &DatabaseTransaction,
    filters: &Filters,
    within: &Within<'_>,
    after: Option<ListPosition>,
    limit: usize,
) -> Result<(Vec<ListPosition>, Option<ListPosition>), DbErr> {
    let backend = tx.get_database_backend();
    let look = search_statement(
        backend,
        &ListSearch { filters, order: ListOrder::Asc, within: Some(within) },
        after,
        JOB_ROWS,
    );
    let seen = scanned(&tx.query_all_raw(look).await?)?;
    Ok(cut(&seen, limit, JOB_ROWS))
}

/// Reads what [`search_statement`] selects: the position of each row, and whether it matches.
fn scanned(rows: &[QueryResult]) -> Result<Vec<(ListPosition, bool)>, DbErr> {
    let read = |row: &QueryResult| {
        let place = ListPosition { id: row.try_get_by_index(0)?, received_at: time(row, 1).flatten() };
        Ok((place, row.try_get_by_index::<i32>(2)? == 1))
    };
    rows.iter().map(read).collect()
}

/// The first `limit` matches of what was `seen`, and where the next slice begins.
fn cut(seen: &[(ListPosition, bool)], limit: usize, rows_max: usize) -> (Vec<ListPosition>, Option<ListPosition>) {
    let mut matching = Vec::new();
    for (place, is_match) in seen {
        if *is_match {
            matching.push(*place);
        }
        if matching.len() == limit {
            return (matching, Some(*place));
        }
    }
    let is_end = seen.len() < rows_max;
    (matching, seen.last().filter(|_| !is_end).map(|(place, _)| *place))
}

impl ListOrder {
    /// How the index's rows compare with those before them.
    fn comparison(self) -> char {
        if self == Self::Asc { '>' } else { '<' }
    }

    fn sql(self) -> &'static str {
        if self == Self::Asc { "ASC" } else { "DESC" }
    }
}

/// What is looked for, in which direction.
struct ListSearch<'a> {
    filters: &'a Filters,
    order: ListOrder,
    within: Option<&'a Within<'a>>,
}

impl<'a> ListSearch<'a> {
    fn of(query: &'a ListQuery) -> Self {
        Self { filters: &query.filters, order: query.order, within: None }
    }
}

/// `id, received_at, 1 if it matches` of the next rows of the scan.
fn search_statement(
    backend: DbBackend,
    wanted: &ListSearch<'_>,
    after: Option<ListPosition>,
    rows: usize,
) -> Statement {
    let ListSearch { filters, order, within } = *wanted;
    let plan = ScanPlan::of(filters);
    let mut look = Filter::new(backend);
    matches(&mut look, filters);
    if let Some(within) = within {
        let states: Vec<String> = within.states.iter().map(|status| format!("'{}'", status.as_str())).collect();
        look.and_sql(&format!("status IN ({})", states.join(",")));
        look.and("received_at <", within.until.received_at.into());
    }
    let select = format!("id, received_at, CASE WHEN {} THEN 1 ELSE 0 END", look.take_sql());
    match plan {
        ScanPlan::Received => {
            range(&mut look, filters);
            if let Some(place) = after {
                let id = look.bind(place.id.into());
                let time = match place.received_at {
                    Some(time) => look.bind(time.into()),
                    // As it stands there: for the order that is good enough.
                    None => format!("(SELECT received_at FROM events WHERE id = {id})"),
                };
                look.and_sql(&format!("(received_at, id) {} ({time}, {id})", order.comparison()));
            }
        }
        ScanPlan::Bad => look.and_sql("status IN ('failed', 'validation_error')"),
        ScanPlan::User => same(&mut look, "user_id", filters.user_id.into(), order, after),
        ScanPlan::Name => same(&mut look, "event_name", filters.event_name.clone().into(), order, after),
        ScanPlan::Id => {}
    }
    if let Some(place) = after.filter(|_| plan != ScanPlan::Received) {
        look.and(&format!("id {}", order.comparison()), place.id.into());
    }
    if let Some(within) = within.filter(|_| plan != ScanPlan::Received) {
        look.and("id <=", within.until.id.into());
    }
    let direction = order.sql();
    let first = plan.column().map(|column| format!("{column} {direction}, ")).unwrap_or_default();
    look.select(&select, plan.table(backend), &format!("ORDER BY {first}id {direction} LIMIT {rows}"))
}

/// The rows with this value in `column`, from a position on, as a range in the order of (`column`, id).
///
/// On PostgreSQL not as an equation: it would leave an equal column out of the order and might then walk the primary key
/// past all other rows. And not as two bounds of the column: then the position would not be where the walk begins. SQLite
/// is told which index to take, and begins at a position only behind an equation: of two columns it uses the first one,
/// and would read everything up to the position with each slice.
fn same(look: &mut Filter, column: &str, value: sea_orm::Value, order: ListOrder, after: Option<ListPosition>) {
    let value = look.bind(value);
    if look.backend() == DbBackend::Sqlite {
        return look.and_sql(&format!("{column} = {value}"));
    }
    let (behind, ahead) = if order == ListOrder::Asc { ('>', '<') } else { ('<', '>') };
    match after {
        Some(place) => {
            let id = look.bind(place.id.into());
            look.and_sql(&format!("({column}, id) {behind} ({value}, {id}) AND {column} {ahead}= {value}"));
        }
        None => look.and_sql(&format!("{column} >= {value} AND {column} <= {value}")),
    }
}
