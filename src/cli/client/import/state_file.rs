//! What a later run needs: how far this one came, in the state file, and the refused events in theirs.
//!
//! Refused events are written before the state that counts them, and a run that goes on cuts off what no state counts:
//! each stands there once, whatever happened.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::batches::BatchOutcome;

/// How often the state is written at most.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// How far an import came.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The file's identity, with its format and the size of batches.
    pub(super) identity: String,
    /// Events from the file's beginning that are stored or refused.
    pub(super) done: u64,
    pub(super) duplicates: u64,
    pub(super) rejected: u64,
    /// Bytes of the file with the refused events.
    rejects_bytes: u64,
}

/// Maintains both files.
pub(super) struct StateFile {
    pub(super) state: State,
    /// `None` for what cannot be read twice.
    path: Option<PathBuf>,
    rejects_path: PathBuf,
    rejects: Option<File>,
    written_at: Instant,
}

impl StateFile {
    /// Goes on from the state in `path`, or begins.
    pub(super) fn open(path: Option<PathBuf>, rejects_path: PathBuf, identity: &str) -> anyhow::Result<Self> {
        let begun = State { identity: identity.to_owned(), ..State::default() };
        let state = match &path {
            Some(path) => read(path, identity)?.unwrap_or(begun),
            None => begun,
        };
        cut(&rejects_path, state.rejects_bytes).with_context(|| format!("cannot write {}", rejects_path.display()))?;
        let state_file = Self { state, path, rejects_path, rejects: None, written_at: Instant::now() };
        // Better now than after the first million events.
        state_file.write_state()?;
        Ok(state_file)
    }

    pub(super) fn rejects_path(&self) -> &Path {
        &self.rejects_path
    }

    /// Takes outcomes up to the event `done`.
    pub(super) fn record(&mut self, outcomes: &[BatchOutcome], done: u64) -> anyhow::Result<()> {
        for outcome in outcomes {
            self.state.duplicates += outcome.duplicates;
            self.state.rejected += outcome.rejects.len() as u64;
            self.write_rejects(&outcome.rejects)
                .with_context(|| format!("cannot write {}", self.rejects_path.display()))?;
        }
        let is_news = self.state.done != done;
        self.state.done = done;
        if is_news && self.written_at.elapsed() >= WRITE_EVERY {
            self.save()?;
        }
        Ok(())
    }

    /// Writes the state now.
    pub(super) fn save(&mut self) -> anyhow::Result<()> {
        if let Some(rejects) = &self.rejects {
            rejects.sync_data().with_context(|| format!("cannot write {}", self.rejects_path.display()))?;
        }
        self.written_at = Instant::now();
        self.write_state()
    }

    /// Nothing is left to go on with.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
    }

    fn write_rejects(&mut self, lines: &[String]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.rejects.is_none() {
            let file = OpenOptions::new().create(true).write(true).truncate(false).open(&self.rejects_path)?;
            file.set_len(self.state.rejects_bytes)?;
            self.rejects = Some(file);
        }
        let Some(file) = &mut self.rejects else { return Ok(()) };
        file.seek(SeekFrom::End(0))?;
        let text = lines.concat();
        file.write_all(text.as_bytes())?;
        self.state.rejects_bytes += text.len() as u64;
        Ok(())
    }

    /// Whole or not at all, also if the power is cut.
    fn write_state(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut draft = path.clone().into_os_string();
        draft.push(".new");
        let text = serde_json::to_string(&self.state)?;
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, path)
        };
        write().with_context(|| format!("cannot write {}, --state names another place", path.display()))
    }
}

fn read(path: &Path, identity: &str) -> anyhow::Result<Option<State>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let state: State =
        serde_json::from_str(&text).with_context(|| format!("{} is not the state of an import", path.display()))?;
    if state.identity != identity {
        let path = path.display();
        bail!("{path} belongs to another file, format or --batch: repeat the same command, or remove it to begin anew");
    }
    Ok(Some(state))
}

/// Cuts off the refused events that no state counts.
fn cut(path: &Path, bytes: u64) -> std::io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        file => file?.set_len(bytes),
    }
}
