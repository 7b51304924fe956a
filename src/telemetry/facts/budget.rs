//! How many events may write log lines of their own.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Instant;

use tracing::info;

use crate::config::LogConfig;
use crate::telemetry::metrics::catalogue as metrics;

/// Lines that a processed event writes in all.
const LINES_PER_EVENT: u32 = 5;

/// How many events may write their lines this second, and how many went without.
struct LineBudget {
    events_per_second: AtomicU32,
    with_email: RwLock<bool>,
    began: Instant,
    second: AtomicU64,
    spent: AtomicU32,
    silent: AtomicU64,
}

fn budget() -> &'static LineBudget {
    static BUDGET: OnceLock<LineBudget> = OnceLock::new();
    BUDGET.get_or_init(|| LineBudget {
        events_per_second: AtomicU32::new(u32::MAX),
        with_email: RwLock::new(false),
        began: Instant::now(),
        second: AtomicU64::new(0),
        spent: AtomicU32::new(0),
        silent: AtomicU64::new(0),
    })
}

/// Sets how many lines events may write in a second, and whether emails may stand in them.
pub fn configure(log: &LogConfig) {
    let events = log.event_lines_per_second.div_ceil(LINES_PER_EVENT);
    budget().events_per_second.store(events, Ordering::Relaxed);
    *budget().with_email.write().unwrap_or_else(PoisonError::into_inner) = log.user_email;
}

/// Whether another event may write its lines in this second; those that may not are counted in one line a second.
pub fn may_write_lines() -> bool {
    count_silent_events();
    let budget = budget();
    let may = budget.spent.fetch_add(1, Ordering::Relaxed) < budget.events_per_second.load(Ordering::Relaxed);
    if !may {
        budget.silent.fetch_add(1, Ordering::Relaxed);
    }
    may
}

/// Writes the line of a second that is over; called now and then, so that the last second of a load gets its line too.
pub fn count_silent_events() {
    let budget = budget();
    let second = budget.began.elapsed().as_secs();
    if budget.second.swap(second, Ordering::Relaxed) != second {
        budget.spent.store(0, Ordering::Relaxed);
        let events = budget.silent.swap(0, Ordering::Relaxed);
        if events > 0 {
            metrics::SILENT.inc_by(events);
            info!(events, "events taken in without lines of their own");
        }
    }
}

/// Whether emails may stand in lines.
pub(super) fn may_write_emails() -> bool {
    *budget().with_email.read().unwrap_or_else(PoisonError::into_inner)
}
