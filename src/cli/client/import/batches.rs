//! Cuts the events into batches, at the same places in each run: a batch's key must always stand for the same events.

use super::events::{Event, Events};

/// Bytes at which a batch is full, however few its events are.
const BATCH_BYTES: usize = 4 << 20;

/// Some events that follow each other.
pub(super) struct Batch {
    /// The first one's number in the file, from 0.
    pub(super) first: u64,
    pub(super) events: Vec<Event>,
}

/// The batches that are left.
pub(super) struct Batches {
    events: Events,
    next: u64,
    events_max: usize,
}

impl Batches {
    pub(super) fn new(events: Events, events_max: u16) -> Self {
        Self { events, next: 0, events_max: events_max.into() }
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < self.events_max && bytes < BATCH_BYTES {
            let Some(event) = self.events.next()? else { break };
            bytes += event.text.len();
            events.push(event);
        }
        let first = self.next;
        self.next += events.len() as u64;
        Ok((!events.is_empty()).then_some(Batch { first, events }))
    }
}

impl Batch {
    /// The number of the first event behind it.
    pub(super) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The events that can be sent, in their order.
    pub(super) fn sendable(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.flaw.is_none())
    }

    /// The body of its request.
    pub(super) fn body(&self) -> String {
        let texts: Vec<&str> = self.sendable().map(|event| event.text.as_str()).collect();
        format!("[{}]", texts.join(",\n"))
    }
}
