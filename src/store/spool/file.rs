//! The spool's file: made, opened, checked, set aside when it is damaged.

use std::path::{Path, PathBuf};

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sea_orm::sqlx::{ConnectOptions, Connection};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::super::error::StoreError;
use super::super::identity::beside;
use super::{deaths, parked};
use crate::clock;
use crate::telemetry::facts;

/// The file in the data folder.
const FILE: &str = "spool.db";

/// Files that belong to a SQLite database.
const COMPANIONS: [&str; 3] = ["", "-wal", "-shm"];

const SCHEMA: &str = "\
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS units (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  events INTEGER NOT NULL,
  bytes INTEGER NOT NULL,
  spooled_us INTEGER NOT NULL,
  parked TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS events (
  event_id INTEGER PRIMARY KEY,
  unit INTEGER NOT NULL,
  place INTEGER NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS events_place ON events (unit, place);";

/// Where a data folder's spool is.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE)
}

/// Opens the file at `path`, or creates it; the second value is where a damaged one was put.
pub(super) async fn open(path: &Path) -> Result<(DatabaseConnection, Option<PathBuf>), StoreError> {
    match open_sound(path).await {
        Err(error) if error.is_damage() => {
            let aside = set_aside(path)?;
            Ok((open_sound(path).await?, Some(aside)))
        }
        opened => Ok((opened?, None)),
    }
}

async fn open_sound(path: &Path) -> Result<DatabaseConnection, StoreError> {
    let options = SqliteConnectOptions::new()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let file = connect(path, options).await?;
    let made = match check(&file).await {
        Ok(()) => file
            .execute_unprepared(&format!("{SCHEMA}{}{}", deaths::SCHEMA, parked::SCHEMA))
            .await
            .map(drop)
            .map_err(StoreError::from),
        Err(error) => Err(error),
    };
    if let Err(error) = made {
        // Else it would be closed later, and take the companions of the file that comes in its place along.
        let _ = file.close_by_ref().await;
        return Err(error);
    }
    Ok(file)
}

/// Opens an existing file in a way that changes nothing.
pub(super) async fn open_to_read(path: &Path) -> Result<DatabaseConnection, StoreError> {
    let file = connect(path, SqliteConnectOptions::new().pragma("query_only", "ON")).await?;
    check(&file).await?;
    Ok(file)
}

async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<DatabaseConnection, StoreError> {
    let options = options.filename(path).disable_statement_logging();
    // One connection: its users have it in turns, and every transaction is alone.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(options)
        .await?;
    Ok(pool.into())
}

/// Closes the one connection, and with it a lock that the system did not take back; the next one is opened as it is
/// needed.
pub(super) async fn reopen(file: &DatabaseConnection) {
    facts::connections_reopened();
    if let Ok(connection) = file.get_sqlite_connection_pool().acquire().await {
        // One that cannot be closed in order is gone as well.
        let _ = connection.close().await;
    }
}

async fn check(file: &DatabaseConnection) -> Result<(), StoreError> {
    let row = file.query_one_raw(Statement::from_string(DbBackend::Sqlite, "PRAGMA quick_check(1)")).await?;
    let verdict: Option<String> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    match verdict.as_deref() {
        Some("ok") => Ok(()),
        other => Err(StoreError::damage(format!("the spool is damaged: {}", other.unwrap_or("no verdict")))),
    }
}

/// Moves the damaged file out of the way, for a person to save from it what can be saved.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let suffix = format!(".damaged-{}", clock::now().format("%Y%m%dT%H%M%S%6f"));
    let aside = beside(path, &suffix);
    for companion in COMPANIONS {
        let from = beside(path, companion);
        let to = beside(&aside, companion);
        if from.exists() {
            std::fs::rename(&from, &to).map_err(|error| StoreError::file(&from, error))?;
        }
    }
    Ok(aside)
}

/// Notes which database the events belong to; refuses those of another one, unless there are none.
pub(super) async fn belong_to(
    file: &DatabaseConnection,
    path: &Path,
    database: &str,
    is_empty: bool,
) -> Result<(), StoreError> {
    let row =
        file.query_one_raw(Statement::from_string(DbBackend::Sqlite, "SELECT value FROM meta WHERE key = 'database'"));
    let noted: Option<String> = row.await?.map(|row| row.try_get_by_index(0)).transpose()?;
    if noted.is_some_and(|noted| noted != database) && !is_empty {
        return Err(StoreError::setup(format!(
            "the spool {} holds events of another database: start with that one until they are drained, or move the file away",
            path.display()
        )));
    }
    let sql =
        "INSERT INTO meta (key, value) VALUES ('database', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    file.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, [database.into()])).await?;
    Ok(())
}

/// Gives the room of an emptied spool back to the disk.
pub(super) async fn shrink(file: &DatabaseConnection) -> Result<(), StoreError> {
    file.execute_unprepared("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)").await?;
    Ok(())
}
