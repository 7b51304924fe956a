//! Load: threads that post keyed events until told to stop, and write down what became of each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ledger::{Entry, Ledger, State};
use super::run;
use super::server::Ports;
use super::wait::within;
use super::wire::{Answer, Connection};

/// How long a thread looks for a server before it asks again whether to stop.
const RECONNECT: Duration = Duration::from_millis(100);

/// Rest after a refusal for lack of room.
const REFUSED: Duration = Duration::from_millis(20);

/// Running client threads.
#[derive(Debug)]
pub struct Load {
    threads: Vec<JoinHandle<Vec<Entry>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ports: Ports,
    token: String,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Load {
    /// Starts `threads` clients, each with one keep-alive connection and one event in flight.
    pub fn start(ports: Ports, token: &str, threads: usize) -> Self {
        let (stop, acknowledged) = (AtomicBool::new(false), AtomicUsize::new(0));
        let shared = Arc::new(Shared { ports, token: token.to_owned(), stop, acknowledged });
        let start = |_| {
            let prefix = format!("load-{}", run::number());
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || post_until_stopped(&prefix, &shared))
        };
        let threads = (0..threads).map(start).collect();
        Self { threads, shared }
    }

    /// Events acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets every thread finish its request and gives what happened to all events.
    pub fn stop(self) -> Ledger {
        self.shared.stop.store(true, Ordering::Relaxed);
        let entries = self.threads.into_iter().flat_map(|thread| thread.join().expect("a client thread ran through"));
        Ledger::new(entries.collect())
    }
}

/// The body of the event with this key, the same each time.
pub fn body(key: &str) -> String {
    format!(
        r#"{{"event_name":"page_view","event_type":"engagement","event_uid":"{key}","payload":{{"page":"/{key}","duration":45.5}}}}"#
    )
}

fn post_until_stopped(prefix: &str, shared: &Shared) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut connection = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let Some(open) = connection.take().or_else(|| connect(shared)) else {
            continue;
        };
        let key = format!("{prefix}-{}", entries.len());
        entries.push(Entry { key: key.clone(), state: State::Sent });
        let (state, open) = post(open, &key, &shared.token);
        if matches!(state, State::Acknowledged(_)) {
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(state, State::Rejected(503)) {
            within(REFUSED, || shared.stop.load(Ordering::Relaxed).then_some(()));
        }
        connection = open;
        let last = entries.last_mut().expect("it was just pushed");
        last.state = state;
    }
    entries
}

fn connect(shared: &Shared) -> Option<Connection> {
    within(RECONNECT, || shared.ports.http().and_then(|address| Connection::open(address).ok()))
}

/// Posts one event; gives the connection back when it can take the next.
fn post(mut connection: Connection, key: &str, token: &str) -> (State, Option<Connection>) {
    match exchange(&mut connection, &body(key), token) {
        Ok(answer) => {
            let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
            (judge(&answer), (!closes).then_some(connection))
        }
        // From the first byte on, a lost connection says nothing about the event.
        Err(_) => (State::Unknown, None),
    }
}

fn exchange(connection: &mut Connection, body: &str, token: &str) -> io::Result<Answer> {
    let length = body.len();
    let request = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    connection.send(request.as_bytes())?;
    connection.answer()
}

/// What an answer promises: 2xx stored, 503 and other refusals not stored, the rest nothing.
fn judge(answer: &Answer) -> State {
    match answer.status {
        200 | 202 => {
            let id = answer.json()["event_id"].as_i64();
            State::Acknowledged(id.unwrap_or_else(|| panic!("acknowledged without an event_id: {answer:?}")))
        }
        408 | 409 | 500 | 504 => State::Unknown,
        status => State::Rejected(status),
    }
}
