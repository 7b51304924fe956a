//! SQLite: one connection that writes, several that read, every commit synced.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sea_orm::DatabaseConnection;
use sea_orm::sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::sqlx::{ConnectOptions, Connection};

use super::error::StoreError;
use super::options::StoreOptions;
use crate::config::PlantedBug;

/// Statements kept prepared per connection.
const STATEMENTS_KEPT: usize = 256;

/// The file that a `sqlite:` url names.
pub(super) fn path(url: &str) -> Result<PathBuf, StoreError> {
    let rest = url.trim_start_matches("sqlite:");
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let in_memory = rest.is_empty() || rest.starts_with(":memory:") || rest.contains("mode=memory");
    if in_memory {
        return Err(StoreError::setup("a SQLite database in memory is refused: nothing in it would be durable"));
    }
    let options = url.parse::<SqliteConnectOptions>()?;
    Ok(options.get_filename().to_owned())
}

/// Makes the folder (0700) and an empty file (0600) unless they exist.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_folder(folder)?;
    }
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StoreError::file(path, error)),
        _ => Ok(()),
    }
}

/// Makes a folder that only its owner can read.
pub(super) fn create_folder(folder: &Path) -> Result<(), StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| StoreError::file(folder, error))
}

/// The one connection that writes.
pub(super) async fn writer(path: &Path, options: &StoreOptions) -> Result<DatabaseConnection, StoreError> {
    Ok(pool_options(1, options).connect_with(writing(path, options)).await?.into())
}

/// The same, but not opened before it is needed.
pub(super) fn writer_later(path: &Path, options: &StoreOptions) -> DatabaseConnection {
    pool_options(1, options).connect_lazy_with(writing(path, options)).into()
}

/// A connection of its own that writes.
pub(super) async fn connect(path: &Path, options: &StoreOptions) -> Result<SqliteConnection, StoreError> {
    Ok(writing(path, options).connect().await?)
}

/// Connections that cannot write, opened as they are needed.
pub(super) fn readers(path: &Path, options: &StoreOptions) -> DatabaseConnection {
    let file = file(path, options).pragma("query_only", "ON").thread_name(|id| format!("sqlite-read-{id}"));
    pool_options(options.pool, options).connect_lazy_with(file).into()
}

fn writing(path: &Path, options: &StoreOptions) -> SqliteConnectOptions {
    let synchronous =
        if PlantedBug::SynchronousNormal.is_chosen() { SqliteSynchronous::Normal } else { SqliteSynchronous::Full };
    let options = file(path, options)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .thread_name(|_| "sqlite-writer".to_owned());
    // What is removed later leaves the file in pieces. In a file with tables that would be a write at each connection: a lock
    // that is held would let none be opened, and none be closed.
    let is_new = fs::metadata(path).is_ok_and(|file| file.len() == 0);
    if is_new { options.auto_vacuum(SqliteAutoVacuum::Incremental) } else { options }
}

fn file(path: &Path, options: &StoreOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(options.lock_timeout)
        .statement_cache_capacity(STATEMENTS_KEPT)
        .disable_statement_logging()
}

/// Connections live as long as the pool: there is no network to lose them. One that comes back inside a transaction
/// is closed: after a COMMIT that failed the client believes in a transaction that the database has ended, and every
/// later one on that connection would be a savepoint that commits nothing.
fn pool_options(size: u32, options: &StoreOptions) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(size)
        .acquire_timeout(options.acquire_timeout)
        .acquire_slow_threshold(options.acquire_timeout)
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sea_orm::prelude::Uuid;
    use sea_orm::sqlx::{Executor, query_scalar};

    use super::*;

    // Else a lock that was left behind would let no connection be opened, and stay because one always is.
    #[tokio::test]
    async fn a_connection_is_opened_while_another_one_writes() {
        let folder = std::env::temp_dir().join(format!("gristmill-{}", Uuid::new_v4()));
        let path = folder.join("gristmill.db");
        create(&path).expect("the folder is ours");
        let short = Duration::from_millis(100);
        let options = StoreOptions {
            url: String::new(),
            direct_url: String::new(),
            pool: 1,
            acquire_timeout: short,
            statement_timeout: short,
            lock_timeout: short,
            json_bytes_max: 1,
        };
        let mut first = connect(&path, &options).await.expect("a new file");
        first.execute("CREATE TABLE numbers (n INTEGER); BEGIN IMMEDIATE").await.expect("nobody else is there");
        let mut second = connect(&path, &options).await.expect("no lock is needed");
        let vacuum: i64 = query_scalar("PRAGMA auto_vacuum").fetch_one(&mut second).await.expect("a setting");
        assert_eq!(vacuum, 2, "INCREMENTAL, as the file was made");
        fs::remove_dir_all(folder).expect("the folder is ours");
    }
}
