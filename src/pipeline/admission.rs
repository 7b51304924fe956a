//! What may be in flight: bytes from the first of a body, events from the ingress on; both until the answer. Nothing is
//! queued without a bound.
//!
//! Mailboxes are not a bound: an actor accepts messages beyond its capacity from every clone of its address.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::receipt::{Refused, Unsettled};

/// Room that one event takes in flight beside its body, in bytes: its fields and its entries in the queues.
const EVENT_BYTES: usize = 1_024;

/// Longest wait suggested to a refused client.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Requests that wait for room are woken in turn. One that needs more than there is lets its turn pass; then the
/// next one checks by itself after this time.
const UNWOKEN_MAX: Duration = Duration::from_millis(250);

/// Counts what is in flight.
pub(super) struct Admission {
    /// Events and bytes in flight.
    taken: Mutex<(usize, usize)>,
    events_max: usize,
    bytes_max: usize,
    done: AtomicU64,
    started: Instant,
    /// Events done up to the start of the present second, and in the second before: the measured drain rate.
    second: AtomicU64,
    done_before: AtomicU64,
    rate: AtomicU64,
    /// Wakes one of the requests that wait for room.
    freed: Notify,
    /// Wakes everything that waits until no event is in flight.
    emptied: Notify,
}

impl Admission {
    pub fn new(events_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            events_max,
            bytes_max,
            done: AtomicU64::new(0),
            started: Instant::now(),
            second: AtomicU64::new(0),
            done_before: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            freed: Notify::new(),
            emptied: Notify::new(),
        })
    }

    /// Room for a request, none of it taken yet.
    pub fn room(self: &Arc<Self>) -> Room {
        Room { admission: self.clone(), events: 0, bytes: 0 }
    }

    /// The same, if `bytes` could be taken now.
    pub fn room_for(self: &Arc<Self>, bytes: u64) -> Result<Room, Refused> {
        if self.has_room_for(bytes) { Ok(self.room()) } else { Err(self.full()) }
    }

    /// Events and bytes in flight.
    pub fn in_flight(&self) -> (usize, usize) {
        *self.taken()
    }

    /// The most of both.
    pub fn limits(&self) -> (usize, usize) {
        (self.events_max, self.bytes_max)
    }

    /// A refusal for the reason `why`.
    pub fn refused(&self, why: Unsettled) -> Refused {
        Refused { why, retry_after: self.retry_after() }
    }

    fn full(&self) -> Refused {
        self.refused(Unsettled::Full)
    }

    /// Whether one more event with a body of this many bytes would be let in now.
    fn has_room_for(&self, bytes: u64) -> bool {
        let (events, held) = self.in_flight();
        events < self.events_max && (held == 0 || held as u64 + bytes <= self.bytes_max as u64)
    }

    /// When room can be expected, by the rate at which events were finished lately.
    fn retry_after(&self) -> Duration {
        let rate = self.rate.load(Ordering::Relaxed).max(1);
        let waiting = self.in_flight().0 as u64;
        Duration::from_secs((waiting / rate).max(1)).min(RETRY_AFTER_MAX)
    }

    /// Ends once no event is in flight.
    pub async fn emptied(&self) {
        loop {
            // Before the check: what happens after it counts.
            let emptied = self.emptied.notified();
            if self.in_flight().0 == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn taken(&self) -> MutexGuard<'_, (usize, usize)> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, events: usize, bytes: usize) {
        let mut taken = self.taken();
        *taken = (taken.0 - events, taken.1 - bytes);
        if taken.0 == 0 {
            self.emptied.notify_waiters();
        }
        drop(taken);
        self.freed.notify_one();
        let done = self.done.fetch_add(events as u64, Ordering::Relaxed) + events as u64;
        let second = self.started.elapsed().as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            let before = self.done_before.swap(done, Ordering::Relaxed);
            self.rate.store(done.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

/// Room in flight for a request: for its body as it is read, then for its events, with which it travels; given back
/// when this is dropped.
pub struct Room {
    admission: Arc<Admission>,
    events: usize,
    bytes: usize,
}

impl Room {
    /// Takes `bytes` more, before so much of the body is kept.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        if self.take(0, bytes) { Ok(()) } else { Err(self.admission.full()) }
    }

    /// The same, as soon as there is room within `limit`.
    pub async fn grow_within(&mut self, limit: Duration, bytes: usize) -> Result<(), Refused> {
        if self.take_within(limit, 0, bytes).await { Ok(()) } else { Err(self.admission.full()) }
    }

    /// Makes it the room of `events` events, whose payloads are slices of the body.
    pub fn cover(&mut self, events: usize) -> Result<(), Refused> {
        let more = events.saturating_sub(self.events);
        if self.take(more, more * EVENT_BYTES) { Ok(()) } else { Err(self.admission.full()) }
    }

    /// The same, as soon as there is room within `limit`.
    pub async fn cover_within(&mut self, limit: Duration, events: usize) -> Result<(), Refused> {
        let more = events.saturating_sub(self.events);
        if self.take_within(limit, more, more * EVENT_BYTES).await { Ok(()) } else { Err(self.admission.full()) }
    }

    /// Takes more; `false` if there is none now: then the room stays as it was.
    ///
    /// What is larger than all there is is let in when nothing else is in flight: else it could never pass.
    fn take(&mut self, events: usize, bytes: usize) -> bool {
        let admission = &self.admission;
        let fits = |taken: usize, max: usize, held: usize, more: usize| taken + more <= max || taken == held;
        let mut taken = admission.taken();
        let fit = fits(taken.0, admission.events_max, self.events, events)
            && fits(taken.1, admission.bytes_max, self.bytes, bytes);
        if fit {
            *taken = (taken.0 + events, taken.1 + bytes);
            self.events += events;
            self.bytes += bytes;
        }
        fit
    }

    /// Takes more as soon as there is some; `false` if there was none within `limit`.
    async fn take_within(&mut self, limit: Duration, events: usize, bytes: usize) -> bool {
        let began = Instant::now();
        let mut has_waited = false;
        while !self.take(events, bytes) {
            let Some(left) = limit.checked_sub(began.elapsed()) else { return false };
            // Not being woken is not an error: the others may need less.
            let _ = timeout(left.min(UNWOKEN_MAX), self.admission.freed.notified()).await;
            has_waited = true;
        }
        // What one request gave back may be enough for several.
        if has_waited {
            self.admission.freed.notify_one();
        }
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.admission.give_back(self.events, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(admission: &Arc<Admission>, events: usize, bytes: usize) -> Option<Room> {
        let mut room = admission.room();
        room.take(events, bytes).then_some(room)
    }

    #[test]
    fn room_is_bounded_by_events_and_by_bytes_and_comes_back() {
        let admission = Admission::new(3, 100);
        let first = take(&admission, 2, 10).expect("room");
        assert!(take(&admission, 2, 10).is_none(), "too many events");
        assert!(take(&admission, 1, 91).is_none(), "too many bytes");
        let second = take(&admission, 1, 90).expect("room");
        assert_eq!(admission.in_flight(), (3, 100));
        drop((first, second));
        assert_eq!(admission.in_flight(), (0, 0));
    }

    #[test]
    fn one_request_larger_than_all_the_room_passes_alone() {
        let admission = Admission::new(3, 100);
        assert!(admission.has_room_for(500));
        let whole = take(&admission, 5, 500).expect("nothing else is in flight");
        assert!(take(&admission, 1, 1).is_none() && !admission.has_room_for(1));
        drop(whole);
        assert!(take(&admission, 1, 1).is_some());
    }

    #[test]
    fn a_body_that_grows_is_stopped_at_the_bound_and_its_event_is_not_counted_twice() {
        let admission = Admission::new(3, 100);
        let other = take(&admission, 1, 50).expect("room");
        let mut body = take(&admission, 0, 20).expect("room");
        assert!(body.take(0, 30));
        assert!(!body.take(0, 1), "over the bound");
        drop(body);
        assert_eq!(admission.in_flight(), (1, 50), "all of it comes back");
        let mut body = take(&admission, 0, 20).expect("room");
        assert!(body.take(1, 5));
        assert_eq!(admission.in_flight(), (2, 75));
        drop((other, body));
        assert_eq!(admission.in_flight(), (0, 0));
    }

    #[tokio::test]
    async fn whoever_waits_for_room_gets_it_as_it_comes_back() {
        let admission = Admission::new(10, 100);
        let large = take(&admission, 1, 60).expect("room");
        let small = take(&admission, 1, 40).expect("room");
        let wait = |bytes| {
            let mut room = admission.room();
            tokio::spawn(async move { room.take_within(Duration::MAX, 1, bytes).await.then_some(room) })
        };
        let first = wait(30);
        let second = wait(30);
        let third = wait(60);
        tokio::task::yield_now().await;
        drop(large);
        let both = [first.await.expect("no panic"), second.await.expect("no panic")];
        assert!(both.iter().all(Option::is_some), "what one gave back made room for two");
        drop(small);
        drop(both);
        let last = third.await.expect("no panic");
        assert!(last.is_some(), "room that was too little for it is not the end of its wait");
        assert!(!admission.room().take_within(Duration::ZERO, 1, 60).await, "none within the limit");
        let emptied = admission.emptied();
        drop(last);
        emptied.await;
    }

    #[test]
    fn the_wait_requested_of_a_client_is_bounded() {
        let admission = Admission::new(1_000_000, 1);
        let _all = take(&admission, 1_000_000, 1).expect("room");
        assert_eq!(admission.retry_after(), RETRY_AFTER_MAX);
    }
}
