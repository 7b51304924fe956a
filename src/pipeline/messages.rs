//! What travels between the actors, in the order of the flow: [`Submitted`] → [`Validated`] → [`Normalized`], then
//! [`Scheduled`] → [`Due`]; and [`Spooled`], while the database is away.
//!
//! Every message is a batch of units, and a unit a batch of events: what waking a thread costs is paid once for many.
//! A [`TrackedUnit`] guards its unit: however a message is lost (a panic, a closed mailbox, a dead thread), the guard
//! hands the unit to the Supervisor, which sends it through the line again.

use std::time::Duration;

use actix::prelude::*;

use super::tracker::{ActorId, TrackedUnit};

/// A message that a pool hands to one of its actors.
pub(super) trait PoolMessage {
    /// The units in it, if it has any.
    fn units(&mut self) -> Option<&mut Vec<TrackedUnit>> {
        None
    }

    /// Passes what is in it to the actor; what was taken back in the meantime goes no further.
    fn assign_to(&mut self, holder: ActorId) {
        if let Some(works) = self.units() {
            works.retain(|work| work.assign_to(holder));
        }
    }

    /// Extends its events' deadlines by the time that they spent waiting for a paused pool.
    fn extend_deadlines(&mut self, by: Duration) {
        let items = self.units().into_iter().flatten().flat_map(|work| &mut work.items);
        items.for_each(|item| item.soft_deadline += by);
    }
}

/// Units that have to be validated.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Submitted(pub Vec<TrackedUnit>);

/// Units whose events are valid, or marked with what is wrong.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Validated(pub Vec<TrackedUnit>);

/// Units whose valid events have their properties.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Normalized(pub Vec<TrackedUnit>);

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

/// A job was made.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct JobMade;

/// It is time to look for old rows.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct RetentionDue;

impl PoolMessage for Submitted {
    fn units(&mut self) -> Option<&mut Vec<TrackedUnit>> {
        Some(&mut self.0)
    }
}

impl PoolMessage for Validated {
    fn units(&mut self) -> Option<&mut Vec<TrackedUnit>> {
        Some(&mut self.0)
    }
}

impl PoolMessage for Normalized {
    fn units(&mut self) -> Option<&mut Vec<TrackedUnit>> {
        Some(&mut self.0)
    }
}

impl PoolMessage for Scheduled {}
impl PoolMessage for Due {}
impl PoolMessage for Spooled {}
impl PoolMessage for JobMade {}
impl PoolMessage for RetentionDue {}
