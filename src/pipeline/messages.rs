//! What travels between the actors, in the order of the flow: [`Submitted`] → [`Validated`] → [`Normalized`], then
//! [`Scheduled`] → [`Due`]; and [`Spooled`], while the database is away.
//!
//! Every message is a batch of units, and a unit a batch of events: what waking a thread costs is paid once for many.
//! [`Work`] guards each unit: whatever way a message is lost (a panic, a closed mailbox, a dead
//! thread), its guard hands the unit to the Supervisor, which sends it on its way again.

use std::time::Duration;

use actix::prelude::*;

use super::custody::{Holder, Work};

/// A message that a pool hands to one of its actors.
pub(super) trait Handed {
    /// The units in it, if it has any.
    fn works(&mut self) -> Option<&mut Vec<Work>> {
        None
    }

    /// Passes what is in it to the actor; what was taken back in the meantime goes no further.
    fn hand_to(&mut self, holder: Holder) {
        if let Some(works) = self.works() {
            works.retain(|work| work.pass_to(holder));
        }
    }

    /// Gives its events more time, which they spent waiting for a paused pool.
    fn put_off(&mut self, by: Duration) {
        let items = self.works().into_iter().flatten().flat_map(|work| &mut work.items);
        items.for_each(|item| item.soft_deadline += by);
    }
}

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

/// A job was made.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct JobMade;

impl Handed for Submitted {
    fn works(&mut self) -> Option<&mut Vec<Work>> {
        Some(&mut self.0)
    }
}

impl Handed for Validated {
    fn works(&mut self) -> Option<&mut Vec<Work>> {
        Some(&mut self.0)
    }
}

impl Handed for Normalized {
    fn works(&mut self) -> Option<&mut Vec<Work>> {
        Some(&mut self.0)
    }
}

impl Handed for Scheduled {}
impl Handed for Due {}
impl Handed for Spooled {}
impl Handed for JobMade {}
