//! How far the import is: one line that changes on a terminal, else a line now and then.

use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::batch_queue::ImportStatus;
use super::state_file::State;

/// How often a line is written where lines cannot change.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Reports on standard error.
pub(super) struct Progress {
    is_terminal: bool,
    began: Instant,
    /// Events that an earlier run had done.
    done_before: u64,
    position: Arc<AtomicU64>,
    bytes: Option<u64>,
    shown_at: Instant,
}

impl Progress {
    pub(super) fn new(done_before: u64, position: Arc<AtomicU64>, bytes: Option<u64>) -> Self {
        let now = Instant::now();
        Self { is_terminal: stderr().is_terminal(), began: now, done_before, position, bytes, shown_at: now }
    }

    /// Shows the state of the queue.
    pub(super) fn update(&mut self, look: &ImportStatus, state: &State) {
        if !self.is_terminal && self.shown_at.elapsed() < LINE_EVERY {
            return;
        }
        self.shown_at = Instant::now();
        let line = self.line(look, state);
        // Its reader may be gone, which is no reason to stop.
        let _ = match self.is_terminal {
            true => write!(stderr(), "\r\x1b[K{line}"),
            false => writeln!(stderr(), "{line}"),
        };
    }

    /// Clears the line that changes.
    pub(super) fn end(&self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    /// Seconds since the beginning.
    pub(super) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn line(&self, look: &ImportStatus, state: &State) -> String {
        let rate = (look.done - self.done_before) as f64 / self.seconds().max(0.001);
        let mut line = format!("{} events, {rate:.0}/s, {} rejected", look.done, state.rejected);
        if let Some((why, wait)) = &look.pause {
            return format!("{line}, waiting {:.1} s: {why}", wait.as_secs_f64());
        }
        if let Some(left) = self.left() {
            line.push_str(&format!(", {} s left", left.as_secs()));
        }
        line
    }

    /// How long the rest takes if it goes on like this.
    fn left(&self) -> Option<Duration> {
        let read = self.position.load(Ordering::Relaxed);
        let bytes = self.bytes?;
        let left = self.seconds() * bytes.saturating_sub(read) as f64 / read as f64;
        (read > 0).then(|| Duration::try_from_secs_f64(left).ok())?
    }
}
