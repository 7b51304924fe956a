//! Stored events that an operator wants processed: claimed like any other, and answered.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::oneshot;

use super::ingress::Room;
use super::messages::JobMade;
use super::receipt::{Handling, Receipt};
use super::unit::{Item, Reply, Unit};
use super::{Pipeline, WAIT};
use crate::store::{ClaimOrder, Claimed, EventSnapshot, Job, NewJob, Principal, Refusal, Reopened, Replay, StoreError};
use crate::telemetry::facts;

/// Most bytes of payloads that are processed at once; the rest of the events is left to the Claimers.
const BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// What became of the events of a [`Replay`].
#[derive(Debug, Default)]
pub struct Replayed {
    /// Every event that exists and is visible, as it stood before.
    pub seen: HashMap<i64, EventSnapshot>,
    /// The outcomes of those that were processed.
    pub receipts: HashMap<i64, Receipt>,
    /// Those that were refused, and stayed as they were.
    pub refused: HashMap<i64, Refusal>,
    /// Those whose outcome did not come in time, or for which there was no room at once: they are at work, or will be.
    pub at_work: Vec<i64>,
}

impl Pipeline {
    /// Creates a job, which goes on by itself, on this node or another; `None` while too many run.
    pub async fn make_job(&self, new: NewJob, by: &Principal) -> Result<Option<Job>, StoreError> {
        let job = self.inner.store.create_job(new, by, WAIT).await?;
        self.inner.pools.jobs.send(JobMade);
        Ok(job)
    }

    /// Processes stored events in one transaction, each under a lease of its own. `room` is that of all of them.
    pub async fn process_stored(&self, replay: Replay, room: Room) -> Result<Replayed, StoreError> {
        let inner = &self.inner;
        let order =
            ClaimOrder { boot_id: inner.boot_id, limit: replay.ids.len(), bytes: BYTES_MAX, lease: inner.lease };
        let Reopened { seen, ids, claimed, refused } = inner.store.reopen(replay, inner.replay, order, WAIT).await?;
        if claimed.is_empty() {
            return Ok(Replayed { seen, refused, at_work: ids, ..Replayed::default() });
        }
        facts::claimed(claimed.len());
        let (reply, receipts) = oneshot::channel();
        let unit = self.unit_of(claimed, reply, room);
        inner.ingress.send(inner.ingress.tracker.track(unit));
        let receipts: HashMap<i64, Receipt> = match tokio::time::timeout(inner.ingress.receipt_wait(), receipts).await {
            Ok(Ok(Ok(receipts))) => receipts.into_iter().map(|receipt| (receipt.event_id, receipt)).collect(),
            // The rows are claimed: the node that finds the lease without work behind it goes on.
            _ => HashMap::new(),
        };
        let at_work = ids.into_iter().filter(|id| !receipts.contains_key(id)).collect();
        Ok(Replayed { seen, receipts, refused, at_work })
    }

    fn unit_of(&self, claimed: Vec<Claimed>, reply: Reply, room: Room) -> Unit {
        let item = |claimed: Claimed| {
            let bytes = claimed.event.payload().map_or(0, |payload| payload.len());
            self.inner.claims.hold(claimed.event.id, claimed.lease_token, false, bytes);
            Item::of_claimed(claimed, self.inner.ingress.limits.soft_timeout)
        };
        Unit {
            items: claimed.into_iter().map(item).collect(),
            reply: Some(reply),
            taken_at: Instant::now(),
            permit: Some(room.into_permit()),
            is_spooled: false,
            gives_up: false,
            maybe_stored: false,
            handling: Handling::Lenient,
        }
    }
}
