//! The spool's rows: a row per unit, with its size, and a row per event.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, TransactionTrait, Value};

use super::super::dialect::list;
use super::super::error::StoreError;
use super::sql::{next_number, statement};
use super::{EVENT_BYTES, SpoolLevel, SpooledUnit, deaths, format, parked};
use crate::clock;
use crate::domain::event::Event;

/// Rows of one INSERT.
const ROWS_MAX: usize = 100;

/// Units whose size is read at once.
const UNITS_MAX: usize = 1_000;

/// Events that are read at once to be verified.
const VERIFIED_MAX: usize = 500;

/// Inserts units under the next numbers; returns what was taken.
pub(super) async fn append(
    tx: &impl ConnectionTrait,
    units: &[Vec<Arc<Event>>],
    now: DateTime<Utc>,
) -> Result<SpoolLevel, StoreError> {
    let mut taken = SpoolLevel::default();
    let mut unit_rows = Vec::with_capacity(units.len());
    let mut event_rows = Vec::new();
    let first = next_number(tx).await?;
    for (number, events) in (first..).zip(units) {
        let bytes: u64 = events.iter().map(|event| bytes_of(event)).sum();
        taken.events += events.len() as u64;
        taken.bytes += bytes;
        unit_rows.push([number.into(), signed(events.len() as u64), signed(bytes), now.timestamp_micros().into()]);
        for (place, event) in events.iter().enumerate() {
            event_rows.push([event.id.into(), number.into(), signed(place as u64), format::write(event)?.into()]);
        }
    }
    insert(tx, "INSERT INTO units (number, events, bytes, spooled_us) VALUES", "", &unit_rows).await?;
    // An event that is here already was taken by an append whose answer was lost; another one under its id is refused,
    // because a body may not be NULL.
    let again = "ON CONFLICT (event_id) DO UPDATE SET body = CASE WHEN body = excluded.body THEN body END";
    insert(tx, "INSERT INTO events (event_id, unit, place, body) VALUES", again, &event_rows).await?;
    Ok(taken)
}

fn bytes_of(event: &Event) -> u64 {
    EVENT_BYTES + event.payload().map_or(0, |payload| payload.len() as u64)
}

fn signed(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

async fn insert(tx: &impl ConnectionTrait, head: &str, tail: &str, rows: &[[Value; 4]]) -> Result<(), DbErr> {
    for rows in rows.chunks(ROWS_MAX) {
        let sql = format!("{head} {} {tail}", vec!["(?,?,?,?)"; rows.len()].join(","));
        tx.execute_raw(statement(&sql, rows.iter().flatten().cloned())).await?;
    }
    Ok(())
}

/// The oldest units behind `after` that may be tried, within the bounds, the first one in any case; where none is left,
/// one of which a process died. One that was refused for longer than `refused_max` is to be given up.
pub(super) async fn head(
    file: &DatabaseConnection,
    after: i64,
    (events_max, bytes_max): (usize, usize),
    refused_max: Duration,
) -> Result<Vec<SpooledUnit>, StoreError> {
    let now = clock::now();
    let ready = parked::ready_sql(now);
    let gives_up = parked::gives_up_sql(now, refused_max);
    let mut units: Vec<SpooledUnit> = Vec::new();
    let mut events = 0;
    let mut bytes = 0;
    let sql = format!(
        "SELECT number, events, bytes, {gives_up} FROM units WHERE {ready} AND number > ? \
         AND number NOT IN (SELECT unit FROM deaths WHERE deaths > 0) ORDER BY number LIMIT ?"
    );
    for row in file.query_all_raw(statement(&sql, [after.into(), signed(UNITS_MAX as u64)])).await? {
        events += row.try_get_by_index::<i64>(1)?.unsigned_abs();
        bytes += row.try_get_by_index::<i64>(2)?.unsigned_abs();
        let is_over = events > events_max as u64 || bytes > bytes_max as u64;
        if is_over && !units.is_empty() {
            break;
        }
        units.push(SpooledUnit::new(row.try_get_by_index(0)?, row.try_get_by_index(3)?, 0));
    }
    if units.is_empty()
        && let Some((number, deaths)) = deaths::least(file, now).await?
    {
        units.push(SpooledUnit::new(number, false, deaths));
    }
    // Named one by one: the bodies of what lies between and is parked stay on the disk.
    let numbers: Vec<i64> = units.iter().map(|unit| unit.number).collect();
    let sql = format!("SELECT unit, body FROM events WHERE unit IN ({}) ORDER BY unit, place", list(&numbers));
    for row in file.query_all_raw(statement(&sql, [])).await? {
        let number: i64 = row.try_get_by_index(0)?;
        if let Some(unit) = units.iter_mut().find(|unit| unit.number == number) {
            match format::read(&row.try_get_by_index::<String>(1)?) {
                Ok(event) => unit.events.push(event),
                Err(_) => unit.is_readable = false,
            }
        }
    }
    Ok(units)
}

/// Deletes units and their events.
pub(super) async fn remove(file: &DatabaseConnection, units: &[i64]) -> Result<(), StoreError> {
    let numbers = list(units);
    let tx = file.begin().await?;
    tx.execute_unprepared(&format!("DELETE FROM events WHERE unit IN ({numbers})")).await?;
    tx.execute_unprepared(&format!("DELETE FROM units WHERE number IN ({numbers})")).await?;
    deaths::forget(&tx, units).await?;
    parked::forget(&tx, units).await?;
    Ok(tx.commit().await?)
}

/// The event `id`.
pub(super) async fn find(file: &DatabaseConnection, id: i64) -> Result<Option<Event>, StoreError> {
    let row = file.query_one_raw(statement("SELECT body FROM events WHERE event_id = ?", [id.into()])).await?;
    let body: Option<String> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    body.map(|body| format::read(&body)).transpose()
}

/// The ids of events that cannot be read.
pub(super) async fn unreadable(file: &DatabaseConnection) -> Result<Vec<i64>, StoreError> {
    let mut unreadable = Vec::new();
    let mut after = 0_i64;
    loop {
        let sql = "SELECT event_id, body FROM events WHERE event_id > ? ORDER BY event_id LIMIT ?";
        let rows = file.query_all_raw(statement(sql, [after.into(), signed(VERIFIED_MAX as u64)])).await?;
        if rows.is_empty() {
            return Ok(unreadable);
        }
        for row in rows {
            after = row.try_get_by_index(0)?;
            if format::read(&row.try_get_by_index::<String>(1)?).is_err() {
                unreadable.push(after);
            }
        }
    }
}

/// What is here.
pub(super) async fn level(file: &impl ConnectionTrait) -> Result<SpoolLevel, StoreError> {
    let sql = "SELECT COALESCE(SUM(events) FILTER (WHERE parked IS NULL), 0), COALESCE(SUM(bytes), 0), \
               COALESCE(SUM(events) FILTER (WHERE parked IS NOT NULL), 0), \
               MIN(spooled_us) FILTER (WHERE parked IS NULL) FROM units";
    let Some(row) = file.query_one_raw(statement(sql, [])).await? else { return Ok(SpoolLevel::default()) };
    let count = |place| row.try_get_by_index::<i64>(place).map(i64::unsigned_abs);
    let oldest: Option<i64> = row.try_get_by_index(3)?;
    let oldest = oldest.and_then(DateTime::from_timestamp_micros);
    Ok(SpoolLevel { events: count(0)?, bytes: count(1)?, parked: count(2)?, oldest })
}
