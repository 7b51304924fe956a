//! Opens the database and the spool at the start; waits for a database that cannot be reached.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Handle;

use super::ports;
use super::signals::Signals;
use crate::config::Config;
use crate::http::{Ports, Waiting};
use crate::store::{OpenedSpool, Spool, SpoolLimits, Store, StoreError, StoreOptions, migrate};
use crate::telemetry::facts;

/// Rest between two tries to reach the database.
const REST: Duration = Duration::from_millis(500);

/// Longest wait for one look into the database.
const WAIT: Duration = Duration::from_secs(30);

/// Longest JSON of an event that is read whatever payloads are taken now; more than the longest payload takes when its
/// numbers are written out.
const JSON_BYTES_MAX: usize = 32 * 1_024 * 1_024;

/// How the store is opened under `config`.
pub fn store_options(config: &Config) -> StoreOptions {
    let within_a_flush = config.timeouts.flush / 2;
    StoreOptions {
        url: config.database_url(),
        direct_url: config.direct_database_url(),
        pool: config.database.pool,
        // A flush has to learn of both before its own time is over: that it found no connection, and so is certainly
        // not stored; that it met a lock, and so the events beside the locked one can be written alone.
        acquire_timeout: config.database.acquire_timeout.min(within_a_flush),
        statement_timeout: config.database.statement_timeout,
        lock_timeout: config.database.lock_timeout.min(within_a_flush),
        // JSONB writes spaces, and properties hold the payload and some more.
        json_bytes_max: JSON_BYTES_MAX.max(2 * config.limits.payload_bytes),
    }
}

/// Brings the schema up to date and opens the store; `None` if a signal came first.
///
/// While the database cannot be reached the node answers that it is not ready, and goes on trying. What waiting does
/// not mend (an unknown database, a wrong password, a schema that is too new) is an error at once.
pub(super) async fn open(
    config: &Config,
    ports: &Ports,
    runtime: &Handle,
    signals: &mut Signals,
) -> anyhow::Result<Option<Store>> {
    let context = || format!("database.url {}", config.database_url_masked());
    let options = store_options(config);
    let error = match open_once(&options, runtime).await {
        Err(error) if error.is_unreachable() => error,
        opened => return opened.map(Some).with_context(context),
    };
    facts::waiting_for_database(&error);
    let waiting = Waiting::start(config, ports)?;
    let (api, operations) = ports.addresses()?;
    ports::write(&config.data_dir, api, operations)?;
    let opened = tokio::select! {
        opened = open_at_last(&options, runtime) => opened.map(Some).with_context(context),
        _ = signals.stop() => Ok(None),
    };
    waiting.end().await;
    opened
}

async fn open_at_last(options: &StoreOptions, runtime: &Handle) -> Result<Store, StoreError> {
    loop {
        tokio::time::sleep(REST).await;
        match open_once(options, runtime).await {
            Err(error) if error.is_unreachable() => {}
            opened => return opened,
        }
    }
}

/// On the store's own runtime, to which its connections then belong.
async fn open_once(options: &StoreOptions, runtime: &Handle) -> Result<Store, StoreError> {
    migrate::run_on(runtime, options.clone()).await?;
    Store::open(options, runtime.clone()).await
}

/// Opens the spool if the configuration has one, or if one was left behind.
pub(crate) async fn open_spool(config: &Config, store: &Store, runtime: Handle) -> anyhow::Result<Option<Spool>> {
    let folder: &Path = &config.data_dir;
    if !config.has_spool() && !Spool::exists(folder) {
        return Ok(None);
    }
    let limits = SpoolLimits { bytes_max: config.spool.bytes as u64, age_max: config.spool.age };
    let identity = store.identity(WAIT).await?;
    let OpenedSpool { spool, set_aside } = Spool::open(folder, &identity, limits, runtime).await?;
    if let Some(path) = set_aside {
        facts::spool_set_aside(&path);
    }
    let level = spool.level();
    if level.events + level.parked > 0 {
        facts::spool_found(level.events, level.parked);
    }
    Ok(Some(spool))
}
