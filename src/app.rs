//! The service as a whole: opens the database, starts the line and the servers, and ends them in order.

mod database;
mod drain;
mod first_run;
mod ports;
mod signals;

use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::runtime::Handle;
use uuid::Uuid;

use self::signals::Signals;
use crate::config::Config;
use crate::http::{self, Ports, Servers};
use crate::pipeline::{Identity, Pipeline};
use crate::store::identity;
use crate::telemetry::facts::{self, Stopped};
use crate::telemetry::logging;
use crate::telemetry::spans::{self, Exporting};

/// Threads that carry the operations of the database.
const STORE_THREADS: usize = 1;

/// Longest time that the line gets to drain once the servers have stopped.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Longest wait for the database to end its connections.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Longest wait for the last log lines, and for those of a panic, which may be the last ones.
const LOG_MAX: Duration = Duration::from_secs(1);
const PANIC_LOG_MAX: Duration = Duration::from_millis(100);

/// How often it is checked that the line is still supervised.
const SUPERVISION_LOOK: Duration = Duration::from_millis(250);

pub use database::store_options;
pub use drain::drain_spool;

/// Serves until a signal ends it.
pub fn serve(config: Config) -> anyhow::Result<()> {
    within(&config, async |runtime| run(&config, runtime).await)
}

/// Carries out `work` with logging and an actix system around it, and the store's runtime beside it.
fn within<T>(config: &Config, work: impl AsyncFnOnce(Handle) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let log = logging::init(&config.log)?;
    facts::configure(&config.log);
    #[cfg(feature = "fault-injection")]
    config.plant();
    let panic_log = log.clone();
    std::panic::set_hook(Box::new(move |panic| {
        facts::panicked(panic);
        panic_log.finish(PANIC_LOG_MAX);
    }));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(STORE_THREADS)
        .thread_name("store")
        .enable_all()
        .build()
        .context("cannot start the store's runtime")?;
    let result = actix::System::new().block_on(work(runtime.handle().clone()));
    // What still runs there was given up; the process does not wait for it.
    runtime.shutdown_background();
    log.finish(LOG_MAX);
    result
}

async fn run(config: &Config, runtime: Handle) -> anyhow::Result<()> {
    let began = Instant::now();
    let folder = identity::lock_folder(&config.data_dir).context("data_dir")?;
    // To the very end of the process: a write may still be under way when this function returns.
    std::mem::forget(identity::lock_database(&store_options(config)).context("database.url")?);
    // Before anybody can know that the service is there: a signal that comes sooner than its stream is lost.
    let mut signals = Signals::listen()?;
    let ports = Ports::open(config)?;
    let Some(store) = database::open(config, &ports, &runtime, &mut signals).await? else { return Ok(()) };
    let spool = database::open_spool(config, &store, runtime).await?;
    let token = first_run::prepare(&store, &config.data_dir, config.node_name()).await?;
    let identity = Identity { boot_id: Uuid::new_v4(), node: config.node_name(), folder: folder.id };
    let exporting = spans::start(config, identity.boot_id);
    let pipeline = Pipeline::start(config, store.clone(), spool.clone(), identity).await?;
    let servers = http::start(config, &ports, store.clone(), pipeline.clone()).await?;
    let (api, operations) = ports.addresses()?;
    self::ports::write(&config.data_dir, api, operations)?;
    facts::ready(api, operations, &config.database_url_masked(), began.elapsed());
    token.announce(api, operations);
    // Else the kernel would go on taking connections when the servers have stopped.
    drop(ports);
    serve_until_signal(config, servers, &pipeline, exporting, signals).await?;
    // A database that does not answer is left to notice by itself.
    let _ = tokio::time::timeout(CLOSE_MAX, store.close()).await;
    if let Some(spool) = spool {
        // Nor does a disk that is stuck hold the process.
        let _ = tokio::time::timeout(CLOSE_MAX, spool.close()).await;
    }
    Ok(())
}

async fn serve_until_signal(
    config: &Config,
    servers: Servers,
    pipeline: &Pipeline,
    exporting: Option<Exporting>,
    mut signals: Signals,
) -> anyhow::Result<()> {
    actix::spawn(servers.watch);
    let api = actix::spawn(servers.api);
    let operations = actix::spawn(servers.operations);
    let why = tokio::select! {
        signal = signals.stop() => Ok(signal),
        _ = api => Err("the API's server ended"),
        _ = operations => Err("the operations' server ended"),
        () = unsupervised(pipeline) => Err("the supervisor of the line is gone"),
    };
    facts::draining(why.unwrap_or_else(|reason| reason));
    let began = Instant::now();
    let in_flight = pipeline.in_flight();
    let released = tokio::select! {
        released = drain(&servers.shutdown, pipeline, exporting, config.timeouts.shutdown) => released,
        () = signals.stop_at_once() => 0,
    };
    let unanswered = pipeline.in_flight();
    let settled = in_flight.saturating_sub(unanswered);
    facts::stopped(Stopped {
        settled,
        spooled: pipeline.spooled_events(),
        released,
        unanswered,
        took: began.elapsed(),
    });
    why.map(drop).map_err(anyhow::Error::msg)
}

/// Ends in order, within `limit`: clients that take no answers leave the line a part of it to drain. Says how many
/// claims were given back.
async fn drain(
    shutdown: &http::ShutdownHandle,
    pipeline: &Pipeline,
    exporting: Option<Exporting>,
    limit: Duration,
) -> u64 {
    let for_line = (limit / 2).min(DRAIN_MAX);
    pipeline.stopping().begin();
    shutdown.stop_api(limit - for_line).await;
    let released = pipeline.drain(for_line).await;
    // The line leaves a quarter of its time.
    stop_exporting(exporting, for_line / 4).await;
    shutdown.stop_operations().await;
    released
}

/// Exports the last spans, within `limit`.
async fn stop_exporting(exporting: Option<Exporting>, limit: Duration) {
    if let Some(exporting) = exporting {
        // It only fails if the export panicked, which is in the log.
        let _ = tokio::task::spawn_blocking(move || exporting.stop(limit)).await;
    }
}

async fn unsupervised(pipeline: &Pipeline) {
    while pipeline.is_supervised() {
        facts::count_silent_events();
        tokio::time::sleep(SUPERVISION_LOOK).await;
    }
}
