//! Signals that request the end. What was started has to be ended in order first, so they only set a flag that all
//! that lasts looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Whether a signal came; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// SIGINT, SIGTERM and SIGHUP no longer end the process from now on.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start a runtime")?;
        let entered = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        drop(entered);
        let flag = Arc::new(AtomicBool::new(false));
        let is_there = Arc::clone(&flag);
        thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            });
            is_there.store(true, Ordering::Relaxed);
        });
        Ok(Self(flag))
    }

    /// Whether one came.
    pub(super) fn is_there(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// An error if one came.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if self.is_there() {
            bail!("interrupted");
        }
        Ok(())
    }
}
