//! Load: threads that post events until told to stop, and write down what became of each.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::ledger::{Entry, Ledger, State};
use super::run;
use super::server::Ports;
use super::wait::{rest_until, within};
use super::wire::{Answer, Connection};

/// How long a thread looks for a server before it asks again whether to stop.
const RECONNECT: Duration = Duration::from_millis(100);

/// Rest after a refusal for lack of room, of a load without a rate.
const REFUSED: Duration = Duration::from_millis(20);

/// How far a thread may be behind its rate; what is later is left out, as by clients that gave up.
const LATE_MAX: Duration = Duration::from_secs(2);

/// Silence after which a request is given up; the server has to answer or close long before.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a load posts, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    targets: Vec<Ports>,
    token: String,
    connections: usize,
    per_second: Option<u32>,
    keyless_in_ten: usize,
    deadline: Duration,
}

impl Plan {
    /// Keyed events to one server, each connection as fast as it is answered.
    pub fn new(target: Ports, token: &str, connections: usize) -> Self {
        let token = token.to_owned();
        Self { targets: vec![target], token, connections, per_second: None, keyless_in_ten: 0, deadline: DEADLINE }
    }

    /// Another server, for its share of the connections; a connection that finds none of its own takes any.
    pub fn and_to(mut self, target: Ports) -> Self {
        self.targets.push(target);
        self
    }

    /// So many events per second over all connections, whatever the answers take (as far as connections are free).
    pub fn at_rate(mut self, per_second: u32) -> Self {
        self.per_second = Some(per_second);
        self
    }

    /// So many connections.
    pub fn with_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// So many of ten events without a key.
    pub fn keyless(mut self, in_ten: usize) -> Self {
        self.keyless_in_ten = in_ten;
        self
    }

    /// Gives a request up after this much silence.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// Running client threads.
#[derive(Debug)]
pub struct Load {
    threads: Vec<JoinHandle<Vec<Entry>>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    began: Instant,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Load {
    /// Starts `threads` clients, each with one keep-alive connection and one event in flight.
    pub fn start(ports: Ports, token: &str, threads: usize) -> Self {
        Self::of(Plan::new(ports, token, threads))
    }

    /// Starts the clients of this plan.
    pub fn of(plan: Plan) -> Self {
        let connections = plan.connections;
        let stop = AtomicBool::new(false);
        let acknowledged = AtomicUsize::new(0);
        let shared = Arc::new(Shared { plan, began: Instant::now(), stop, acknowledged });
        let start = |place| {
            let client = Poster { place, prefix: format!("load-{}", run::number()), shared: Arc::clone(&shared) };
            std::thread::spawn(move || client.post_until_stopped())
        };
        let threads = (0..connections).map(start).collect();
        Self { threads, shared }
    }

    /// Events acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// How long the load lasts so far; entries count from its beginning.
    pub fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Lets every thread finish its request and gives what happened to all events.
    pub fn stop(mut self) -> Ledger {
        self.shared.stop.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        let entries = threads.into_iter().flat_map(|thread| thread.join().expect("a client thread ran through"));
        Ledger::new(entries.collect())
    }
}

impl Drop for Load {
    /// A test that failed leaves no clients behind.
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// The body of the event with this key, the same each time.
pub fn body(key: &str) -> String {
    format!(
        r#"{{"event_name":"page_view","event_type":"engagement","event_uid":"{key}","payload":{{"page":"/{key}","duration":45.5}}}}"#
    )
}

/// The body of an event without a key; its page tells it from others.
fn keyless_body(mark: &str) -> String {
    format!(r#"{{"event_name":"page_view","event_type":"engagement","payload":{{"page":"/{mark}","duration":45.5}}}}"#)
}

/// One client thread.
struct Poster {
    place: usize,
    prefix: String,
    shared: Arc<Shared>,
}

impl Poster {
    fn post_until_stopped(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut connection = None;
        let mut due =
            self.shared.began + self.interval().mul_f64(self.place as f64 / self.shared.plan.connections as f64);
        while !self.is_told_to_stop() {
            rest_until(due, &self.shared.stop);
            let Some(open) = connection.take().or_else(|| self.connect()) else { continue };
            let is_keyed = entries.len() % 10 >= self.shared.plan.keyless_in_ten;
            let mut entry = Entry::sent(format!("{}-{}", self.prefix, entries.len()), is_keyed);
            connection = self.post(open, &mut entry);
            if matches!(entry.state, State::Acknowledged(_)) {
                self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            due = self.next_due(due, entry.state);
            entries.push(entry);
        }
        entries
    }

    fn is_told_to_stop(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }

    /// From one event of this thread to the next.
    fn interval(&self) -> Duration {
        let plan = &self.shared.plan;
        plan.per_second
            .map_or(Duration::ZERO, |rate| Duration::from_secs_f64(plan.connections as f64 / f64::from(rate)))
    }

    fn next_due(&self, due: Instant, state: State) -> Instant {
        let now = Instant::now();
        match self.shared.plan.per_second {
            Some(_) => (due + self.interval()).max(now.checked_sub(LATE_MAX).unwrap_or(now)),
            None if state == State::Rejected(503) => now + REFUSED,
            None => now,
        }
    }

    /// To this thread's own server, else to the first that takes connections.
    fn connect(&self) -> Option<Connection> {
        let Plan { targets, deadline, .. } = &self.shared.plan;
        let mut in_order = targets.iter().cycle().skip(self.place % targets.len()).take(targets.len());
        let open = |ports: &Ports| Connection::open_within(ports.http()?, *deadline).ok();
        within(RECONNECT, || in_order.by_ref().find_map(open))
    }

    /// Posts one event; gives the connection back when it can take the next.
    fn post(&self, mut connection: Connection, entry: &mut Entry) -> Option<Connection> {
        let began = Instant::now();
        entry.sent_after = began.duration_since(self.shared.began);
        let body = if entry.is_keyed { body(&entry.key) } else { keyless_body(&entry.key) };
        let answer = exchange(&mut connection, &body, &self.shared.plan.token);
        entry.took = began.elapsed();
        match answer {
            Ok(answer) => {
                note(entry, &answer);
                let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                (!closes).then_some(connection)
            }
            // From the first byte on, a lost connection says nothing about the event.
            Err(_) => {
                entry.state = State::Unknown;
                None
            }
        }
    }
}

/// Posts this body and reads the answer.
pub fn exchange(connection: &mut Connection, body: &str, token: &str) -> io::Result<Answer> {
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

/// Writes down what an answer says of an event.
pub fn note(entry: &mut Entry, answer: &Answer) {
    entry.status = Some(answer.status);
    entry.is_spooled = is_spooled(answer);
    entry.state = judge(answer);
}

/// Whether the event is in the node's spool, not in the database yet.
pub fn is_spooled(answer: &Answer) -> bool {
    answer.body.contains(r#""durability":"spool""#)
}
