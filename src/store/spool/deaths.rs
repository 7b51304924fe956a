//! Which units were at work when a process died: a unit that kills its process is not tried with others again, and not
//! for ever.

use chrono::{DateTime, Utc};
use sea_orm::ConnectionTrait;

use super::super::dialect::list;
use super::super::error::StoreError;
use super::parked::ready_sql;
use super::sql::statement;

/// A unit is here while it is at work, and stays for as long as a process died of it.
pub(super) const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS deaths (
  unit INTEGER PRIMARY KEY,
  is_at_work INTEGER NOT NULL,
  deaths INTEGER NOT NULL
) STRICT;";

/// Counts a death for each unit that was at work when the process before this one ended.
pub(super) async fn count(file: &impl ConnectionTrait) -> Result<(), StoreError> {
    let sql = "UPDATE deaths SET deaths = deaths + 1, is_at_work = 0 WHERE is_at_work = 1";
    file.execute_unprepared(sql).await?;
    Ok(())
}

/// Notes that work on the units begins.
pub(super) async fn begin(file: &impl ConnectionTrait, units: &[i64]) -> Result<(), StoreError> {
    let rows = units.iter().map(|unit| format!("({unit},1,0)")).collect::<Vec<_>>().join(",");
    let sql = format!("INSERT INTO deaths VALUES {rows} ON CONFLICT (unit) DO UPDATE SET is_at_work = 1");
    file.execute_unprepared(&sql).await?;
    Ok(())
}

/// Notes that work on the units ended, and no process with it.
pub(super) async fn end(file: &impl ConnectionTrait, units: &[i64]) -> Result<(), StoreError> {
    let units = list(units);
    file.execute_unprepared(&format!("DELETE FROM deaths WHERE unit IN ({units}) AND deaths = 0")).await?;
    file.execute_unprepared(&format!("UPDATE deaths SET is_at_work = 0 WHERE unit IN ({units})")).await?;
    Ok(())
}

/// Notes that the process ends for another reason than its work.
pub(super) async fn end_all(file: &impl ConnectionTrait) -> Result<(), StoreError> {
    file.execute_unprepared("DELETE FROM deaths WHERE deaths = 0").await?;
    file.execute_unprepared("UPDATE deaths SET is_at_work = 0").await?;
    Ok(())
}

/// Forgets the units.
pub(super) async fn forget(file: &impl ConnectionTrait, units: &[i64]) -> Result<(), StoreError> {
    file.execute_unprepared(&format!("DELETE FROM deaths WHERE unit IN ({})", list(units))).await?;
    Ok(())
}

/// The unit, of those that may be tried, of which the fewest processes died, and how many.
pub(super) async fn least(file: &impl ConnectionTrait, now: DateTime<Utc>) -> Result<Option<(i64, u32)>, StoreError> {
    let sql = format!(
        "SELECT number, deaths FROM units JOIN deaths ON unit = number WHERE {} AND deaths > 0 \
         ORDER BY deaths, number LIMIT 1",
        ready_sql(now)
    );
    let Some(row) = file.query_one_raw(statement(&sql, [])).await? else { return Ok(None) };
    let deaths: i64 = row.try_get_by_index(1)?;
    Ok(Some((row.try_get_by_index(0)?, u32::try_from(deaths).unwrap_or(u32::MAX))))
}
