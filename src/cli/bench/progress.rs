//! What is being done: one line that changes on a terminal, else a line for each phase.

use std::cell::{Cell, RefCell};
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often the line changes.
const CHANGE_EVERY: Duration = Duration::from_secs(1);

/// Reports on standard error.
pub(super) struct Progress {
    is_terminal: bool,
    phase: RefCell<String>,
    shown_at: Cell<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_terminal: stderr().is_terminal(), phase: RefCell::default(), shown_at: Cell::new(Instant::now()) }
    }

    /// Something else begins.
    pub(super) fn phase(&self, phase: impl Into<String>) {
        let phase = phase.into();
        // Its reader may be gone, which is no reason to stop.
        let _ = match self.is_terminal {
            true => write!(stderr(), "\r\x1b[K{phase}"),
            false => writeln!(stderr(), "{phase}"),
        };
        self.phase.replace(phase);
        self.shown_at.set(Instant::now());
    }

    /// How far it is.
    pub(super) fn look(&self, state: impl FnOnce() -> String) {
        if self.is_terminal && self.shown_at.get().elapsed() >= CHANGE_EVERY {
            self.shown_at.set(Instant::now());
            let _ = write!(stderr(), "\r\x1b[K{}: {}", self.phase.borrow(), state());
        }
    }
}

impl Drop for Progress {
    /// Clears the line that changes.
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
