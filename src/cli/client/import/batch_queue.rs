//! Where reader, senders and state file meet: batches that wait, what is under way, and what is known to be stored.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::batches::{Batch, BatchOutcome};
use super::concurrency::ConcurrencyLimit;

/// Batches that may be ahead of the first one that is not stored: what is held of them is bounded.
const AHEAD_MAX: usize = 64;

/// One import's queue.
pub(super) struct BatchQueue {
    work: Mutex<QueueState>,
    changed: Condvar,
    /// Batches that wait.
    waiting_max: usize,
    patience: Duration,
}

struct QueueState {
    waiting: VecDeque<Batch>,
    at_work: usize,
    /// Outcomes behind one that is still open, by their first event.
    ahead: BTreeMap<u64, BatchOutcome>,
    /// Events from the file's beginning that are done with.
    done: u64,
    /// Outcomes up to there that were not looked at yet.
    fresh: Vec<BatchOutcome>,
    concurrency: ConcurrencyLimit,
    /// Why the last batch had to be given back.
    trouble: Option<String>,
    is_read: bool,
    /// Why the rest of the file could not be read.
    unread: Option<anyhow::Error>,
    end: Option<StopReason>,
}

/// Why no more is sent.
pub(super) enum StopReason {
    /// By a signal.
    Interrupted,
    Failed(anyhow::Error),
}

/// The state of the queue at one look.
pub(super) struct ImportStatus {
    /// Outcomes since the last look, without a gap before them.
    pub(super) fresh: Vec<BatchOutcome>,
    /// Events from the file's beginning that are done with.
    pub(super) done: u64,
    /// Why nothing is sent now, and for how long.
    pub(super) pause: Option<(String, Duration)>,
    /// Requests under way.
    pub(super) at_work: usize,
    /// Whether nothing is left to do, or to be done.
    pub(super) is_over: bool,
    pub(super) is_ended: bool,
}

impl BatchQueue {
    /// For the events behind the first `done`.
    pub(super) fn new(done: u64, connections: u16, patience: Duration) -> Self {
        let work = QueueState {
            waiting: VecDeque::new(),
            at_work: 0,
            ahead: BTreeMap::new(),
            done,
            fresh: Vec::new(),
            concurrency: ConcurrencyLimit::new(connections),
            trouble: None,
            is_read: false,
            unread: None,
            end: None,
        };
        Self { work: Mutex::new(work), changed: Condvar::new(), waiting_max: 2 * usize::from(connections), patience }
    }

    /// Takes a batch of the reader as soon as there is room; `false` if no more are wanted.
    pub(super) fn put(&self, batch: Batch) -> bool {
        let is_full = |work: &mut QueueState| {
            work.end.is_none() && (work.waiting.len() >= self.waiting_max || work.ahead.len() >= AHEAD_MAX)
        };
        let mut work = self.changed.wait_while(self.lock(), is_full).unwrap_or_else(PoisonError::into_inner);
        work.waiting.push_back(batch);
        self.changed.notify_all();
        work.end.is_none()
    }

    /// The reader has read everything, or can read no more; what it read before is sent all the same.
    pub(super) fn finish(&self, result: anyhow::Result<()>) {
        let mut work = self.lock();
        work.is_read = true;
        work.unread = result.err();
        drop(work);
        self.changed.notify_all();
    }

    /// The next batch to send, when the concurrency limit allows it; `None` if there will be none.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut work = self.lock();
        loop {
            let is_through = work.is_read && work.waiting.is_empty() && work.at_work == 0;
            if work.end.is_some() || is_through {
                return None;
            }
            let now = Instant::now();
            if work.concurrency.allows(work.at_work, now)
                && let Some(batch) = work.waiting.pop_front()
            {
                work.at_work += 1;
                self.changed.notify_all();
                return Some(batch);
            }
            let wait = work.concurrency.wait(now).unwrap_or(Duration::from_secs(1));
            work = self.changed.wait_timeout(work, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A batch is done with.
    pub(super) fn settle(&self, outcome: BatchOutcome) {
        let mut work = self.lock();
        work.at_work -= 1;
        work.trouble = None;
        work.concurrency.record_success();
        work.ahead.insert(outcome.first, outcome);
        loop {
            let done = work.done;
            let Some(next) = work.ahead.remove(&done) else { break };
            work.done = next.end;
            work.fresh.push(next);
        }
        self.changed.notify_all();
    }

    /// A batch has to be sent again.
    pub(super) fn requeue(&self, batch: Batch, after: Option<Duration>, why: String) {
        // Without chance all clients come back at once, which is bad but not wrong.
        let dice = getrandom::u32().unwrap_or_default();
        let mut work = self.lock();
        let now = Instant::now();
        work.at_work -= 1;
        work.waiting.push_front(batch);
        work.concurrency.record_failure(after, dice, now);
        let is_over = work.concurrency.failing_for(now) > self.patience;
        work.trouble = Some(why.clone());
        drop(work);
        self.changed.notify_all();
        if is_over {
            self.end(StopReason::Failed(anyhow!("nothing was taken for {:?}: {why}", self.patience)));
        }
    }

    /// A batch can never be sent.
    pub(super) fn give_up(&self, error: anyhow::Error) {
        self.lock().at_work -= 1;
        self.end(StopReason::Failed(error));
    }

    /// Ends the sending; the first reason counts.
    pub(super) fn end(&self, end: StopReason) {
        self.lock().end.get_or_insert(end);
        self.changed.notify_all();
    }

    /// Looks after at most `wait`, or at once when all is over.
    pub(super) fn status(&self, wait: Duration) -> ImportStatus {
        let goes_on = |work: &mut QueueState| !work.is_over();
        let waited = self.changed.wait_timeout_while(self.lock(), wait, goes_on);
        let mut work = waited.unwrap_or_else(PoisonError::into_inner).0;
        let pause = work.concurrency.wait(Instant::now());
        ImportStatus {
            fresh: std::mem::take(&mut work.fresh),
            done: work.done,
            pause: work.trouble.clone().zip(pause),
            at_work: work.at_work,
            is_over: work.is_over(),
            is_ended: work.end.is_some(),
        }
    }

    /// Why the sending ended before the file did.
    pub(super) fn take_end(&self) -> Option<StopReason> {
        let mut work = self.lock();
        work.end.take().or_else(|| work.unread.take().map(StopReason::Failed))
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn is_over(&self) -> bool {
        self.at_work == 0 && (self.end.is_some() || (self.is_read && self.waiting.is_empty()))
    }
}
