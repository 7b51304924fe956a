//! Cuts the events into batches. Those of a file are cut at the same places in each run: a batch's key must always stand
//! for the same events. Standard input has keys of its own in each run, and a batch of it does not wait to be full.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::events::{Events, InputEvent};

/// Bytes at which a batch is full, however few its events are.
const BATCH_BYTES: usize = 4 << 20;

/// How long the first event of a batch waits for more where they come as they happen.
const LINGER: Duration = Duration::from_secs(1);

/// Events read ahead of the batches.
const AHEAD_MAX: usize = 64;

/// Some events that follow each other.
pub(super) struct Batch {
    /// The first one's number in the file, from 0.
    pub(super) first: u64,
    pub(super) events: Vec<InputEvent>,
}

/// The batches that are left.
pub(super) struct Batches {
    source: Feed,
    next: u64,
    events_max: usize,
}

/// Where events come from.
enum Feed {
    /// A file, which is there.
    File(Events),
    /// What arrives when it happens, read by a thread of its own.
    Live(Receiver<anyhow::Result<InputEvent>>),
}

impl Batches {
    /// Of a file.
    pub(super) fn of_file(events: Events, events_max: u16) -> Self {
        Self { source: Feed::File(events), next: 0, events_max: events_max.into() }
    }

    /// Of events that arrive when they happen.
    pub(super) fn of_live(mut events: Events, events_max: u16) -> Self {
        let (sender, arriving) = sync_channel(AHEAD_MAX);
        thread::spawn(move || {
            while let Some(event) = events.next().transpose() {
                let is_last = event.is_err();
                if sender.send(event).is_err() || is_last {
                    return;
                }
            }
        });
        Self { source: Feed::Live(arriving), next: 0, events_max: events_max.into() }
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        let mut events = Vec::new();
        let mut bytes = 0;
        let mut deadline = None;
        while events.len() < self.events_max && bytes < BATCH_BYTES {
            let Some(event) = self.source.next(deadline)? else { break };
            deadline.get_or_insert_with(|| Instant::now() + LINGER);
            bytes += event.text.len();
            events.push(event);
        }
        let first = self.next;
        self.next += events.len() as u64;
        Ok((!events.is_empty()).then_some(Batch { first, events }))
    }
}

impl Feed {
    /// The next event; `None` at the end, or where none has come by the `deadline`.
    fn next(&mut self, deadline: Option<Instant>) -> anyhow::Result<Option<InputEvent>> {
        let arriving = match self {
            Self::File(events) => return events.next(),
            Self::Live(arriving) => arriving,
        };
        let arrived = match deadline {
            None => arriving.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => arriving.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        arrived.ok().transpose()
    }
}

impl Batch {
    /// The number of the first event behind it.
    pub(super) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The events that can be sent, in their order.
    pub(super) fn sendable(&self) -> impl Iterator<Item = &InputEvent> {
        self.events.iter().filter(|event| event.flaw.is_none())
    }

    /// The body of its request.
    pub(super) fn body(&self) -> String {
        let texts: Vec<&str> = self.sendable().map(|event| event.text.as_str()).collect();
        format!("[{}]", texts.join(",\n"))
    }
}

/// What became of a batch.
pub(super) struct BatchOutcome {
    /// Its first event, and the first one behind it.
    pub(super) first: u64,
    pub(super) end: u64,
    /// Events that had been stored before.
    pub(super) duplicates: u64,
    /// A line for each event that was refused.
    pub(super) rejects: Vec<String>,
}
