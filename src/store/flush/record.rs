//! What a flush is given, and what it did with it.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::dedupe::DedupeKey;
use crate::domain::event::Event;
use crate::domain::outcome::{Outcome, Status};

/// One event and the outcome that its row is to take.
#[derive(Clone, Debug)]
pub struct Record {
    /// The event, shared with the line that works on it.
    pub event: Arc<Event>,
    /// What became of it.
    pub outcome: Outcome,
    /// The failed attempt that goes into `attempts`, if the attempt failed in a way that may pass.
    pub failed_attempt: Option<FailedAttempt>,
    /// The token of the lease under which a stored row was claimed; `None` for an event without a row.
    pub lease: Option<Uuid>,
    /// Whether the event's id was promised to a client before its first write.
    pub is_acknowledged: bool,
    /// When work on this attempt began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: DateTime<Utc>,
}

impl Record {
    /// When the event came to rest, if this outcome is final.
    pub(super) fn final_at(&self) -> Option<DateTime<Utc>> {
        self.outcome.status.is_final().then_some(self.finished_at)
    }

    /// Whether all of the row follows from a few of its columns, as with nearly every event: a new one without a key that
    /// was processed at once. Then it takes the short way.
    pub fn is_plain(&self) -> bool {
        let Self { event, outcome, .. } = self;
        self.lease.is_none()
            && event.key.is_none()
            && outcome.status == Status::Processed
            && (outcome.attempts, outcome.crashes) == (1, 0)
            && self.started_at == event.received_at
            && outcome.processed_at == Some(self.finished_at)
    }

    /// The payload as its column takes it: the properties of a processed event hold it, and it is stored once.
    pub(super) fn stored_payload(&self) -> Option<&str> {
        let is_original = self.outcome.properties.is_some();
        self.event.payload().filter(|_| !is_original).map(|payload| payload.as_str())
    }

    /// Whether the event is part of a trace.
    pub(super) fn is_traced(&self) -> bool {
        self.event.submission.trace.is_some()
    }

    /// The trace that the event is part of, as it is stored.
    pub(super) fn trace(&self) -> Option<String> {
        self.event.submission.trace.as_ref().map(|trace| trace.text())
    }
}

/// What `attempts` stores of an attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The stage that failed.
    pub stage: &'static str,
    /// The stable code of the cause.
    pub error_code: &'static str,
    /// What happened, for people.
    pub error: String,
}

/// The writing process, and facts about the flush.
#[derive(Clone, Debug)]
pub struct FlushHeader {
    /// The writing process.
    pub boot_id: Uuid,
    /// The writing node's name.
    pub node: String,
    /// Number of the flush within the boot.
    pub seq: i64,
    /// How long the oldest unit waited for the flush.
    pub gathered: Duration,
    /// Whether no earlier write of these records can have been committed.
    pub is_first_write: bool,
    /// How long a key is held; older ones are free again, by the clock of keys.
    pub keys_live_for: Duration,
}

/// What a flush did with one record.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// The row has the outcome now.
    Stored,
    /// The row had the outcome already: the answer to an earlier write was lost.
    Repeated,
    /// The row has this outcome instead: another event holds the key of this one, whose id was promised already.
    StoredAs(Box<Outcome>),
    /// Another event holds the key with the same content; nothing was written.
    Duplicate(KeptEvent),
    /// Another event holds the key with other content; nothing was written.
    Conflict {
        /// The event that holds the key.
        of: i64,
    },
    /// The lease is no longer held; nothing was written.
    Fenced,
}

impl Written {
    /// Whether this flush wrote a row.
    pub(super) fn is_stored(&self) -> bool {
        matches!(self, Self::Stored | Self::StoredAs(_))
    }
}

/// The event that holds a key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptEvent {
    /// Its number.
    pub id: i64,
    /// Its task.
    pub task_id: Uuid,
    /// Its state when the duplicate came.
    pub status: Status,
    /// When it was processed, if it was.
    pub processed_at: Option<DateTime<Utc>>,
    /// Attributes in which the duplicate differs from it.
    pub differs: Vec<&'static str>,
    /// How often it was repeated by now, if it is a refused one.
    pub repeats: i64,
}

/// What distinguishes an event from every other: its number and its task.
pub(super) type EventKey = (i64, Uuid);

/// The key of a new or replayed event, which its record is to take.
pub(super) struct KeyClaim<'a> {
    pub key: &'a DedupeKey,
    pub event_id: i64,
}
