//! Stored events that an operator wants processed: claimed like any other, and answered.

use std::collections::HashMap;

use super::admission::Room;
use super::messages::JobMade;
use super::receipt::Receipt;
use super::unit::{Item, Unit, UnitOrigin};
use super::{Pipeline, PipelineInner, WAIT};
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
        let job = self.inner.deps.store.create_job(new, by, WAIT).await?;
        self.inner.pools.jobs.send(JobMade);
        Ok(job)
    }

    /// Processes stored events in one transaction, each under a lease of its own. `room` is that of all of them.
    pub async fn process_stored(&self, replay: Replay, room: Room) -> Result<Replayed, StoreError> {
        let PipelineInner { deps, ingress, .. } = &*self.inner;
        let order = ClaimOrder {
            boot_id: deps.identity.boot_id,
            limit: replay.ids.len(),
            bytes: BYTES_MAX,
            lease: deps.config.lease.duration,
        };
        let reopened = deps.store.reopen(replay, deps.replay_rules(), order, WAIT).await?;
        let Reopened { seen, ids, claimed, refused } = reopened;
        if claimed.is_empty() {
            return Ok(Replayed { seen, refused, at_work: ids, ..Replayed::default() });
        }
        facts::claimed(claimed.len());
        let items = claimed.into_iter().map(|claimed| self.hold(claimed)).collect();
        let unit = Unit { room: Some(room), ..Unit::new(UnitOrigin::Claim, items) };
        // Without receipts the rows stay claimed: the node that finds the leases without work behind them goes on.
        let receipts = ingress.process(unit).await.unwrap_or_default();
        let receipts: HashMap<i64, Receipt> = receipts.into_iter().map(|receipt| (receipt.event_id, receipt)).collect();
        let at_work = ids.into_iter().filter(|id| !receipts.contains_key(id)).collect();
        Ok(Replayed { seen, receipts, refused, at_work })
    }

    fn hold(&self, claimed: Claimed) -> Item {
        let bytes = claimed.event.payload().map_or(0, |payload| payload.len());
        self.inner.deps.claims.hold(claimed.event.id, claimed.lease_token, false, bytes);
        Item::of_claimed(claimed, self.inner.deps.config.timeouts.processing_soft())
    }
}
