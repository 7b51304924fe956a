//! Brings the schema up to date, under a lock: several nodes may start at once on an empty database.
//!
//! One transaction holds all of it, so that a run that is killed midway leaves nothing half done.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement};
use tokio::runtime::Handle;

use super::db_pool::{DbPool, begin, commit};
use super::error::{Cause, StoreError, StoreErrorKind, StoreOutcome};
use super::options::StoreOptions;
use super::postgres::{AddressKind, PostgresServers};
use super::{identity, postgres, sqlite};

/// Longest wait for another process that migrates.
const LOCK_WAIT: Duration = Duration::from_secs(60);
/// Longest wait for another process that writes into a SQLite database.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How often the lock beside a SQLite database is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);
/// Number of the advisory lock ("gristmil" as bytes).
const LOCK_KEY: i64 = 0x6772_6973_746d_696c;

/// Applies what is missing; returns how many migrations that were.
pub async fn run(options: &StoreOptions) -> Result<usize, StoreError> {
    let applied = match options.backend()? {
        DbBackend::Postgres => run_postgres(options).await,
        _ => run_sqlite(options).await,
    };
    applied.map_err(|error| error.in_context("migrate the database"))
}

/// The same as a task of `runtime`.
pub async fn run_on(runtime: &Handle, options: StoreOptions) -> Result<usize, StoreError> {
    let task = runtime.spawn(async move { run(&options).await });
    task.await.unwrap_or_else(|error| Err(StoreError::setup(format!("the migration was lost: {error}"))))
}

/// Refuses a database with another schema than the one this program was built for.
pub(super) async fn check(connection: &impl ConnectionTrait) -> Result<(), StoreError> {
    let missing = missing(connection).await?;
    if missing == 0 {
        return Ok(());
    }
    Err(StoreError::setup("the database's schema is not up to date, `gristmill migrate` brings it up to date"))
}

async fn run_postgres(options: &StoreOptions) -> Result<usize, StoreError> {
    // Its statements take as long as they take.
    let options = StoreOptions {
        url: options.direct().to_owned(),
        direct_url: String::new(),
        pool: 1,
        statement_timeout: Duration::ZERO,
        lock_timeout: LOCK_WAIT,
        ..options.clone()
    };
    let link = postgres::pool(&PostgresServers::find(&options).await?.into(), AddressKind::Direct, &options);
    let tx = begin(&link).await?;
    // The lock belongs to the transaction: it cannot outlive it, nor be left to a pooler.
    let sql = format!("SELECT pg_advisory_xact_lock({LOCK_KEY})");
    tx.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    let applied = apply(tx).await;
    // Its work is committed or rolled back by now.
    let _ = link.pool().close_by_ref().await;
    applied
}

async fn run_sqlite(options: &StoreOptions) -> Result<usize, StoreError> {
    let path = sqlite::path(&options.url)?;
    identity::refuse_missing_beside_marker(&path)?;
    sqlite::create(&path)?;
    identity::refuse_second_name(&path)?;
    // Beside BEGIN IMMEDIATE, because the switch to WAL does not wait for other processes.
    let _lock = wait_for_lock(&identity::beside(&path, ".migrate")).await?;
    let options = StoreOptions { lock_timeout: BUSY_WAIT, ..options.clone() };
    let connection = sqlite::writer(&path, &options).await?;
    identity::confirm(&connection, &path).await?;
    let tx = begin(&DbPool::from(connection.clone())).await?;
    let applied = apply(tx).await?;
    identity::confirm(&connection, &path).await?;
    // Closed before the lock is given up.
    let _ = connection.close().await;
    Ok(applied)
}

async fn apply(tx: DatabaseTransaction) -> Result<usize, StoreError> {
    let missing = missing(&tx).await?;
    if missing > 0 {
        Migrator::up(&tx, None).await?;
    }
    commit(tx).await?;
    Ok(missing)
}

/// Counts by hand, because what SeaORM offers creates its table while it counts.
async fn missing(connection: &impl ConnectionTrait) -> Result<usize, StoreError> {
    let known = Migrator::migrations();
    let applied = applied(connection).await?;
    let is_known = |name: &String| known.iter().any(|migration| migration.name() == name);
    if let Some(unknown) = applied.iter().find(|name| !is_known(name)) {
        // Every later schema is built upon the first migration.
        let is_newer = known.first().is_some_and(|first| applied.iter().any(|name| name == first.name()));
        return Err(StoreError::setup(if is_newer { newer(unknown) } else { unreleased(unknown) }));
    }
    Ok(known.len() - applied.len())
}

fn newer(unknown: &str) -> String {
    format!("the database's schema is newer than this gristmill: it has {unknown}")
}

fn unreleased(unknown: &str) -> String {
    format!(
        "the database was made by a development version of gristmill, before the first release: it has {unknown}. \
         Its schema cannot be brought up to date: use that version, or give database.url an empty database"
    )
}

/// Names of the applied migrations.
async fn applied(connection: &impl ConnectionTrait) -> Result<Vec<String>, StoreError> {
    let backend = connection.get_database_backend();
    let exists = match backend {
        DbBackend::Postgres => "SELECT 1 WHERE to_regclass('seaql_migrations') IS NOT NULL",
        _ => "SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations'",
    };
    let exists = Statement::from_string(backend, exists);
    if connection.query_one_raw(exists).await?.is_none() {
        return Ok(Vec::new());
    }
    let versions = Statement::from_string(backend, "SELECT version FROM seaql_migrations");
    let rows = connection.query_all_raw(versions).await?;
    let names = rows.iter().map(|row| row.try_get("", "version"));
    Ok(names.collect::<Result<_, _>>()?)
}

async fn wait_for_lock(path: &Path) -> Result<File, StoreError> {
    let file = identity::lock_file(path)?;
    let polled = async {
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
                Err(TryLockError::Error(error)) => return Err(StoreError::file(path, error)),
            }
        }
    };
    tokio::time::timeout(LOCK_WAIT, polled).await.unwrap_or_else(|_| {
        let cause = Cause::Setup(format!("another process holds {}", path.display()));
        Err(StoreError::new(StoreErrorKind::Transient, StoreOutcome::NotStored, cause))
    })?;
    Ok(file)
}
