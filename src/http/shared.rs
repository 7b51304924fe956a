//! What streams share, and what scrapes do: one look per node serves all who follow.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::store::{Backlog, FeedEvent, Filters};

/// What all streams of the node share.
pub struct Streams {
    pub(super) head: watch::Sender<Head>,
}

/// The last flush of the feed, and when that was so.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) flush: i64,
    pub(super) seen_at: Instant,
}

impl Default for Streams {
    fn default() -> Self {
        Self { head: watch::Sender::new(Head { flush: 0, seen_at: Instant::now() }) }
    }
}

/// What all who watch share.
pub struct Live {
    pub(super) latest: watch::Sender<Shot>,
}

/// The last look, each part as the text of its event.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Shot {
    pub(super) pipeline: Bytes,
    pub(super) figures: Bytes,
}

impl Default for Live {
    fn default() -> Self {
        Self { latest: watch::Sender::new(Shot::default()) }
    }
}

/// The nodes that are watched, by what they were asked for as, each with its line as the text of an event.
#[derive(Default)]
pub struct Elsewhere {
    pub(super) watched: Mutex<HashMap<String, watch::Sender<Bytes>>>,
}

/// What is watched.
#[derive(Default)]
pub struct Newest {
    pub(super) watched: Mutex<Watched>,
}

#[derive(Default)]
pub(super) struct Watched {
    pub(super) outcomes: HashMap<Filters, Outcomes>,
    pub(super) events: HashMap<i64, OneEvent>,
}

/// The outcomes that match, from a flush on.
pub(super) struct Outcomes {
    pub(super) after: i64,
    pub(super) told: broadcast::Sender<Bytes>,
}

/// An event, as it was when it was told last.
pub(super) struct OneEvent {
    pub(super) last: Option<FeedEvent>,
    pub(super) told: broadcast::Sender<Bytes>,
}

/// What the database said last of pending events.
#[derive(Default)]
pub struct Backlogs(pub(super) tokio::sync::Mutex<Option<Seen>>);

#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// `None` if it did not answer.
    pub(super) backlog: Option<Backlog>,
    pub(super) good_until: std::time::Instant,
}
