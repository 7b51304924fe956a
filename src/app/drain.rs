//! Empties the spool without serving: the line alone, until nothing waits any more.

use std::time::Duration;

use anyhow::{Context, bail};
use uuid::Uuid;

use super::database::store_options;
use super::{CLOSE_MAX, DRAIN_MAX, database, stop_exporting, within};
use crate::config::Config;
use crate::pipeline::{Identity, Pipeline};
use crate::store::{SpoolLevel, Store, identity};
use crate::telemetry::spans;

/// Longest wait for the spool's file.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// The spool is given up when nothing has left it for this long.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Drains the spool of the data folder into the database; says what is left.
pub fn drain_spool(config: &Config) -> anyhow::Result<SpoolLevel> {
    within(config, async |runtime| {
        let folder = identity::lock_folder(&config.data_dir).context("data_dir")?;
        let store = Store::open(&store_options(config), runtime.clone()).await;
        let store = store.with_context(|| format!("database.url {}", config.database_url_masked()))?;
        let spool = database::open_spool(config, &store, runtime).await?.context("there is no spool")?;
        spool.retry_parked(false, LOOK_MAX).await?;
        let identity = Identity { boot_id: Uuid::new_v4(), node: config.node_name(), folder: folder.id };
        let exporting = spans::start(config, identity.boot_id);
        let pipeline = Pipeline::start(config, store.clone(), Some(spool.clone()), identity).await?;
        if let Some(reason) = pipeline.paused().first() {
            bail!("{reason}: what is spooled stays until it is resumed");
        }
        let mut levels = spool.levels();
        while spool.level().events > 0 || spool.next_retry(LOOK_MAX).await? == Some(Duration::ZERO) {
            if tokio::time::timeout(STANDSTILL, levels.changed()).await.is_err() {
                break;
            }
        }
        let level = spool.level();
        pipeline.drain(DRAIN_MAX).await;
        stop_exporting(exporting, CLOSE_MAX).await;
        // A database that does not answer is left to notice by itself.
        let _ = tokio::time::timeout(CLOSE_MAX, store.close()).await;
        spool.close().await;
        Ok(level)
    })
}
