//! `gristmill spool`: what waits on this node's disk for the database.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::args::SpoolCommand;
use super::client;
use super::database::runtime;
use super::output::print;
use crate::app;
use crate::config::Config;
use crate::domain::timestamp;
use crate::store::{Parked, Spool, SpoolLevel, identity};

/// Longest wait for a look into the spool.
const WAIT: Duration = Duration::from_secs(600);

pub(super) fn run(config: &Config, command: SpoolCommand) -> anyhow::Result<()> {
    match command {
        SpoolCommand::Drain if !Spool::exists(&config.data_dir) => nothing(config),
        SpoolCommand::Drain => drain(config),
        SpoolCommand::Retry { .. } if !Spool::exists(&config.data_dir) => nothing(config),
        SpoolCommand::Retry { give_up } => retry(config, give_up),
        SpoolCommand::Status { json } => with_spool(config, async |spool| status(spool.as_ref(), json).await),
        SpoolCommand::Verify => with_spool(config, async |spool| verify(spool.as_ref()).await),
    }
}

fn nothing(config: &Config) -> anyhow::Result<()> {
    print(format_args!("there is no spool in {}", config.data_dir.display()))?;
    Ok(())
}

/// Carries out `work` on the spool, if there is one, without changing it.
fn with_spool(config: &Config, work: impl AsyncFnOnce(Option<Spool>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let runtime = runtime()?;
    runtime.block_on(async {
        if !Spool::exists(&config.data_dir) {
            return work(None).await;
        }
        let spool = Spool::open_to_read(&config.data_dir, runtime.handle().clone()).await;
        let spool = spool.with_context(|| format!("the spool in {}", config.data_dir.display()))?;
        let result = work(Some(spool.clone())).await;
        spool.close().await;
        result
    })
}

async fn status(spool: Option<&Spool>, as_json: bool) -> anyhow::Result<()> {
    let level = spool.map(Spool::level).unwrap_or_default();
    let parked = match spool {
        Some(spool) => spool.parked(usize::MAX >> 1, WAIT).await?,
        None => Vec::new(),
    };
    let oldest = level.oldest.map(timestamp::render);
    if as_json {
        let parked: Vec<_> = parked
            .iter()
            .map(|parked| {
                json!({ "unit": parked.unit, "events": parked.events, "reason": parked.reason, "tries": parked.tries,
                    "since": timestamp::render(parked.since), "next_try": parked.next_try.map(timestamp::render) })
            })
            .collect();
        let SpoolLevel { events, bytes, .. } = level;
        print(json!({ "events": events, "bytes": bytes, "oldest": oldest, "parked": parked }))?;
        return Ok(());
    }
    print(format_args!("events waiting: {}", level.events))?;
    print(format_args!("bytes:          {}", level.bytes))?;
    print(format_args!("oldest:         {}", oldest.as_deref().unwrap_or("-")))?;
    print(format_args!("events parked:  {}", level.parked))?;
    for Parked { unit, events, reason, since, tries, next_try } in parked {
        let next = next_try.map_or_else(|| "with `gristmill spool retry`".to_owned(), timestamp::render);
        print(format_args!("  unit {unit}, {events} events: {reason}"))?;
        print(format_args!("    since {}, tries {tries}, next try {next}", timestamp::render(since)))?;
    }
    Ok(())
}

async fn verify(spool: Option<&Spool>) -> anyhow::Result<()> {
    let Some(spool) = spool else {
        print("there is no spool")?;
        return Ok(());
    };
    let unreadable = spool.verify(WAIT).await?;
    if unreadable.is_empty() {
        print(format_args!(
            "every event of the spool can be read: {} waiting, {} parked",
            spool.level().events,
            spool.level().parked
        ))?;
        return Ok(());
    }
    let ids: Vec<String> = unreadable.iter().take(20).map(ToString::to_string).collect();
    bail!("{} events of the spool cannot be read, among them {}", unreadable.len(), ids.join(", "))
}

/// Leaves it to the server that runs in the data folder; where none does, the next one finds it in the spool.
fn retry(config: &Config, gives_up: bool) -> anyhow::Result<()> {
    let Ok(_lock) = identity::lock_folder(&config.data_dir) else {
        return client::retry_parked(config, gives_up);
    };
    let runtime = runtime()?;
    runtime.block_on(async {
        let spool = Spool::open_to_change(&config.data_dir, runtime.handle().clone()).await;
        let spool = spool.with_context(|| format!("the spool in {}", config.data_dir.display()))?;
        let units = spool.retry_parked(gives_up, WAIT).await;
        spool.close().await;
        print(format_args!("{} parked units are tried with the next start or `gristmill spool drain`", units?))?;
        Ok(())
    })
}

fn drain(config: &Config) -> anyhow::Result<()> {
    let left = app::drain_spool(config)?;
    if left.events == 0 {
        print(format_args!("the spool is empty{}", if left.parked > 0 { ", but for what is parked" } else { "" }))?;
        return Ok(());
    }
    bail!("{} events are still in the spool", left.events)
}
