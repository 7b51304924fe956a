//! The facts of an event's life and of the line's, one function each: what is logged, and at which level.
//!
//! `error!` means that a person must look, `warn!` that something went wrong and was mended. No payload, token or
//! email ever stands in a line, except the email where `log.user_email` allows it.

use std::fmt::Display;
use std::net::SocketAddr;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use crate::config::Log;
use crate::domain::event::Event;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::timestamp;

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
pub fn configure(log: &Log) {
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
            info!(events, "events taken in without lines of their own");
        }
    }
}

/// An attempt at an event began (the reference's `task_prerun`).
pub fn started(event: &Event, attempt: u32) {
    info!(event_id = event.id, task_id = %event.task_id, attempt, stage = "validator", "[Event {}] Starting processing", event.id);
}

/// The event's user was found.
pub fn user_found(event: &Event, email: &str) {
    if *budget().with_email.read().unwrap_or_else(PoisonError::into_inner) {
        info!(event_id = event.id, stage = "validator", "[Event {}] User: {email}", event.id);
    } else {
        info!(event_id = event.id, stage = "validator", "[Event {}] User: {}", event.id, event.user_id);
    }
}

/// The event passed the Validator.
pub fn validated(event: &Event) {
    info!(event_id = event.id, stage = "validator", "[Event {}] Payload validation passed", event.id);
}

/// An outcome was committed; `has_lines` is the event's share in the line budget.
pub fn persisted(event: &Event, outcome: &Outcome, has_lines: bool) {
    match outcome.status {
        Status::Processed if has_lines => succeeded(event, outcome),
        Status::Pending => retry_scheduled(event, outcome),
        Status::Failed => failed(event, outcome),
        Status::ValidationError if has_lines => rejected(event, outcome),
        _ => {}
    }
}

/// The reference's `task_postrun`.
fn succeeded(event: &Event, outcome: &Outcome) {
    let at = outcome.processed_at.map(timestamp::render).unwrap_or_default();
    let (id, attempt) = (event.id, outcome.attempts);
    info!(event_id = id, stage = "persister", "[Event {id}] Marked processed at {at}");
    info!(event_id = id, task_id = %event.task_id, attempt, stage = "persister", "[Event {id}] Processing completed successfully");
}

/// The reference's retry signal.
fn retry_scheduled(event: &Event, outcome: &Outcome) {
    let (id, attempt) = (event.id, outcome.attempts);
    let delay = outcome.retry_in.unwrap_or_default();
    let reason = outcome.processing_error.as_deref().unwrap_or("deferred");
    warn!(event_id = id, task_id = %event.task_id, attempt, code = outcome.error_code, reason, "[Event {id}] Retry in {delay:.1?}");
}

/// The reference's `task_failure`.
fn failed(event: &Event, outcome: &Outcome) {
    let (id, attempt) = (event.id, outcome.attempts);
    let reason = outcome.processing_error.as_deref();
    error!(event_id = id, task_id = %event.task_id, attempt, code = outcome.error_code, reason, "[Event {id}] Processing failed");
}

fn rejected(event: &Event, outcome: &Outcome) {
    let (id, reason) = (event.id, outcome.processing_error.as_deref());
    info!(event_id = id, task_id = %event.task_id, code = outcome.error_code, reason, "[Event {id}] Validation failed");
}

/// The event is stored already, under the same key: nothing was written.
pub fn duplicate(event: &Event, first: i64) {
    info!(event_id = event.id, task_id = %event.task_id, first, "[Event {}] Duplicate of event {first}", event.id);
}

/// The event's key is held by another event with other content: nothing was written.
pub fn key_conflict(event: &Event, first: i64) {
    info!(event_id = event.id, task_id = %event.task_id, first, "[Event {}] Key is held by event {first}", event.id);
}

/// The work on one event panicked; its neighbours were not disturbed.
pub fn stage_panicked(event: &Event, stage: &'static str, panic: &str) {
    error!(event_id = event.id, task_id = %event.task_id, stage, panic, "[Event {}] Panic caught", event.id);
}

/// The database refuses an event's data; it is stored as failed, without them.
pub fn refused_by_database(event: &Event, error: &dyn Display) {
    error!(event_id = event.id, task_id = %event.task_id, %error, "[Event {}] Refused by the database", event.id);
}

/// An event could not be stored at all; its client was told.
pub fn not_stored(event: &Event, error: &dyn Display) {
    error!(event_id = event.id, task_id = %event.task_id, %error, "[Event {}] Not stored", event.id);
}

/// A flush was committed.
pub fn flushed(units: usize, events: usize, took: Duration) {
    debug!(units, events, took_us = took.as_micros(), "flushed");
}

/// A flush waits for a key that another transaction holds.
pub fn key_awaited(error: &dyn Display) {
    debug!(%error, "a key is held by another transaction, the flush will be tried again");
}

/// An event is synced in the spool.
pub fn spooled(event: &Event) {
    info!(event_id = event.id, task_id = %event.task_id, stage = "persister", "[Event {}] Spooled", event.id);
}

