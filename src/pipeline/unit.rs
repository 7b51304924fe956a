//! Units of work: a request's events, or some that were claimed, on their way through the line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::admission::Permit;
use super::receipt::{Handling, Receipt, Unsettled};
use crate::clock;
use crate::domain::event::Event;
use crate::domain::outcome::{Failure, NormalizedEvent, Transient, TransientCode};
use crate::store::Claimed;
use crate::telemetry::facts;
use crate::telemetry::spans::{AttemptEnd, AttemptSpan};

/// One event being processed.
#[derive(Clone)]
pub(super) struct Item {
    /// Shared with the backup of its unit.
    pub event: Arc<Event>,
    /// The token of the lease, for an event that was claimed from the database.
    pub lease: Option<Uuid>,
    pub started_at: DateTime<Utc>,
    /// When the attempt has taken too long.
    pub soft_deadline: Instant,
    /// How the attempt ended; `None` while it is open.
    pub result: Option<Result<NormalizedEvent, Failure>>,
    /// Whether the event's steps get log lines of their own.
    pub has_lines: bool,
    /// The attempt's span, if its spans are exported.
    pub span: Option<AttemptSpan>,
}

impl Item {
    /// An attempt at an event that was claimed; it has failed already if the event cannot be read.
    pub fn of_claimed(claimed: Claimed, soft_timeout: Duration) -> Self {
        Self {
            span: AttemptSpan::begin(&claimed.event),
            event: Arc::new(claimed.event),
            lease: Some(claimed.lease_token),
            started_at: clock::now(),
            soft_deadline: Instant::now() + soft_timeout,
            result: claimed.flaw.map(|reason| Err(Failure::Unreadable(reason))),
            has_lines: facts::may_write_lines(),
        }
    }

    /// Ends the attempt with a failure that may pass.
    pub fn fail(&mut self, stage: &'static str, code: TransientCode, reason: impl Into<String>) {
        self.result = Some(Err(Failure::Transient(Transient { code, stage, reason: reason.into() })));
    }

    /// Why the attempt failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        self.result.as_ref().and_then(|result| result.as_ref().err())
    }

    /// Exports the attempt's span, if it has one.
    pub fn end_span(&self, end: AttemptEnd) {
        if let Some(span) = self.span {
            span.ended(&self.event, self.started_at, end);
        }
    }

    /// Whether the attempt has not ended yet.
    pub fn is_open(&self) -> bool {
        self.result.is_none()
    }

    /// Whether the event passed every stage so far.
    pub fn is_valid(&self) -> bool {
        matches!(self.result, Some(Ok(_)))
    }

    /// Whether the event was found invalid.
    pub fn is_rejected(&self) -> bool {
        matches!(self.result, Some(Err(Failure::Reject(_))))
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.event.attempts + 1
    }
}

/// Where a unit's outcome goes.
pub(super) type Reply = oneshot::Sender<Result<Vec<Receipt>, Unsettled>>;

/// One request's events, or some that were claimed: never split over transactions.
pub(super) struct Unit {
    pub items: Vec<Item>,
    /// Where the outcome is waited for.
    pub reply: Option<Reply>,
    /// When the unit was taken in.
    pub taken_at: Instant,
    /// Its share of what may be in flight.
    pub permit: Option<Permit>,
    /// Whether it lies in the spool, so that its ids are promised already.
    pub is_spooled: bool,
    /// Whether what the database refuses of it ends as failed although its ids are promised.
    pub gives_up: bool,
    /// Whether a write of the unit may have been committed.
    pub maybe_stored: bool,
    /// What an invalid event does to the others.
    pub handling: Handling,
}

impl Unit {
    /// Opens again what was not written yet: the Persister takes the properties out; made again, they are the same.
    pub fn reopen(&mut self) {
        self.items.iter_mut().filter(|item| item.is_valid()).for_each(|item| item.result = None);
    }
}

/// A unit whose actor died, or whose message was refused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Lost(pub Unit);
