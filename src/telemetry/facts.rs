//! The facts of an event's life and of the line's, one function each: what is logged, at which level, and what is counted.
//!
//! `error!` means that a person must look, `warn!` that something went wrong and was mended. No payload, token or
//! email ever stands in a line, except the email where `log.user_email` allows it. A test compares the table of facts in
//! `docs/logging.md` with these functions.

mod budget;
mod event;
mod request;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};
use tracing::{debug, error, info, warn};

pub use self::budget::{configure, count_silent_events, may_write_lines};
pub use self::event::*;
pub use self::request::*;
use super::metrics::catalogue as metrics;

/// A flush was committed.
pub fn flushed(units: usize, events: usize, took: Duration) {
    metrics::FLUSH_EVENTS.observe(events as f64);
    metrics::FLUSH_DURATION.observe(took.as_secs_f64());
    debug!(units, events, took_us = took.as_micros(), "flushed");
}

/// A flush waits for a key that another transaction holds.
pub fn key_awaited(error: &dyn Display) {
    metrics::KEY_WAITS.inc();
    debug!(%error, "a key is held by another transaction, the flush will be tried again");
}

/// A part of the spool is in the database now.
pub fn drained_from_spool(events: usize, left: u64) {
    metrics::DRAINED.inc_by(events as u64);
    if left == 0 {
        info!(events, "the spool is empty");
    } else {
        debug!(events, left, "drained from the spool");
    }
}

/// A unit of the spool was not stored and is set apart, or was tried again in vain.
pub fn spooled_unit_parked(unit: i64, why: &str, tries: i64) {
    if tries > 1 {
        debug!(unit, why, tries, "a parked unit of the spool was tried again in vain");
        return;
    }
    metrics::PARKED.inc();
    error!(unit, why, "a unit of the spool is parked: `gristmill spool status` shows it");
}

/// An operator has the parked units tried again.
pub fn parked_units_retried(units: u64, gives_up: bool) {
    info!(units, gives_up, "parked units of the spool are tried again");
}