/// A part of the spool is in the database now.
pub fn drained_from_spool(events: usize, left: u64) {
    if left == 0 {
        info!(events, "the spool is empty");
    } else {
        debug!(events, left, "drained from the spool");
    }
}

/// A unit of the spool will never be stored: it is set apart.
pub fn spooled_unit_parked(unit: i64, why: &str) {
    error!(unit, why, "a unit of the spool is parked: `gristmill spool status` shows it");
}

/// The spool cannot be read or changed now; it is tried again.
pub fn spool_unreadable(error: &dyn Display) {
    error!(%error, "the spool cannot be read");
}

/// Events wait in the spool since an earlier start.
pub fn spool_found(events: u64, parked: u64) {
    warn!(events, parked, "the spool holds events of an earlier start");
}

/// The database cannot be reached at the start; the node is not ready and goes on trying.
pub fn waiting_for_database(error: &dyn Display) {
    warn!(%error, "the database cannot be reached, waiting for it");
}

/// A damaged spool was put aside; what it held has to be looked at by a person.
pub fn spool_set_aside(path: &Path) {
    error!(path = %path.display(), "the spool was damaged and is set aside");
}

/// Outcomes came too late: their leases were no longer held, nothing was changed.
pub fn stale_writes_rejected(count: usize) {
    warn!(count, "late outcomes changed nothing: their leases were no longer held");
}

/// Reserved ids turned out to be taken by other events; new ones are used.
pub fn ids_collided(ids: &[i64]) {
    error!(?ids, "reserved event ids are taken by other events, new ones are used");
}

/// An actor died or got stuck; what it had in hand goes to another one, or its client gets an error.
pub fn actor_ended(actor: &str, why: &str) {
    error!(actor, why, "actor ended");
}

/// Too many actors of one pool died: the whole line was built anew.
pub fn line_rebuilt(generation: u64) {
    error!(generation, "line rebuilt");
}

/// The line cannot be kept alive: the process ends.
pub fn line_given_up(why: &str) {
    error!(why, "line given up");
}

/// A fresh actor took a dead one's place.
pub fn actor_restarted(actor: &str, restarts: u64) {
    warn!(actor, restarts, "actor restarted");
}

/// An operator gave a pool another size.
pub fn pool_resized(pool: &str, from: usize, to: usize) {
    info!(pool, from, to, "pool resized");
}

/// Work was lost with its actor, or taken from it, and is handed out again.
pub fn work_redelivered(events: usize) {
    warn!(events, "work of another actor handed out again");
}

/// Stored events were claimed to be tried again.
pub fn claimed(events: usize) {
    debug!(events, "claimed");
}

/// Events of a dead node were taken over.
pub fn taken_over(node: &str, events: u64) {
    warn!(node, events, "events of a dead node taken over");
}

/// Leases without work behind them were given back.
pub fn orphans_released(leases: u64) {
    info!(leases, "orphaned leases given back");
}

/// A node has been silent for a whole lease time.
pub fn node_died(node: &str) {
    warn!(node, "node is silent, its events are taken over");
}

/// Something that worked fails; it is tried again and again, without further lines.
pub fn began_to_fail(what: &str, error: &dyn Display, is_grave: bool) {
    if is_grave {
        error!(what, %error, "{what} fails");
    } else {
        warn!(what, %error, "{what} fails, will be tried again");
    }
}

/// It failed once more.
pub fn still_fails(what: &str, error: &dyn Display) {
    debug!(what, %error, "{what} still fails");
}

/// Something that failed works again.
pub fn works_again(what: &str, failures: u64, failed_for: Duration) {
    info!(what, failures, failed_for_ms = failed_for.as_millis(), "{what} works again");
}

/// A job has met every event of its filter.
pub fn job_done(job_id: i64) {
    info!(job_id, "job done");
}

/// A job cannot go on.
pub fn job_failed(job_id: i64, error: &dyn Display) {
    error!(job_id, %error, "job failed");
}

/// The node could not take leave of the database; the others notice by its silence.
pub fn leave_failed(error: &dyn Display) {
    warn!(%error, "leases could not be given back, or the node not marked as stopped");
}

/// The service answers.
pub fn ready(api: SocketAddr, operations: SocketAddr, database: &str, took: Duration) {
    info!(%api, %operations, database, took_ms = took.as_millis(), "ready");
}

/// The service stops: it takes nothing new and finishes what it has.
pub fn draining(why: &str) {
    info!(why, "draining");
}

/// What became of everything that was in flight when the service was told to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stopped {
    /// Events that were in flight and are settled.
    pub settled: usize,
    /// Events that wait in the spool, for the next start.
    pub spooled: u64,
    /// Claims that were given back, for another node or the next start.
    pub released: u64,
    /// Events still in flight: never acknowledged.
    pub unanswered: usize,
    /// How long it took.
    pub took: Duration,
}

/// The service has stopped.
pub fn stopped(Stopped { settled, spooled, released, unanswered, took }: Stopped) {
    info!(settled, spooled, released, unanswered, took_ms = took.as_millis(), "stopped");
}

/// Something panicked; whether it was caught, later lines say.
pub fn panicked(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or_default();
    error!(location, message, thread = std::thread::current().name(), "panic");
}
