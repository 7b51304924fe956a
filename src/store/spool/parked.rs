//! Units that the database did not take: set apart, so that they hold up nothing, and tried again, because one refusal is
//! no verdict.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, QueryResult, TransactionTrait};

use super::super::dialect::list;
use super::super::error::StoreError;
use super::sql::{next_number, statement};

/// A row per unit that was ever parked, until it is stored. `next_us` is null where only a command has it tried again.
pub(super) const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS retries (
  unit INTEGER PRIMARY KEY,
  since_us INTEGER NOT NULL,
  tries INTEGER NOT NULL,
  next_us INTEGER,
  gives_up INTEGER NOT NULL
) STRICT;
INSERT OR IGNORE INTO retries SELECT number, spooled_us, 1, 0, 0 FROM units WHERE parked IS NOT NULL;";

/// Rest before the first retry, doubled with every further one up to [`REST_MAX`].
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(600);

/// Tries after which a unit may be given up at all.
const TRIES_MIN: i64 = 10;

/// A unit that was set apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Its number.
    pub unit: i64,
    /// Its events.
    pub events: i64,
    /// Why it was not stored when it was tried last.
    pub reason: String,
    /// When it was set apart.
    pub since: DateTime<Utc>,
    /// How often it was tried in vain.
    pub tries: i64,
    /// When it is tried again; `None` if only a command has that done.
    pub next_try: Option<DateTime<Utc>>,
}

impl Parked {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let time = |us: i64| DateTime::from_timestamp_micros(us).unwrap_or_default();
        Ok(Self {
            unit: row.try_get_by_index(0)?,
            events: row.try_get_by_index(1)?,
            reason: row.try_get_by_index(2)?,
            since: time(row.try_get_by_index(3)?),
            tries: row.try_get_by_index(4)?,
            next_try: row.try_get_by_index::<Option<i64>>(5)?.map(time),
        })
    }
}

/// What a unit that is set apart waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkedUntil {
    /// Its time, which lies further ahead with every try.
    Later,
    /// A command: processes died of it.
    Commanded,
}

/// The units that may be tried now. One that is to wait for longer than it ever would was put off by another clock.
pub(super) fn ready_sql(now: DateTime<Utc>) -> String {
    format!("(parked IS NULL OR number IN ({}))", due_sql(now))
}

fn due_sql(now: DateTime<Utc>) -> String {
    let (now, late) = (now.timestamp_micros(), (now + rest_max()).timestamp_micros());
    format!("SELECT unit FROM retries WHERE next_us <= {now} OR next_us > {late}")
}

/// Whether what the database refuses of the unit ends as failed: by command, or because it has been refused for long.
pub(super) fn gives_up_sql(now: DateTime<Utc>, longest: Duration) -> String {
    let longest = TimeDelta::from_std(longest).unwrap_or(TimeDelta::MAX);
    let since = now.checked_sub_signed(longest).unwrap_or(DateTime::UNIX_EPOCH).timestamp_micros();
    format!(
        "EXISTS (SELECT 1 FROM retries WHERE unit = number AND (gives_up = 1 OR since_us < {since} AND tries >= {TRIES_MIN}))"
    )
}

/// Sets a unit apart, or notes that it was tried in vain again; returns how often that was so by now.
pub(super) async fn park(
    file: &DatabaseConnection,
    unit: i64,
    why: &str,
    until: ParkedUntil,
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let tx = file.begin().await?;
    tx.execute_raw(statement("UPDATE units SET parked = ? WHERE number = ?", [why.into(), unit.into()])).await?;
    let row = tx.query_one_raw(statement("SELECT tries FROM retries WHERE unit = ?", [unit.into()])).await?;
    let tries = row.map_or(Ok(0), |row| row.try_get_by_index::<i64>(0))? + 1;
    let rest = REST_MIN * 2_u32.pow(u32::try_from(tries - 1).unwrap_or(u32::MAX).min(16));
    let next = (until == ParkedUntil::Later).then(|| now + rest.min(REST_MAX));
    let sql = "INSERT INTO retries VALUES (?, ?, ?, ?, 0) \
               ON CONFLICT (unit) DO UPDATE SET tries = excluded.tries, next_us = excluded.next_us";
    let next = next.map(|next| next.timestamp_micros());
    let values = [unit.into(), now.timestamp_micros().into(), tries.into(), next.into()];
    tx.execute_raw(statement(sql, values)).await?;
    tx.commit().await?;
    Ok(tries)
}

