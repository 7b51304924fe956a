//! What streams share, and what scrapes do: one look per node serves all followers.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::store::{Backlog, FeedEvent, Filters};

/// What all streams of the node share.
pub struct Streams {
    pub(super) head: watch::Sender<FeedHead>,
}

/// The last flush of the feed, and when that was so.
#[derive(Clone, Copy)]
pub(super) struct FeedHead {
    pub(super) flush: i64,
    pub(super) seen_at: Instant,
}

impl Default for Streams {
    fn default() -> Self {
        Self { head: watch::Sender::new(FeedHead { flush: 0, seen_at: Instant::now() }) }
    }
}

/// What all watchers share.
pub struct Live {
    pub(super) latest: watch::Sender<LiveSnapshot>,
}

/// The last look, each part as the text of its event.
#[derive(Clone, Default, PartialEq)]
pub(super) struct LiveSnapshot {
    pub(super) pipeline: Bytes,
    pub(super) figures: Bytes,
}

impl Default for Live {
    fn default() -> Self {
        Self { latest: watch::Sender::new(LiveSnapshot::default()) }
    }
}

/// The nodes that are watched, by the name or boot requested, each with its line as the text of an event.
#[derive(Default)]
pub struct RemoteNodes {
    pub(super) senders: Mutex<HashMap<String, watch::Sender<Bytes>>>,
}

/// What is watched.
#[derive(Default)]
pub struct LiveOutcomes {
    pub(super) subscriptions: Mutex<Subscriptions>,
}

#[derive(Default)]
pub(super) struct Subscriptions {
    pub(super) outcomes: HashMap<Filters, Outcomes>,
    pub(super) events: HashMap<i64, OneEvent>,
}

/// The outcomes that match, from a flush on.
pub(super) struct Outcomes {
    pub(super) after: i64,
    pub(super) sender: broadcast::Sender<Bytes>,
}

/// An event, as it was when it was last sent.
pub(super) struct OneEvent {
    pub(super) last: Option<FeedEvent>,
    pub(super) sender: broadcast::Sender<Bytes>,
}

/// What the database said last of pending events.
#[derive(Default)]
pub struct Backlogs(pub(super) tokio::sync::Mutex<Option<CachedBacklog>>);

#[derive(Clone, Copy)]
pub(super) struct CachedBacklog {
    /// `None` if it did not answer.
    pub(super) backlog: Option<Backlog>,
    pub(super) good_until: std::time::Instant,
}
