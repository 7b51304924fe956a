//! What a request gets for its events: a receipt each, or why there is none.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::outcome::Status;
use crate::domain::rejection::Rejection;

/// What an invalid event does to the others of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Nothing: its rejection is its outcome.
    Lenient,
    /// None of them is stored.
    Strict,
}

/// What became of one event of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The event's number.
    pub event_id: i64,
    /// Its task.
    pub task_id: Uuid,
    /// Its outcome.
    pub verdict: Verdict,
}

/// The outcome of one event of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Stored in its final state.
    Processed {
        /// When.
        processed_at: DateTime<Utc>,
    },
    /// Invalid.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// The row that is stored for it, to be mended and replayed.
        kept: Option<i64>,
        /// How often it was sent again since that row was written.
        repeats: i64,
    },
    /// Valid, but not stored, because others of its request are not.
    Withheld,
    /// Stored, to be tried again.
    Pending,
    /// Synced on this node's disk while the database is away; the database decides about its key.
    Spooled,
    /// Stored as failed.
    Failed {
        /// Why, as in `processing_error`.
        error: String,
        /// The stable code of the reason.
        code: &'static str,
    },
    /// The same event is stored already, under the same key.
    Duplicate {
        /// The first event.
        of: i64,
        /// Its task.
        of_task_id: Uuid,
        /// Its state.
        status: Status,
        /// When it was processed, if it was.
        processed_at: Option<DateTime<Utc>>,
        /// Attributes in which this one differs from it.
        differs: Vec<&'static str>,
    },
    /// Another event is stored under the same key.
    Conflict {
        /// That event.
        of: i64,
    },
}

/// Why there are no receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsettled {
    /// Too much is in flight: certainly nothing was stored.
    Full,
    /// The node is stopping: certainly nothing was stored.
    Draining,
    /// A stage is paused: certainly nothing was stored.
    Paused,
    /// Certainly nothing was stored.
    NotStored,
    /// It may be stored: the answer of the database was lost.
    Unknown,
    /// Nothing is stored of what is in the spool: the database rejects it in every form.
    Impossible(String),
}

/// Why a request gets no receipts, and when it may come again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Unsettled,
    /// When room can be expected.
    pub retry_after: Duration,
}
