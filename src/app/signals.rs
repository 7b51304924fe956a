//! Signals: those that end the service in order, and those that must not end it at all.
//!
//! A configuration holds from start to end, so that there is nothing that SIGHUP could have read again: it requests the
//! end, as it does of every program whose terminal goes away. `nohup` is honoured.

use std::future::pending;
use std::io;

use procfs::process::Process;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Beyond a limit on the size of files (`ulimit -f`) the kernel kills the writer, instead of returning an error.
const FILE_SIZE: SignalKind = SignalKind::from_raw(25);

/// The number of SIGHUP.
const HANGUP: u32 = 1;

/// The signals that request the end.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    /// `None` if the process was started so that it outlives its terminal.
    hangup: Option<Signal>,
}

impl Signals {
    /// Receives them from now on: one that came sooner has ended the process. Needs a runtime around it.
    pub fn listen() -> io::Result<Self> {
        for harmless in [SignalKind::user_defined1(), SignalKind::user_defined2(), FILE_SIZE] {
            // Having been listened to once, it no longer ends the process.
            drop(signal(harmless)?);
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: if is_ignored(HANGUP) { None } else { Some(signal(SignalKind::hangup())?) },
        })
    }

    /// Waits for one that requests the end; its name.
    pub async fn stop(&mut self) -> &'static str {
        let hung_up = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
            _ = hung_up => "SIGHUP",
        }
    }

    /// Waits for one that requests the end at once. A terminal that goes away may send SIGHUP twice.
    pub async fn stop_at_once(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

/// Whether the signal was already ignored when the process began.
fn is_ignored(number: u32) -> bool {
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign >> (number - 1) & 1 == 1)
}
