//! The entry of the line: admits batches, gives them ids, and waits for their receipts.
//!
//! Guarantees: what gets a receipt is committed; the work goes on when the client goes away; nothing waits without a
//! bound. Not guaranteed: that a refusal of kind [`Refused::Unknown`] stored nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::admission::{Admission, Permit};
use super::messages::Submitted;
use super::pool::Pool;
use super::receipt::{Handling, Receipt, Unsettled};
use super::tracker::{TrackedUnit, UnitTracker};
use super::unit::{Item, Reply, Unit};
use crate::clock;
use crate::domain::dedupe::DedupeKey;
use crate::domain::event::Event;
use crate::domain::submission::Submission;
use crate::store::Ids;
use crate::telemetry::condition::Condition;
use crate::telemetry::facts;
use crate::telemetry::spans::AttemptSpan;

/// Room that one event takes in flight beside its body, in bytes: its fields and its entries in the queues.
const EVENT_BYTES: usize = 1_024;

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

/// Why there are no receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too much is in flight.
    Full {
        /// When room can be expected.
        retry_after: Duration,
    },
    /// A stage is paused; certainly nothing was stored.
    Paused {
        /// When another try makes sense.
        retry_after: Duration,
    },
    /// The node is stopping.
    Draining,
    /// Certainly nothing was stored.
    NotStored {
        /// When another try makes sense.
        retry_after: Duration,
    },
    /// It may be stored: the answer of the database was lost.
    Unknown,
}

/// Room in flight for a request: for its body as it is read, then for its events; given back when this is dropped.
pub struct Room {
    admission: Arc<Admission>,
    permit: Permit,
}

impl Room {
    /// Takes `bytes` more, before so much of the body is kept.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        if self.permit.grow(0, bytes) { Ok(()) } else { Err(full(&self.admission)) }
    }

    /// The same, as soon as there is room within `limit`.
    pub async fn grow_within(&mut self, limit: Duration, bytes: usize) -> Result<(), Refused> {
        if self.permit.grow_within(limit, 0, bytes).await { Ok(()) } else { Err(full(&self.admission)) }
    }

    /// Turns it into the room of `events` events, whose payloads are slices of the body.
    pub fn cover(&mut self, events: usize) -> Result<(), Refused> {
        let more = events.saturating_sub(self.permit.events());
        if self.permit.grow(more, more * EVENT_BYTES) { Ok(()) } else { Err(full(&self.admission)) }
    }

    /// The same, as soon as there is room within `limit`.
    pub async fn cover_within(&mut self, limit: Duration, events: usize) -> Result<(), Refused> {
        let more = events.saturating_sub(self.permit.events());
        if self.permit.grow_within(limit, more, more * EVENT_BYTES).await { Ok(()) } else { Err(full(&self.admission)) }
    }

    /// The room itself, which travels with the work.
    pub(super) fn into_permit(self) -> Permit {
        self.permit
    }
}

fn full(admission: &Admission) -> Refused {
    Refused::Full { retry_after: admission.retry_after() }
}

/// What the ingress needs of the configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct IngressLimits {
    pub accept_timeout: Duration,
    pub soft_timeout: Duration,
}

/// The way into the line.
pub(super) struct Ingress {
    pub admission: Arc<Admission>,
    pub ids: Ids,
    pub validators: Pool<Submitted>,
    pub outbox: Arc<Mutex<Vec<TrackedUnit>>>,
    pub tracker: Arc<UnitTracker>,
    pub limits: IngressLimits,
    pub draining: AtomicBool,
    /// Whether ids can be reserved.
    pub reserving: Condition,
}

impl Ingress {
    /// Room for a request, none of it taken yet.
    pub fn room(&self) -> Room {
        Room { admission: self.admission.clone(), permit: self.admission.begin() }
    }

    /// The same, if `bytes` could be taken now.
    pub fn room_for(&self, bytes: u64) -> Result<Room, Refused> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Refused::Draining);
        }
        if self.admission.has_room_for(bytes) { Ok(self.room()) } else { Err(full(&self.admission)) }
    }

    /// Takes a batch through the line; its receipts come in the order of `entries`.
    pub async fn submit(
        &self,
        entries: Vec<Entry>,
        handling: Handling,
        mut room: Room,
    ) -> Result<Vec<Receipt>, Refused> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Refused::Draining);
        }
        room.cover(entries.len())?;
        let ids = self.take_ids(entries.len()).await?;
        let (reply, receipts) = oneshot::channel();
        let unit = self.unit(entries, handling, (ids, room.permit), reply);
        facts::received(unit.items.len());
        self.send(self.tracker.track(unit));
        match tokio::time::timeout(self.receipt_wait(), receipts).await {
            Ok(Ok(Ok(receipts))) => Ok(receipts),
            Ok(Ok(Err(Unsettled::NotStored | Unsettled::Impossible(_)))) => {
                Err(Refused::NotStored { retry_after: self.admission.retry_after() })
            }
            Ok(Ok(Err(Unsettled::Paused))) => Err(Refused::Paused { retry_after: self.admission.retry_after() }),
            Ok(Ok(Err(Unsettled::Unknown)) | Err(_)) | Err(_) => Err(Refused::Unknown),
        }
    }

    /// Ids for a batch; events that wait for them are stored nowhere yet.
    async fn take_ids(&self, count: usize) -> Result<Vec<i64>, Refused> {
        let refused = || Refused::NotStored { retry_after: self.admission.retry_after() };
        let taken = tokio::time::timeout(self.limits.accept_timeout, self.ids.take(count)).await;
        let taken = taken.map_err(|_| refused())?;
        self.reserving.note(&taken);
        taken.map_err(|_| refused())
    }

    /// How long to wait for a receipt.
    pub fn receipt_wait(&self) -> Duration {
        self.limits.accept_timeout + RECEIPT_MARGIN
    }

    /// Sends the unit together with those that other requests of the same turn of the event loop hand in.
    pub fn send(&self, work: TrackedUnit) {
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.push(work);
        if outbox.len() > 1 {
            return;
        }
        let turn = OutboxGuard { outbox: self.outbox.clone(), validators: self.validators.clone() };
        // Runs when the requests that are ready now have had their turn: no timer, no wait when there is only one.
        tokio::spawn(async move { drop(turn) });
    }

    fn unit(&self, entries: Vec<Entry>, handling: Handling, (ids, permit): (Vec<i64>, Permit), reply: Reply) -> Unit {
        let (now, taken_at) = (clock::now(), Instant::now());
        let event = |(entry, id): (Entry, i64)| Event::new(id, entry.user_id, entry.submission, entry.key, now);
        let item = |event: Event| Item {
            span: AttemptSpan::begin(&event),
            event: Arc::new(event),
            lease: None,
            started_at: now,
            soft_deadline: taken_at + self.limits.soft_timeout,
            result: None,
            has_lines: facts::may_write_lines(),
        };
        Unit {
            items: entries.into_iter().zip(ids).map(event).map(item).collect(),
            reply: Some(reply),
            taken_at,
            permit: Some(permit),
            is_spooled: false,
            gives_up: false,
            maybe_stored: false,
            handling,
        }
    }
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
