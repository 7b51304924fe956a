//! Units of work: a request's events, or some that were claimed, on their way through the line.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::admission::Room;
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
    /// An attempt at `event` that began at `started_at`. The first one begins with the receipt: the short way of the write
    /// takes only rows whose columns follow from each other so.
    pub fn new(event: Event, started_at: DateTime<Utc>, soft_deadline: Instant) -> Self {
        Self {
            span: AttemptSpan::begin(&event),
            event: Arc::new(event),
            lease: None,
            started_at,
            soft_deadline,
            result: None,
            has_lines: facts::may_write_lines(),
        }
    }

    /// An attempt at an event that was claimed; it has failed already if the event cannot be read.
    pub fn of_claimed(claimed: Claimed, soft_timeout: Duration) -> Self {
        Self {
            lease: Some(claimed.lease_token),
            result: claimed.flaw.map(|reason| Err(Failure::Unreadable(reason))),
            ..Self::new(claimed.event, clock::now(), Instant::now() + soft_timeout)
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

/// What a unit comes to: a receipt for each of its events, or why there are none.
pub(super) type UnitResult = Result<Vec<Receipt>, Unsettled>;

/// Where a unit's outcome goes.
pub(super) type Reply = oneshot::Sender<UnitResult>;

/// Where a unit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitOrigin {
    /// A request: its events have no rows yet.
    Request(Handling),
    /// The database: each event was claimed and has its lease.
    Claim,
    /// This node's spool: its ids are promised already.
    Spool {
        /// Whether what the database refuses of it ends as failed all the same.
        gives_up: bool,
    },
}

/// One request's events, or some that were claimed: never split over transactions.
pub(super) struct Unit {
    pub items: Vec<Item>,
    pub origin: UnitOrigin,
    /// Where the outcome is waited for.
    pub reply: Option<Reply>,
    /// Its share of what may be in flight.
    pub room: Option<Room>,
    /// When the unit was taken in.
    pub taken_at: Instant,
    /// Whether a write of the unit may have been committed.
    pub maybe_stored: bool,
}

impl Unit {
    /// A unit that is taken in now, and whose outcome nobody waits for.
    pub fn new(origin: UnitOrigin, items: Vec<Item>) -> Self {
        Self {
            items,
            origin,
            reply: None,
            room: None,
            taken_at: Instant::now(),
            // It may be in the spool because the answer to its first write was lost.
            maybe_stored: matches!(origin, UnitOrigin::Spool { .. }),
        }
    }

    /// Where its outcome can be waited for.
    pub fn expect_reply(&mut self) -> oneshot::Receiver<UnitResult> {
        let (reply, outcome) = oneshot::channel();
        self.reply = Some(reply);
        outcome
    }

    /// Reports the outcome to whoever waits for it.
    pub fn answer(&mut self, outcome: UnitResult) {
        if let Some(reply) = self.reply.take() {
            // A client that went away does not need it.
            let _ = reply.send(outcome);
        }
    }

    /// Whether its events are in the spool.
    pub fn is_spooled(&self) -> bool {
        matches!(self.origin, UnitOrigin::Spool { .. })
    }

    /// A copy that has what exists only once: where the outcome is waited for, and the room.
    pub fn split_off_backup(&mut self) -> Self {
        Self { items: self.items.clone(), reply: self.reply.take(), room: self.room.take(), ..*self }
    }

    /// Opens again what was not written yet: the Persister takes the properties out; made again, they are the same.
    pub fn reopen(&mut self) {
        self.items.iter_mut().filter(|item| item.is_valid()).for_each(|item| item.result = None);
    }
}

/// A unit whose actor died, or whose message was refused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Lost(pub Unit);
