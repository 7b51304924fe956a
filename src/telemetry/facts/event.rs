//! The facts of one event's life, and of the stages that it goes through.
//!
//! An event may be without lines of its own (`has_lines`); it is counted all the same.

use std::fmt::Display;
use std::sync::LazyLock;

use prometheus::IntCounter;
use tracing::{error, info, warn};

use super::budget::may_write_emails;
use crate::domain::event::Event;
use crate::domain::outcome::{Outcome, Status};
use crate::domain::timestamp;
use crate::telemetry::metrics::catalogue::{self as metrics, NONE};

/// Where nearly all events are counted.
static PROCESSED: LazyLock<&'static IntCounter> = LazyLock::new(|| metrics::EVENTS.of(&["processed", NONE]));

/// Events were handed to the line.
pub fn received(events: usize) {
    metrics::RECEIVED.inc_by(events as u64);
}

/// An attempt at an event began (the reference's `task_prerun`).
pub fn started(event: &Event, attempt: u32, has_lines: bool) {
    metrics::STARTED.inc();
    if has_lines {
        info!(event_id = event.id, task_id = %event.task_id, attempt, stage = "validator", trace_id = event.trace_id(), "[Event {}] Starting processing", event.id);
    }
}

/// The event's user was found.
pub fn user_found(event: &Event, email: &str) {
    if may_write_emails() {
        info!(
            event_id = event.id,
            stage = "validator",
            trace_id = event.trace_id(),
            "[Event {}] User: {email}",
            event.id
        );
    } else {
        info!(
            event_id = event.id,
            stage = "validator",
            trace_id = event.trace_id(),
            "[Event {}] User: {}",
            event.id,
            event.user_id
        );
    }
}

/// The event passed the Validator.
pub fn validated(event: &Event, has_lines: bool) {
    metrics::VALIDATED.inc();
    if has_lines {
        info!(
            event_id = event.id,
            stage = "validator",
            trace_id = event.trace_id(),
            "[Event {}] Payload validation passed",
            event.id
        );
    }
}

/// An outcome was committed; `has_lines` is the event's share in the line budget.
pub fn persisted(event: &Event, outcome: &Outcome, has_lines: bool) {
    match outcome.status {
        Status::Processed => succeeded(event, outcome, has_lines),
        Status::Pending => retry_scheduled(event, outcome),
        Status::Failed => failed(event, outcome),
        Status::ValidationError => rejected(event, outcome, has_lines),
        Status::Duplicate => duplicate(event, outcome.duplicate_of.unwrap_or_default(), has_lines),
        // No attempt ends so.
        Status::Cancelled => {}
    }
}

/// The reference's `task_postrun`.
fn succeeded(event: &Event, outcome: &Outcome, has_lines: bool) {
    PROCESSED.inc();
    if has_lines {
        let at = outcome.processed_at.map(timestamp::render).unwrap_or_default();
        let id = event.id;
        let attempt = outcome.attempts;
        info!(event_id = id, stage = "persister", trace_id = event.trace_id(), "[Event {id}] Marked processed at {at}");
        info!(event_id = id, task_id = %event.task_id, attempt, stage = "persister", trace_id = event.trace_id(), "[Event {id}] Processing completed successfully");
    }
}

/// The reference's retry signal.
fn retry_scheduled(event: &Event, outcome: &Outcome) {
    let id = event.id;
    let attempt = outcome.attempts;
    let delay = outcome.retry_in.unwrap_or_default();
    metrics::RETRIES.of(&[outcome.error_code.unwrap_or(NONE)]).inc();
    metrics::RETRY_DELAY.observe(delay.as_secs_f64());
    let reason = outcome.processing_error.as_deref().unwrap_or("deferred");
    warn!(event_id = id, task_id = %event.task_id, attempt, code = outcome.error_code, reason, trace_id = event.trace_id(), "[Event {id}] Retry in {delay:.1?}");
}

/// The reference's `task_failure`.
fn failed(event: &Event, outcome: &Outcome) {
    let id = event.id;
    let attempt = outcome.attempts;
    metrics::EVENTS.of(&["failed", outcome.error_code.unwrap_or(NONE)]).inc();
    let reason = outcome.processing_error.as_deref();
    error!(event_id = id, task_id = %event.task_id, attempt, code = outcome.error_code, reason, trace_id = event.trace_id(), "[Event {id}] Processing failed");
}

/// The event is invalid, and stored as such.
fn rejected(event: &Event, outcome: &Outcome, has_lines: bool) {
    metrics::EVENTS.of(&["validation_error", outcome.error_code.unwrap_or(NONE)]).inc();
    if has_lines {
        let id = event.id;
        let reason = outcome.processing_error.as_deref();
        info!(event_id = id, task_id = %event.task_id, code = outcome.error_code, reason, trace_id = event.trace_id(), "[Event {id}] Validation failed");
    }
}

/// The event is stored already, under the same key: nothing was written, or a row that names the first.
pub fn duplicate(event: &Event, first: i64, has_lines: bool) {
    metrics::EVENTS.of(&["duplicate", NONE]).inc();
    if has_lines {
        info!(event_id = event.id, task_id = %event.task_id, first, trace_id = event.trace_id(), "[Event {}] Duplicate of event {first}", event.id);
    }
}

/// The event's key is held by another event with other content: nothing was written.
pub fn key_conflict(event: &Event, first: i64, has_lines: bool) {
    metrics::EVENTS.of(&["conflict", "event_uid_conflict"]).inc();
    if has_lines {
        info!(event_id = event.id, task_id = %event.task_id, first, trace_id = event.trace_id(), "[Event {}] Key is held by event {first}", event.id);
    }
}

/// The event is invalid, and not stored.
pub fn not_kept(code: &'static str) {
    metrics::EVENTS.of(&["not_kept", code]).inc();
}

/// The event is valid, and not stored because others of its request are not.
pub fn withheld() {
    metrics::EVENTS.of(&["withheld", NONE]).inc();
}

/// Events without a row were given up: certainly not stored, or nobody knows.
pub fn given_up(events: usize, maybe_stored: bool) {
    metrics::EVENTS.of(&[if maybe_stored { "unknown" } else { "not_stored" }, NONE]).inc_by(events as u64);
}

/// The work on one event panicked; the others in its unit were not disturbed.
pub fn stage_panicked(event: &Event, stage: &'static str, panic: &str) {
    metrics::STAGE_PANICS.of(&[stage]).inc();
    error!(event_id = event.id, task_id = %event.task_id, stage, panic, trace_id = event.trace_id(), "[Event {}] Panic caught", event.id);
}

/// The database refuses an event's data; it is stored as failed, without them.
pub fn refused_by_database(event: &Event, error: &dyn Display) {
    error!(event_id = event.id, task_id = %event.task_id, %error, trace_id = event.trace_id(), "[Event {}] Refused by the database", event.id);
}

/// An event could not be stored at all; its client got an error.
pub fn not_stored(event: &Event, error: &dyn Display) {
    error!(event_id = event.id, task_id = %event.task_id, %error, trace_id = event.trace_id(), "[Event {}] Not stored", event.id);
}

/// An event is synced in the spool.
pub fn spooled(event: &Event, has_lines: bool) {
    metrics::SPOOLED.inc();
    if has_lines {
        info!(event_id = event.id, task_id = %event.task_id, stage = "persister", trace_id = event.trace_id(), "[Event {}] Spooled", event.id);
    }
}

/// An operator cancelled a pending event.
pub fn cancelled() {
    metrics::CANCELLED.inc();
}
