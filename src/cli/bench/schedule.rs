//! When requests are sent. In an open loop each is due at a fixed time, whatever the answers take; its latency counts
//! from there, so that a server that stalls is charged for all that should have been sent meanwhile.
//!
//! A thread lets requests go when they are due: the runtime's own timers are only exact to a millisecond, this is to
//! about 0.1 ms. What the error adds is part of the latencies.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// Shortest rest of the thread: what is due within it goes together.
const REST_MIN: Duration = Duration::from_micros(50);

/// Who sends when.
pub(super) struct Schedule {
    taken: Cell<usize>,
    timetable: Option<Timetable>,
    is_over: Arc<AtomicBool>,
}

/// The fixed times of an open loop.
struct Timetable {
    start: Instant,
    per_second: f64,
    /// A permit for each request that is due and was not taken yet.
    due: Arc<Semaphore>,
    thread: JoinHandle<()>,
}

impl Schedule {
    /// An open loop of so many requests per second, else a closed one.
    pub(super) fn start(per_second: Option<u32>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let timetable = per_second.map(|per_second| Timetable::start(f64::from(per_second), &is_over));
        Self { taken: Cell::new(0), timetable, is_over }
    }

    /// Waits for the next request; its number, and when it was due. `None` at the end.
    pub(super) async fn next(&self) -> Option<(usize, Instant)> {
        if let Some(timetable) = &self.timetable {
            timetable.due.acquire().await.ok()?.forget();
        }
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let turn = self.taken.replace(self.taken.get() + 1);
        let due = self.timetable.as_ref().map_or_else(Instant::now, |timetable| timetable.due_at(turn));
        Some((turn, due))
    }

    /// Lets no more requests go.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(timetable) = &self.timetable {
            timetable.due.close();
            timetable.thread.thread().unpark();
        }
    }

    /// When the requests were due that were to be sent until then, and that nobody was free to send.
    pub(super) fn unsent(&self, until: Instant) -> impl Iterator<Item = Instant> {
        let from = self.taken.get();
        let due = self.timetable.iter().flat_map(move |timetable| (from..).map(|turn| timetable.due_at(turn)));
        due.take_while(move |due| *due < until)
    }
}

impl Timetable {
    fn start(per_second: f64, is_over: &Arc<AtomicBool>) -> Self {
        let start = Instant::now();
        let due = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&due);
        let is_over = Arc::clone(is_over);
        let thread = thread::spawn(move || {
            let mut released = 0;
            while !is_over.load(Ordering::Relaxed) {
                let count = (start.elapsed().as_secs_f64() * per_second) as usize + 1;
                permits.add_permits(count - released);
                released = count;
                thread::park_timeout(due_at(start, released, per_second).duration_since(Instant::now()).max(REST_MIN));
            }
        });
        Self { start, per_second, due, thread }
    }

    fn due_at(&self, turn: usize) -> Instant {
        due_at(self.start, turn, self.per_second)
    }
}

fn due_at(start: Instant, turn: usize, per_second: f64) -> Instant {
    start + Duration::from_secs_f64(turn as f64 / per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_are_due_at_fixed_times_however_late_they_are_taken() {
        let schedule = Schedule::start(Some(1_000));
        let mut dues = Vec::new();
        for expected in 0..20 {
            let (turn, due) = schedule.next().await.expect("it goes on");
            assert_eq!(turn, expected);
            assert!(due <= Instant::now() + Duration::from_micros(1), "not before it is due");
            dues.push(due);
        }
        assert_eq!(dues[19].duration_since(dues[0]), Duration::from_millis(19));
        // As if nobody had been free until 30 ms after the start.
        let late: Vec<Instant> = schedule.unsent(dues[0] + Duration::from_millis(30)).collect();
        assert_eq!((late.len(), late[0]), (10, dues[0] + Duration::from_millis(20)));
        schedule.end();
        assert_eq!(schedule.next().await, None);
    }

    #[tokio::test]
    async fn a_closed_loop_is_always_due_and_leaves_nothing_unsent() {
        let schedule = Schedule::start(None);
        let before = Instant::now();
        let (_, due) = schedule.next().await.expect("it goes on");
        assert!(due >= before);
        assert_eq!(schedule.unsent(Instant::now() + Duration::from_secs(9)).count(), 0);
        schedule.end();
        assert_eq!(schedule.next().await, None);
    }
}
