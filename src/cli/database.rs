//! What the commands need of the database: the schema, and a store beside a running server.

use std::time::Duration;

use anyhow::Context;

use super::output::print;
use crate::app::store_options;
use crate::config::Config;
use crate::store::{Store, StoreOptions, migrate as schema};

/// Longest wait for one operation of a command.
pub(super) const WAIT: Duration = Duration::from_secs(30);

/// Longest wait of a command for a lock.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// `gristmill migrate`
pub(super) fn migrate(config: &Config) -> anyhow::Result<()> {
    let applied = runtime()?.block_on(schema::run(&store_options(config))).with_context(|| database(config))?;
    match applied {
        0 => print("the schema is up to date")?,
        1 => print("1 migration applied")?,
        applied => print(format_args!("{applied} migrations applied"))?,
    }
    Ok(())
}

/// Carries out `work` with an open store.
pub(super) fn with_store<T>(config: &Config, work: impl AsyncFnOnce(Store) -> anyhow::Result<T>) -> anyhow::Result<T> {
    with_store_of(config, store_options(config), work)
}

/// The same, with statements that take as long as they take.
pub(super) fn with_patient_store<T>(
    config: &Config,
    work: impl AsyncFnOnce(Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_store_of(config, StoreOptions { statement_timeout: Duration::ZERO, ..store_options(config) }, work)
}

fn with_store_of<T>(
    config: &Config,
    options: StoreOptions,
    work: impl AsyncFnOnce(Store) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = runtime()?;
    runtime.block_on(async {
        // Beside a server under load a lock is free for moments only.
        let options = StoreOptions { lock_timeout: LOCK_WAIT, ..options };
        let store = Store::open(&options, runtime.handle().clone()).await;
        let store = store.with_context(|| database(config))?;
        let result = work(store.clone()).await;
        store.close().await;
        result
    })
}

/// Which database an error is about.
pub(super) fn database(config: &Config) -> String {
    format!("database.url {}", config.database_url_masked())
}

/// A runtime for one command.
pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("cannot start a runtime")
}
