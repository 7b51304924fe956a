//! The entry of the line: admits batches, gives them ids, and waits for their receipts.
//!
//! Guarantees: what gets a receipt is committed; the work goes on when the client goes away; nothing waits without a
//! bound. Not guaranteed: that a refusal as [`Unsettled::Unknown`] stored nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::admission::{Admission, Room};
use super::deps::Deps;
use super::messages::Submitted;
use super::pool::Pool;
use super::receipt::{Handling, Receipt, Refused, Unsettled};
use super::topology::Line;
use super::tracker::{TrackedUnit, UnitTracker};
use super::unit::{Item, Unit, UnitOrigin, UnitResult};
use crate::clock;
use crate::domain::dedupe::DedupeKey;
use crate::domain::event::Event;
use crate::domain::submission::Submission;
use crate::store::Ids;
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;

/// How much longer than the line's own limit to wait for a receipt: only a stuck stage takes so long.
const RECEIPT_MARGIN: Duration = Duration::from_secs(2);

/// One event of a request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The user that the event is for.
    pub user_id: i64,
    /// What was submitted.
    pub submission: Submission,
    /// Under which key the event may exist only once.
    pub key: Option<DedupeKey>,
}

/// The way into the line.
pub(super) struct Ingress {
    pub admission: Arc<Admission>,
    pub ids: Ids,
    deps: Arc<Deps>,
    validators: Pool<Submitted>,
    tracker: Arc<UnitTracker>,
    outbox: Arc<Mutex<Vec<TrackedUnit>>>,
    /// Whether ids can be reserved.
    reserving: Condition,
}

impl Ingress {
    /// The way into `line`, through `admission`.
    pub fn new(line: &Line, admission: Arc<Admission>) -> Self {
        Self {
            admission,
            ids: line.writer.ids.clone(),
            deps: line.deps.clone(),
            validators: line.pools.submitted.clone(),
            tracker: line.tracker.clone(),
            outbox: Arc::default(),
            reserving: Condition::new("reserving ids"),
        }
    }

    /// Room for a body of `bytes`, if they could be taken now.
    pub fn room_for(&self, bytes: u64) -> Result<Room, Refused> {
        self.refuse_when_closed()?;
        self.admission.room_for(bytes)
    }

    /// Takes a batch through the line; its receipts come in the order of `entries`.
    pub async fn submit(
        &self,
        entries: Vec<Entry>,
        handling: Handling,
        mut room: Room,
    ) -> Result<Vec<Receipt>, Refused> {
        self.refuse_when_closed()?;
        room.cover(entries.len())?;
        let ids = self.take_ids(entries.len()).await?;
        let mut unit =
            Unit::new(UnitOrigin::Request(handling), items(entries, ids, self.deps.config.timeouts.processing_soft()));
        unit.room = Some(room);
        facts::received(unit.items.len());
        self.process(unit).await.map_err(|why| self.admission.refused(why))
    }

    /// Takes a unit through the line.
    pub async fn process(&self, mut unit: Unit) -> UnitResult {
        let outcome = unit.expect_reply();
        self.send(self.tracker.track(unit));
        match tokio::time::timeout(self.deps.config.timeouts.accept + RECEIPT_MARGIN, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Unsettled::Unknown),
        }
    }

    fn refuse_when_closed(&self) -> Result<(), Refused> {
        match self.deps.stopping.is_closed() {
            true => Err(self.admission.refused(Unsettled::Draining)),
            false => Ok(()),
        }
    }

    /// Ids for a batch; events that wait for them are stored nowhere yet.
    async fn take_ids(&self, count: usize) -> Result<Vec<i64>, Refused> {
        let not_stored = || self.admission.refused(Unsettled::NotStored);
        let taken = tokio::time::timeout(self.deps.config.timeouts.accept, self.ids.take(count)).await;
        let taken = taken.map_err(|_| not_stored())?;
        self.reserving.note(&taken);
        taken.map_err(|_| not_stored())
    }

    /// Sends the unit together with those that other requests of the same turn of the event loop hand in.
    fn send(&self, work: TrackedUnit) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.push(work);
        if outbox.len() > 1 {
            return;
        }
        let turn = OutboxGuard { outbox: self.outbox.clone(), validators: self.validators.clone() };
        // Runs when the requests that are ready now have had their turn: no timer, no wait when there is only one.
        tokio::spawn(async move { drop(turn) });
    }
}

/// First attempts, which begin with the receipt of their events.
fn items(entries: Vec<Entry>, ids: Vec<i64>, soft_timeout: Duration) -> Vec<Item> {
    let received_at = clock::now();
    let soft_deadline = Instant::now() + soft_timeout;
    let item = |(Entry { user_id, submission, key }, id): (Entry, i64)| {
        let event = Event::new(id, user_id, submission, key, received_at);
        Item::new(event, received_at, soft_deadline)
    };
    entries.into_iter().zip(ids).map(item).collect()
}

/// Units handed in during one turn of an event loop; sent when it is over, even if the loop itself ends.
struct OutboxGuard {
    outbox: Arc<Mutex<Vec<TrackedUnit>>>,
    validators: Pool<Submitted>,
}

impl Drop for OutboxGuard {
    fn drop(&mut self) {
        let works = std::mem::take(&mut *self.outbox.lock().unwrap_or_else(PoisonError::into_inner));
        self.validators.send(Submitted(works));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Else no row would be plain, and every write take the long way.
    #[test]
    fn a_first_attempt_begins_with_the_receipt() {
        let entries = vec![Entry { user_id: 1, submission: Submission::default(), key: None }; 3];
        let items = items(entries, vec![7, 8, 9], Duration::from_secs(60));
        assert_eq!(items.iter().map(|item| item.event.id).collect::<Vec<_>>(), [7, 8, 9]);
        assert!(items.iter().all(|item| item.started_at == item.event.received_at));
    }
}