/// The spool cannot be read or changed now; it is tried again.
pub fn spool_unreadable(error: &dyn Display) {
    metrics::SPOOL_ERRORS.inc();
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

/// SQLite stayed locked, or its log could not be emptied: a lock of our own may be the cause.
pub fn connections_reopened() {
    warn!("something holds SQLite's locks: all connections are closed and opened again");
}

/// Outcomes came too late: their leases were no longer held, nothing was changed.
pub fn stale_writes_rejected(count: usize) {
    metrics::STALE_WRITES.inc_by(count as u64);
    warn!(count, "late outcomes changed nothing: their leases were no longer held");
}

/// Reserved ids turned out to be taken by other events; new ones are used.
pub fn ids_collided(ids: &[i64]) {
    metrics::ID_COLLISIONS.inc_by(ids.len() as u64);
    error!(?ids, "reserved event ids are taken by other events, new ones are used");
}

/// An actor died or got stuck; what it had in hand goes to another one, or its client gets an error.
pub fn actor_ended(actor: &str, why: &str) {
    metrics::ACTOR_ENDS.of(&[kind_of(actor)]).inc();
    error!(actor, why, "actor ended");
}

/// Too many actors of one pool died: the whole line was built anew.
pub fn line_rebuilt(generation: u64) {
    metrics::LINE_REBUILDS.inc();
    error!(generation, "line rebuilt");
}

/// The line cannot be kept alive: the process ends.
pub fn line_given_up(why: &str) {
    error!(why, "line given up");
}

/// A fresh actor replaced a dead one.
pub fn actor_restarted(actor: &str, restarts: u64) {
    metrics::ACTOR_RESTARTS.of(&[kind_of(actor)]).inc();
    warn!(actor, restarts, "actor restarted");
}

/// An operator gave a pool another size.
pub fn pool_resized(pool: &str, from: usize, to: usize) {
    info!(pool, from, to, "pool resized");
}

/// Work was lost with its actor, or taken from it, and is handed out again.
pub fn work_redelivered(events: usize) {
    metrics::REDELIVERED.inc_by(events as u64);
    warn!(events, "work of another actor handed out again");
}

/// Stored events were claimed to be tried again.
pub fn claimed(events: usize) {
    metrics::CLAIMED.inc_by(events as u64);
    debug!(events, "claimed");
}

/// Events of a dead node were taken over.
pub fn taken_over(node: &str, events: u64) {
    metrics::TAKEN_OVER.inc_by(events);
    warn!(node, events, "events of a dead node taken over");
}

/// Leases without work behind them were given back.
pub fn orphans_released(leases: u64) {
    metrics::ORPHANED_LEASES.inc_by(leases);
    info!(leases, "orphaned leases given back");
}

/// A node has been silent for a whole lease time.
pub fn node_died(node: &str) {
    metrics::NODE_DEATHS.inc();
    warn!(node, "node is silent, its events are taken over");
}

/// Something that worked fails; it is tried again and again, without further lines.
pub fn began_to_fail(what: &str, error: &dyn Display, is_grave: bool) {
    metrics::FAILURES.of(&[what]).inc();
    if is_grave {
        error!(what, %error, "{what} fails");
    } else {
        warn!(what, %error, "{what} fails, will be tried again");
    }
}

/// It failed once more.
pub fn still_fails(what: &str, error: &dyn Display) {
    metrics::FAILURES.of(&[what]).inc();
    debug!(what, %error, "{what} still fails");
}

/// Something that failed works again.
pub fn works_again(what: &str, failures: u64, failed_for: Duration) {
    info!(what, failures, failed_for_ms = failed_for.as_millis(), "{what} works again");
}

/// A job changed some events.
pub fn job_advanced(events: usize) {
    metrics::JOB_EVENTS.inc_by(events as u64);
}

/// A job has met every event of its filter.
pub fn job_done(job_id: i64) {
    metrics::JOBS.of(&["done"]).inc();
    info!(job_id, "job done");
}

/// A job cannot go on.
pub fn job_failed(job_id: i64, error: &dyn Display) {
    metrics::JOBS.of(&["failed"]).inc();
    error!(job_id, %error, "job failed");
}

/// A piece of the removal of old rows was done.
pub fn rows_removed(removed: &BTreeMap<String, u64>, took: Duration) {
    metrics::RETENTION_PIECES.observe(took.as_secs_f64());
    for (what, rows) in removed {
        metrics::ROWS_REMOVED.of(&[what]).inc_by(*rows);
    }
}

/// Rows were written into the archive, and removed.
pub fn rows_archived(rows: usize) {
    metrics::ROWS_ARCHIVED.inc_by(rows as u64);
}

/// A row that is old cannot be read: it stays.
pub fn row_not_archived(table: &str, id: i64, error: &dyn Display) {
    warn!(table, id, %error, "an old row cannot be archived, and stays");
}

/// All old rows are removed.
pub fn retention_ended(removed: &BTreeMap<String, u64>, took: Duration) {
    metrics::RETENTION_RUNS.inc();
    if removed.is_empty() {
        debug!(took_ms = took.as_millis(), "no old rows");
    } else {
        let removed = removed.iter().map(|(what, rows)| format!("{what} {rows}")).collect::<Vec<_>>().join(", ");
        info!(removed, took_ms = took.as_millis(), "old rows removed");
    }
}

/// The node could not sign off in the database; the others notice by its silence.
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

/// What became of everything that was in flight when the service received the signal to stop.
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

/// Log lines were dropped: they found no room, or could not be written.
pub fn log_lines_dropped(lines: usize) {
    metrics::LOG_LINES_DROPPED.inc_by(lines as u64);
}

/// Log lines are written again.
pub fn log_resumed(dropped: usize) {
    warn!(dropped, "log lines were dropped, the reader of the log was too slow or gone");
}

/// The lines that the start prints could not be written.
pub fn greeting_lost(error: &dyn Display) {
    warn!(%error, "standard output takes nothing, what was to be said there is lost");
}

/// Something panicked; whether it was caught, later lines say.
pub fn panicked(panic: &PanicHookInfo<'_>) {
    metrics::PANICS.inc();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or_default();
    error!(location, message, thread = std::thread::current().name(), "panic");
}

/// The collector took spans.
pub fn spans_exported(spans: usize) {
    metrics::SPANS_EXPORTED.inc_by(spans as u64);
}

/// Spans were dropped.
pub fn spans_dropped(reason: &'static str, spans: usize) {
    metrics::SPANS_DROPPED.of(&[reason]).inc_by(spans as u64);
}

/// The process ends before all spans are exported.
pub fn spans_left(limit: Duration) {
    warn!(limit_ms = limit.as_millis(), "spans could not be exported in time");
}

/// Where the work of one stage is counted.
#[derive(Clone, Copy)]
pub struct StageCount {
    duration: &'static Histogram,
    events: &'static IntCounter,
}

impl StageCount {
    /// Of the stage of this name; looked up once for an actor.
    pub fn of(stage: &str) -> Self {
        Self { duration: metrics::STAGE_DURATION.of(&[stage]), events: metrics::STAGE_EVENTS.of(&[stage]) }
    }

    /// The stage was at work on a message with so many events.
    pub fn worked(&self, events: usize, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        self.events.inc_by(events as u64);
    }
}

/// The kind of an actor, which its number follows: `validator-2`.
fn kind_of(actor: &str) -> &str {
    actor.split('-').next().unwrap_or(actor)
}
