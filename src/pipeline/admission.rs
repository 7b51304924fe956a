//! What may be in flight: bytes from the first one of a body, events from the door; both until the answer. Nothing is
//! queued without a bound.
//!
//! Mailboxes are no bound: an actor accepts messages beyond its capacity from every clone of its address.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest wait that is asked of a client that was turned away.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Counts what is in flight.
pub(super) struct Admission {
    events: AtomicUsize,
    bytes: AtomicUsize,
    events_max: usize,
    bytes_max: usize,
    done: AtomicU64,
    started: Instant,
    /// Events done up to the start of the present second, and in the second before: the measured drain rate.
    second: AtomicU64,
    done_before: AtomicU64,
    rate: AtomicU64,
}

impl Admission {
    pub fn new(events_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            events: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            events_max,
            bytes_max,
            done: AtomicU64::new(0),
            started: Instant::now(),
            second: AtomicU64::new(0),
            done_before: AtomicU64::new(0),
            rate: AtomicU64::new(0),
        })
    }

    /// A permit for nothing yet, to be grown.
    pub fn begin(self: &Arc<Self>) -> Permit {
        Permit { admission: self.clone(), events: 0, bytes: 0 }
    }

    /// Events and bytes in flight.
    pub fn in_flight(&self) -> (usize, usize) {
        (self.events.load(Ordering::Acquire), self.bytes.load(Ordering::Acquire))
    }

    /// The most of both.
    pub fn limits(&self) -> (usize, usize) {
        (self.events_max, self.bytes_max)
    }

    /// When room can be expected, by the rate at which events were finished lately.
    pub fn retry_after(&self) -> Duration {
        let rate = self.rate.load(Ordering::Relaxed).max(1);
        let waiting = self.events.load(Ordering::Relaxed) as u64;
        Duration::from_secs((waiting / rate).max(1)).min(RETRY_AFTER_MAX)
    }

    fn give_back(&self, events: usize, bytes: usize) {
        self.events.fetch_sub(events, Ordering::AcqRel);
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        let done = self.done.fetch_add(events as u64, Ordering::Relaxed) + events as u64;
        let second = self.started.elapsed().as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            let before = self.done_before.swap(done, Ordering::Relaxed);
            self.rate.store(done.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

/// Room that is taken until this is dropped; it travels with the work.
pub(super) struct Permit {
    admission: Arc<Admission>,
    events: usize,
    bytes: usize,
}

impl Permit {
    /// Takes more room; `false` if there is none now: then it keeps what it had.
    ///
    /// What is larger than all the room is let in when nothing else is in flight: else it could never pass.
    pub fn grow(&mut self, events: usize, bytes: usize) -> bool {
        let fits = |total: &AtomicUsize, max: usize, held: usize, more: usize| {
            let before = total.fetch_add(more, Ordering::AcqRel);
            before + more <= max || before == held
        };
        let room = &self.admission;
        let fit = [
            fits(&room.events, room.events_max, self.events, events),
            fits(&room.bytes, room.bytes_max, self.bytes, bytes),
        ];
        if fit != [true; 2] {
            room.events.fetch_sub(events, Ordering::AcqRel);
            room.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return false;
        }
        self.events += events;
        self.bytes += bytes;
        true
    }

    /// The events that it has room for.
    pub fn events(&self) -> usize {
        self.events
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.give_back(self.events, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(admission: &Arc<Admission>, events: usize, bytes: usize) -> Option<Permit> {
        let mut permit = admission.begin();
        permit.grow(events, bytes).then_some(permit)
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
        let whole = take(&admission, 5, 500).expect("nothing else is in flight");
        assert!(take(&admission, 1, 1).is_none());
        drop(whole);
        assert!(take(&admission, 1, 1).is_some());
    }

    #[test]
    fn a_body_that_grows_is_stopped_at_the_bound_and_its_event_is_not_counted_twice() {
        let admission = Admission::new(3, 100);
        let other = take(&admission, 1, 50).expect("room");
        let mut body = take(&admission, 0, 20).expect("room");
        assert!(body.grow(0, 30));
        assert!(!body.grow(0, 1), "over the bound");
        drop(body);
        assert_eq!(admission.in_flight(), (1, 50), "all of it comes back");
        let mut body = take(&admission, 0, 20).expect("room");
        assert!(body.grow(1, 5));
        assert_eq!(admission.in_flight(), (2, 75));
        drop((other, body));
        assert_eq!(admission.in_flight(), (0, 0));
    }

    #[test]
    fn the_wait_asked_of_a_client_is_bounded() {
        let admission = Admission::new(1_000_000, 1);
        let _all = take(&admission, 1_000_000, 1).expect("room");
        assert_eq!(admission.retry_after(), RETRY_AFTER_MAX);
    }
}
