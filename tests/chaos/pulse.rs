//! The pulse of a server: whatever its database does, it has to say that it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::server::Ports;
use crate::support::wait::rest_until;
use crate::support::wire::Connection;

/// From one beat to the next.
const BEAT: Duration = Duration::from_millis(100);

/// Beyond this the server counts as dead, on however busy a machine.
const SILENCE: Duration = Duration::from_secs(5);

/// Somebody who asks again and again whether the server lives.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<String>>>,
}

impl Pulse {
    /// Begins.
    pub fn feel(ports: Ports) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        Self { stop, thread: Some(std::thread::spawn(move || feel(&ports, &told))) }
    }

    /// Ends; every beat that was missed.
    pub fn stop(&mut self) -> Vec<String> {
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

fn feel(ports: &Ports, stop: &AtomicBool) -> Vec<String> {
    let mut missed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let due = Instant::now() + BEAT;
        // A server that is being restarted has no address.
        let before = ports.dashboard();
        let beat = before.map(|address| {
            let mut connection = Connection::open_within(address, SILENCE)?;
            connection.send(b"GET /health/live HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
            connection.answer()
        });
        let is_same = ports.dashboard() == before;
        match beat {
            Some(Ok(answer)) if answer.status != 200 => missed.push(format!("I8: /health/live says {answer:?}")),
            Some(Err(error)) if is_same => missed.push(format!("I8: /health/live within {SILENCE:?}: {error}")),
            _ => {}
        }
        rest_until(due, stop);
    }
    missed
}
