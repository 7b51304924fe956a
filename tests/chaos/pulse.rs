//! The pulse of a server: whatever its database does, it has to say that it lives.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::server::Ports;
use crate::support::wait::rest_until;
use crate::support::wire::{Answer, Connection};

/// From one beat to the next.
const BEAT: Duration = Duration::from_millis(100);

/// Beyond this the server counts as dead, on however busy a machine.
const SILENCE: Duration = Duration::from_secs(5);

/// Somebody who asks again and again whether the server lives.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Felt>>,
}

/// What was felt.
#[derive(Default)]
pub struct Felt {
    /// Every beat that was missed.
    pub missed: Vec<String>,
    /// What readiness was, and when.
    pub readiness: Vec<(Instant, u16)>,
}

impl Pulse {
    /// Begins.
    pub fn feel(ports: Ports) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        Self { stop, thread: Some(std::thread::spawn(move || feel(&ports, &told))) }
    }

    /// Ends.
    pub fn stop(&mut self) -> Felt {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken once");
        thread.join().expect("the thread ran through")
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ask(address: SocketAddr, what: &str) -> io::Result<Answer> {
    let mut connection = Connection::open_within(address, SILENCE)?;
    connection.send(format!("GET /health/{what} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").as_bytes())?;
    connection.answer()
}

fn feel(ports: &Ports, stop: &AtomicBool) -> Felt {
    let mut felt = Felt::default();
    while !stop.load(Ordering::Relaxed) {
        let due = Instant::now() + BEAT;
        // A server that is being restarted has no address.
        let before = ports.dashboard();
        let beat = before.map(|address| ask(address, "live"));
        // Who cannot be asked does not call itself ready.
        let ready = before.and_then(|address| ask(address, "ready").ok()).map_or(0, |answer| answer.status);
        felt.readiness.push((Instant::now(), ready));
        let is_same = ports.dashboard() == before;
        match beat {
            Some(Ok(answer)) if answer.status != 200 => felt.missed.push(format!("I8: /health/live says {answer:?}")),
            Some(Err(error)) if is_same => felt.missed.push(format!("I8: /health/live within {SILENCE:?}: {error}")),
            _ => {}
        }
        rest_until(due, stop);
    }
    felt
}
