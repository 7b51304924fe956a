//! What travels between the actors, in the order of the flow: [`Submitted`] → [`Validated`] → [`Normalized`], then
//! [`Scheduled`] → [`Due`]; and [`Spooled`], while the database is away.
//!
//! Every message is a batch of units, and a unit a batch of events: what waking a thread costs is paid once for many.
//! [`Work`] guards each unit: whatever way a message is lost (a panic, a closed mailbox, a dead
//! thread), its guard hands the unit to the Supervisor, which sends it on its way again.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use actix::prelude::*;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::admission::Permit;
use super::door::{Receipt, Unsettled};
use crate::domain::event::Event;
use crate::domain::outcome::{Failure, Normalized as Normal, Transient, TransientCode};

/// Units that have to be validated.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Submitted(pub Vec<Work>);

/// Units whose events are valid, or marked with what is wrong.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Validated(pub Vec<Work>);

/// Units whose valid events have their properties.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Normalized(pub Vec<Work>);

/// Stored events that are to be tried again after a delay.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Scheduled {
    pub event_ids: Vec<i64>,
    pub delay: Duration,
}

/// Stored events whose delay is over.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Due(pub Vec<i64>);

/// Units were put into the spool.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Spooled;

/// A unit whose actor died, or whose message was refused.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Lost(pub Box<Unit>);

/// One event in work.
pub(super) struct Item {
    pub event: Event,
    /// The token of the lease, for an event that was claimed from the database.
    pub lease: Option<Uuid>,
    pub started_at: DateTime<Utc>,
    /// When the attempt has taken too long.
    pub soft_deadline: Instant,
    /// How the attempt ended; `None` while it is open.
    pub result: Option<Result<Normal, Failure>>,
    /// Whether the event's steps get log lines of their own.
    pub has_lines: bool,
}

impl Item {
    /// Ends the attempt with a failure that may pass.
    pub fn fail(&mut self, stage: &'static str, code: TransientCode, reason: impl Into<String>) {
        self.result = Some(Err(Failure::Transient(Transient { code, stage, reason: reason.into() })));
    }

    /// Whether the attempt has not ended yet.
    pub fn is_open(&self) -> bool {
        self.result.is_none()
    }

    /// Whether the event passed every stage so far.
    pub fn is_valid(&self) -> bool {
        matches!(self.result, Some(Ok(_)))
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.event.attempts + 1
    }
}

/// One request's events, or some that were claimed: never split over transactions.
pub(super) struct Unit {
    pub items: Vec<Item>,
    /// Where the outcome is waited for.
    pub reply: Option<oneshot::Sender<Result<Vec<Receipt>, Unsettled>>>,
    /// When the unit was taken in.
    pub taken_at: Instant,
    /// Its share of what may be in flight.
    #[expect(dead_code, reason = "held until the unit is dropped")]
    pub permit: Option<Permit>,
    /// Whether it lies in the spool, so that its ids are promised already.
    pub is_spooled: bool,
    /// Whether a write of the unit may have been committed.
    pub maybe_stored: bool,
    /// The item that a stage is working on, and that stage.
    pub in_hand: Option<(usize, &'static str)>,
}

impl Unit {
    /// Charges the loss to the item that was in hand, and opens again what else was not written yet.
    pub fn charge_loss(&mut self) {
        let in_hand = self.in_hand.take();
        for (place, item) in self.items.iter_mut().enumerate() {
            match in_hand {
                Some((lost, stage)) if lost == place => {
                    item.fail(stage, TransientCode::WorkerLost, format!("{stage} died at work on the event"));
                }
                // The Persister takes the properties out; made again, they are the same.
                _ if item.is_valid() => item.result = None,
                _ => {}
            }
        }
    }
}

/// A unit and the promise that it is never lost silently.
pub(super) struct Work {
    unit: Option<Box<Unit>>,
    lost: Recipient<Lost>,
}

impl Work {
    pub fn new(unit: Box<Unit>, lost: Recipient<Lost>) -> Self {
        Self { unit: Some(unit), lost }
    }

    /// Ends the promise: the unit is settled.
    pub fn settle(mut self) -> Box<Unit> {
        self.unit.take().expect("only settle and drop take the unit")
    }
}

impl Deref for Work {
    type Target = Unit;

    fn deref(&self) -> &Unit {
        self.unit.as_ref().expect("only settle and drop take the unit")
    }
}

impl DerefMut for Work {
    fn deref_mut(&mut self) -> &mut Unit {
        self.unit.as_mut().expect("only settle and drop take the unit")
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Some(unit) = self.unit.take() {
            self.lost.do_send(Lost(unit));
        }
    }
}
