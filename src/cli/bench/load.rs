//! The load: connections that send what is due, and a record of every answer. All of it is one thread, so that the
//! generator takes little from the server beside it.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::task::{JoinSet, LocalSet};

use super::connection::{Answer, Connection};
use super::endpoint::Endpoint;
use super::interrupt::Interrupt;
use super::processes::{Memory, Processes, ProcessorTime};
use super::progress::Progress;
use super::record::{Fate, Record, Times};
use super::requests::{Kind, Request, Requests};
use super::schedule::Schedule;

/// How often it is checked whether to go on.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Longest wait for the answers that are missing at the end.
const ANSWERS_MAX: Duration = Duration::from_secs(30);

/// Rest of a connection after it failed.
const REST: Duration = Duration::from_millis(20);

/// What to send, where, and for how long.
pub(super) struct LoadPlan {
    pub(super) endpoint: Endpoint,
    pub(super) requests: Requests,
    pub(super) connections: u16,
    /// Requests per second of an open loop.
    pub(super) rate: Option<u32>,
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
}

/// What came of it.
pub(super) struct Load {
    pub(super) record: Record,
    /// How long was measured.
    pub(super) seconds: f64,
    /// Processor time that was used meanwhile.
    pub(super) used: ProcessorTime,
    /// At the end of that time.
    pub(super) memory: Option<Memory>,
}

struct Shared {
    schedule: Schedule,
    record: RefCell<Record>,
    next_number: Cell<usize>,
}

impl LoadPlan {
    /// Sends it.
    pub(super) fn run(self, processes: &Processes, interrupt: &Interrupt, progress: &Progress) -> anyhow::Result<Load> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start a runtime")?;
        LocalSet::new().block_on(&runtime, self.send(processes, interrupt, progress))
    }

    async fn send(self, processes: &Processes, interrupt: &Interrupt, progress: &Progress) -> anyhow::Result<Load> {
        let schedule = Schedule::start(self.rate);
        let shared = Rc::new(Shared { schedule, record: RefCell::default(), next_number: Cell::new(0) });
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let connection = Connection::new(self.endpoint.address);
            connections.spawn_local(Rc::clone(&shared).send(connection, self.requests.clone()));
        }
        let measured = async {
            shared.last(self.warm_up, interrupt, progress).await?;
            let before = processes.used();
            let from = Instant::now();
            shared.record.borrow_mut().begin(from);
            shared.last(self.measured, interrupt, progress).await?;
            let until = Instant::now();
            shared.record.borrow_mut().end(until);
            let used = processes.used().since(before);
            anyhow::Ok((used, processes.memory(), until))
        };
        let measured = measured.await;
        shared.schedule.end();
        let (used, memory, until) = measured?;
        shared.record.borrow_mut().add_unsent(shared.schedule.unsent(until));
        // What is not answered even then is unknown.
        let _ = tokio::time::timeout(ANSWERS_MAX, async { while connections.join_next().await.is_some() {} }).await;
        let record = shared.record.take();
        let seconds = record.seconds();
        Ok(Load { record, seconds, used, memory })
    }
}

impl Shared {
    /// Lets the load go on for this time.
    async fn last(&self, time: Duration, interrupt: &Interrupt, progress: &Progress) -> anyhow::Result<()> {
        let began = Instant::now();
        let before = self.record.borrow().successes();
        while let Some(left) = time.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
            if interrupt.is_there() {
                bail!("interrupted");
            }
            let record = self.record.borrow();
            let per_second = (record.successes() - before) as f64 / began.elapsed().as_secs_f64();
            let left = time.saturating_sub(began.elapsed()).as_secs_f64();
            progress.look(|| format!("{per_second:.0} requests/s, {} errors, {left:.0} s left", record.errors()));
        }
        Ok(())
    }

    /// One connection, to the end.
    async fn send(self: Rc<Self>, mut connection: Connection, mut requests: Requests) {
        while let Some((turn, due)) = self.schedule.next().await {
            let request = requests.at(turn);
            let kind = request.kind;
            let events = request.events();
            let first = self.next_number.replace(self.next_number.get() + events);
            self.record.borrow_mut().sends(first + events);
            let is_open = connection.open().await;
            let times = Times { due, sent: Instant::now() };
            let has_failed = match exchange(&mut connection, is_open, request, first).await {
                Ok(answer) => {
                    let fate = fate(kind, &answer);
                    self.record.borrow_mut().answered(kind, times, first..first + events, answer.status, fate);
                    false
                }
                Err((error, fate)) => {
                    self.record.borrow_mut().failed(first..first + events, &error, fate);
                    true
                }
            };
            if has_failed {
                connection.close();
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Sends a request whose events are numbered from `first` on, and reads the answer. An error comes with what it means for
/// the events.
async fn exchange<'a>(
    connection: &'a mut Connection,
    is_open: io::Result<()>,
    request: &mut Request,
    first: usize,
) -> Result<Answer<'a>, (io::Error, Fate)> {
    is_open.map_err(|error| (error, Fate::Refused))?;
    let unknown = |error| (error, Fate::Unknown);
    connection.send(&request.head).await.map_err(unknown)?;
    for block in 0..request.blocks {
        connection.send(request.numbered(first, block)).await.map_err(unknown)?;
    }
    connection.answer().await.map_err(unknown)
}

/// What an answer says of the events of its request.
fn fate(kind: Kind, answer: &Answer<'_>) -> Fate {
    let has = |text: &str| memchr::memmem::find(answer.body, text.as_bytes()).is_some();
    match (kind, answer.status) {
        (Kind::Single, 202) => id(answer.body).map_or(Fate::Unknown, Fate::StoredAs),
        (Kind::Lines, 200 | 202) if !has("\"complete\":true") => Fate::Unknown,
        (Kind::Batch | Kind::Lines | Kind::Empty, 200 | 202) => Fate::Stored,
        // Of some lines it may be known already that they are stored.
        (Kind::Single | Kind::Batch, 400..=499 | 503) => Fate::Refused,
        _ => Fate::Unknown,
    }
}

/// The `event_id` of an answer to a single event.
fn id(body: &[u8]) -> Option<i64> {
    let text = str::from_utf8(body).ok()?;
    let rest = text.split_once("\"event_id\":")?.1;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_became_of_the_events() {
        for (kind, status, body, expected) in [
            (Kind::Single, 202, r#"{"event_id":17,"task_id":"x"}"#, Fate::StoredAs(17)),
            (Kind::Single, 202, "{}", Fate::Unknown),
            (Kind::Single, 503, "{}", Fate::Refused),
            (Kind::Single, 504, "{}", Fate::Unknown),
            (Kind::Batch, 200, "{}", Fate::Stored),
            (Kind::Batch, 207, "{}", Fate::Unknown),
            (Kind::Lines, 200, r#"{"status":"success","complete":true}"#, Fate::Stored),
            (Kind::Lines, 200, r#"{"status":"success","complete":false}"#, Fate::Unknown),
            (Kind::Lines, 503, "{}", Fate::Unknown),
        ] {
            assert_eq!(fate(kind, &Answer { status, body: body.as_bytes() }), expected, "{status} {body}");
        }
    }
}
