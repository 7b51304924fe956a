//! `gristmill import`: a file's events, sent in batches under keys that make it harmless to send them again.
//!
//! A reader cuts batches, senders deliver them as fast as the server lets them, and this thread records what is known
//! to be stored. Memory holds a bounded number of batches. A crash here loses nothing: the same command goes on from
//! the state file, and what was stored since it was written comes back as duplicates.
//!
//! Not guaranteed: standard input has no state and a key of its own in each run; a second run sends it anew.

mod batch_queue;
mod batches;
mod concurrency;
mod delivery;
mod events;
mod progress;
mod source;
mod state_file;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

use self::batch_queue::{BatchQueue, StopReason};
use self::batches::Batches;
use self::events::Events;
use self::progress::Progress;
use self::source::is_stdin;
use self::state_file::StateFile;
use super::api_client::{ApiClient, exit_code};
use crate::cli::args::client::ImportArgs;
use crate::cli::output::{print, remark};

/// How often this thread looks at the queue.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long requests under way are waited for at an early end; what they store then comes back as duplicates.
const GRACE: Duration = Duration::from_secs(5);

pub(super) fn run(import: &ImportArgs, client: ApiClient) -> anyhow::Result<ExitCode> {
    let source = source::open(import)?;
    let identity = source.identity.clone();
    let position = Arc::clone(&source.position);
    let bytes = source.bytes;
    let rejects = import.rejects.clone().unwrap_or_else(|| beside(&import.file, ".rejects.ndjson"));
    let mut state_file = StateFile::open(state_path(import)?, rejects, &identity)?;
    let before = state_file.state.done;
    if before > 0 {
        remark(format_args!("going on behind the first {before} events, which are done"));
    }
    let events = Events::of(source).context("the file cannot be read")?;
    let cut = if is_stdin(&import.file) { Batches::of_live } else { Batches::of_file };
    let batches = cut(events, import.batch);
    let queue = Arc::new(BatchQueue::new(before, import.connections, import.patience));
    stop_on_signals(&queue)?;
    let reader = Arc::clone(&queue);
    thread::spawn(move || reader.finish(read(&reader, batches, before)));
    for _ in 0..import.connections {
        let queue = Arc::clone(&queue);
        let client = client.clone();
        let identity = identity.clone();
        thread::spawn(move || delivery::deliver(&queue, &client, &identity));
    }
    let mut progress = Progress::new(before, position, bytes);
    monitor(&queue, &mut state_file, &mut progress)?;
    progress.end();
    end(&queue, &state_file, &progress)
}

/// Looks at the queue until all is over, and records the outcomes.
fn monitor(queue: &BatchQueue, state_file: &mut StateFile, progress: &mut Progress) -> anyhow::Result<()> {
    let mut ended_at = None;
    loop {
        let look = queue.status(LOOK_EVERY);
        state_file.record(&look.fresh, look.done)?;
        progress.update(&look, &state_file.state);
        if look.is_ended {
            ended_at.get_or_insert_with(Instant::now);
        }
        let is_late = ended_at.is_some_and(|ended: Instant| ended.elapsed() >= GRACE && look.at_work > 0);
        if look.is_over || is_late {
            return state_file.save();
        }
    }
}

/// Says how it ended.
fn end(queue: &BatchQueue, state_file: &StateFile, progress: &Progress) -> anyhow::Result<ExitCode> {
    let state = &state_file.state;
    match queue.take_end() {
        Some(StopReason::Failed(error)) => {
            Err(error.context(format!("stopped behind the first {} events", state.done)))
        }
        Some(StopReason::Interrupted) => {
            bail!("interrupted behind the first {} events; the same command goes on", state.done)
        }
        None => {
            let stored = state.done - state.rejected;
            let duplicates = state.duplicates;
            let rejected = state.rejected;
            let seconds = progress.seconds();
            print(format_args!(
                "{} events in {seconds:.1} s: {stored} stored ({duplicates} were there before), {rejected} rejected",
                state.done
            ))?;
            if rejected > 0 {
                print(format_args!("the rejected ones are in {}", state_file.rejects_path().display()))?;
            }
            state_file.remove()?;
            Ok(exit_code(rejected == 0))
        }
    }
}

/// Reads batches; those that are done are only counted.
fn read(queue: &BatchQueue, mut batches: Batches, done: u64) -> anyhow::Result<()> {
    let mut behind = 0;
    while let Some(batch) = batches.next().context("the file cannot be read further")? {
        behind = batch.end();
        if batch.first >= done && !queue.put(batch) {
            return Ok(());
        }
    }
    if behind < done {
        bail!("the file has {behind} events, {done} of it were sent: it was changed meanwhile");
    }
    Ok(())
}

/// The first SIGINT or SIGTERM ends the import, a second one the process.
fn stop_on_signals(queue: &Arc<BatchQueue>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    drop(entered);
    let queue = Arc::clone(queue);
    thread::spawn(move || {
        runtime.block_on(async {
            for is_first in [true, false] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                match is_first {
                    true => queue.end(StopReason::Interrupted),
                    false => std::process::exit(1),
                }
            }
        });
    });
    Ok(())
}

fn state_path(import: &ImportArgs) -> anyhow::Result<Option<PathBuf>> {
    match (is_stdin(&import.file), &import.state) {
        (true, Some(_)) => bail!("standard input cannot be read twice, --state is of no use"),
        (true, None) => Ok(None),
        (false, Some(path)) => Ok(Some(path.clone())),
        (false, None) => Ok(Some(beside(&import.file, ".gristmill-import"))),
    }
}

/// The file's name and `ending`; `-` becomes `stdin`.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = if is_stdin(file) { "stdin".into() } else { file.as_os_str().to_owned() };
    name.push(ending);
    name.into()
}