/// Has every parked unit tried at once, also those of which processes died; returns how many those are.
pub(super) async fn retry_all(file: &DatabaseConnection, gives_up: bool) -> Result<u64, StoreError> {
    let tx = file.begin().await?;
    let parked = "SELECT number FROM units WHERE parked IS NOT NULL";
    tx.execute_unprepared(&format!("DELETE FROM deaths WHERE is_at_work = 0 AND unit IN ({parked})")).await?;
    let sql = format!("UPDATE retries SET next_us = 0, gives_up = MAX(gives_up, ?) WHERE unit IN ({parked})");
    let changed = tx.execute_raw(statement(&sql, [i64::from(gives_up).into()])).await?;
    tx.commit().await?;
    Ok(changed.rows_affected())
}

/// How long until the next parked unit is tried again; nothing if one is due.
pub(super) async fn next_retry(file: &DatabaseConnection, now: DateTime<Utc>) -> Result<Option<Duration>, StoreError> {
    let sql = format!(
        "SELECT MIN(CASE WHEN number IN ({}) THEN 0 ELSE next_us END) FROM units JOIN retries ON unit = number \
         WHERE parked IS NOT NULL",
        due_sql(now)
    );
    let row = file.query_one_raw(statement(&sql, [])).await?;
    let next: Option<i64> = row.map_or(Ok(None), |row| row.try_get_by_index(0))?;
    let rest = next.map(|next| u64::try_from(next - now.timestamp_micros()).unwrap_or_default());
    Ok(rest.map(Duration::from_micros))
}

/// The parked units, at most `most`, the oldest first.
pub(super) async fn read(file: &DatabaseConnection, most: usize) -> Result<Vec<Parked>, StoreError> {
    let sql = format!(
        "SELECT number, events, parked, since_us, tries, next_us FROM units JOIN retries ON unit = number \
         WHERE parked IS NOT NULL ORDER BY number LIMIT {most}"
    );
    let rows = file.query_all_raw(statement(&sql, [])).await?;
    Ok(rows.iter().map(Parked::read).collect::<Result<_, _>>()?)
}

/// Turns each event of a unit, which is promised by itself, into a unit of its own: what is at fault is one of them.
pub(super) async fn split(file: &DatabaseConnection, unit: i64) -> Result<(), StoreError> {
    let tx = file.begin().await?;
    let events = "SELECT event_id, length(CAST(body AS BLOB)) FROM events WHERE unit = ? ORDER BY place";
    let events = tx.query_all_raw(statement(events, [unit.into()])).await?;
    let first = next_number(&tx).await?;
    for (number, event) in (first..).zip(&events) {
        let (id, bytes): (i64, i64) = (event.try_get_by_index(0)?, event.try_get_by_index(1)?);
        let sql = "INSERT INTO units (number, events, bytes, spooled_us) SELECT ?, 1, ?, spooled_us FROM units WHERE number = ?";
        tx.execute_raw(statement(sql, [number.into(), bytes.into(), unit.into()])).await?;
        let sql = "UPDATE events SET unit = ?, place = 0 WHERE event_id = ?";
        tx.execute_raw(statement(sql, [number.into(), id.into()])).await?;
        let sql = "INSERT INTO retries SELECT ?, since_us, tries, next_us, gives_up FROM retries WHERE unit = ?";
        tx.execute_raw(statement(sql, [number.into(), unit.into()])).await?;
    }
    forget(&tx, &[unit]).await?;
    tx.execute_raw(statement("DELETE FROM deaths WHERE unit = ?", [unit.into()])).await?;
    tx.execute_raw(statement("DELETE FROM units WHERE number = ?", [unit.into()])).await?;
    Ok(tx.commit().await?)
}

/// Forgets units that are stored.
pub(super) async fn forget(tx: &impl ConnectionTrait, units: &[i64]) -> Result<(), StoreError> {
    tx.execute_unprepared(&format!("DELETE FROM retries WHERE unit IN ({})", list(units))).await?;
    Ok(())
}

fn rest_max() -> TimeDelta {
    TimeDelta::from_std(REST_MAX).unwrap_or(TimeDelta::MAX)
}
