//! Every metric that facts count. What is looked at only when it is scraped stands in `telemetry/scrape.rs`.

use std::sync::OnceLock;

use super::{Answers, Counter, Durations, Exposition, Family, Histogram, Metric, Scale, Single};
use crate::domain::outcome::TransientCode;
use crate::domain::rejection::RejectCode;

/// A code that does not apply.
pub const NONE: &str = "none";

/// The actors, by the names of their kinds.
const STAGES: [&str; 7] = ["validator", "normalizer", "persister", "retry", "claimer", "drainer", "replayer"];

/// Codes of failed events.
const FAILED: [&str; 5] = ["retries_exhausted", "poison", "refused", "event_unreadable", "event_uid_conflict"];

/// What may fail for a time: the subjects of `Condition`.
const CONDITIONS: [&str; 20] = [
    "writing events",
    "spooling events",
    "reserving ids",
    "making the next partition of events",
    "the database file",
    "heartbeat",
    "housekeeping",
    "moving the clock of keys",
    "emptying SQLite's log",
    "claiming",
    "jobs",
    "look-up of users",
    "the look for changed tokens",
    "the look at the feed",
    "the look at the newest outcomes",
    "listening for hints",
    "listening for changes of the controls",
    "following the controls",
    "telling what the line looks like",
    "exporting spans",
];

/// Events by what became of them.
pub static EVENTS: Family<Counter> = Family::new(
    "gristmill_events_total",
    "Events that came to an end, by outcome and code. processed, validation_error, failed and duplicate are those of the \
     database; conflict, not_kept, withheld, not_stored and unknown have no row of their own.",
    &["outcome", "code"],
    outcomes,
    Counter::new,
);

fn outcomes() -> Vec<Vec<&'static str>> {
    let alone = ["processed", "duplicate", "withheld", "not_stored", "unknown"].map(|outcome| vec![outcome, NONE]);
    let rejected = ["validation_error", "not_kept"]
        .into_iter()
        .flat_map(|outcome| RejectCode::ALL.map(|code| vec![outcome, code.as_str()]));
    let failed = FAILED.map(|code| vec!["failed", code]);
    alone.into_iter().chain([vec!["conflict", "event_uid_conflict"]]).chain(rejected).chain(failed).collect()
}

/// Events that were taken in.
pub static RECEIVED: Single<Counter> =
    Single::new("gristmill_events_received_total", "Events that requests handed to the line.", Counter::new());

/// Attempts that began.
pub static STARTED: Single<Counter> =
    Single::new("gristmill_attempts_started_total", "Attempts at events that began.", Counter::new());

/// Events that passed the Validator.
pub static VALIDATED: Single<Counter> =
    Single::new("gristmill_events_validated_total", "Attempts that passed the checks.", Counter::new());

/// Attempts that are to be repeated.
pub static RETRIES: Family<Counter> = Family::new(
    "gristmill_retries_total",
    "Attempts that failed in a way that may pass and are to be repeated, by code.",
    &["code"],
    || TransientCode::ALL.map(TransientCode::as_str).into_iter().chain([NONE]).map(|code| vec![code]).collect(),
    Counter::new,
);

/// How long they are to wait.
pub static RETRY_DELAY: Single<Histogram> = Single::new(
    "gristmill_retry_delay_seconds",
    "Delays until the next attempt, as they were set.",
    Histogram::new(Scale::WAITS),
);

/// Panics in the work on an event.
pub static STAGE_PANICS: Family<Counter> = Family::new(
    "gristmill_stage_panics_total",
    "Panics in the work on one event, caught, by stage.",
    &["stage"],
    stages,
    Counter::new,
);

/// All panics.
pub static PANICS: Single<Counter> =
    Single::new("gristmill_panics_total", "Panics of any kind, caught or not.", Counter::new());

/// Work on messages.
pub static STAGE_DURATION: Family<Histogram> = Family::new(
    "gristmill_stage_duration_seconds",
    "Time that a stage was at work on one message, which is a batch of units.",
    &["stage"],
    stages,
    || Histogram::new(Scale::TIMES),
);

/// Events worked on.
pub static STAGE_EVENTS: Family<Counter> =
    Family::new("gristmill_stage_events_total", "Events that went through a stage.", &["stage"], stages, Counter::new);

/// Sizes of flushes.
pub static FLUSH_EVENTS: Single<Histogram> = Single::new(
    "gristmill_flush_events",
    "Events of one flush, which is one transaction.",
    Histogram::new(Scale::SIZES),
);

/// Times of flushes.
pub static FLUSH_DURATION: Single<Histogram> = Single::new(
    "gristmill_flush_duration_seconds",
    "Time from the start of a flush to the answer to its COMMIT.",
    Histogram::new(Scale::TIMES),
);

/// Flushes that were held up by a key.
pub static KEY_WAITS: Single<Counter> =
    Single::new("gristmill_key_waits_total", "Flushes that met a key held by another transaction.", Counter::new());

/// Outcomes that came too late.
pub static STALE_WRITES: Single<Counter> = Single::new(
    "gristmill_stale_writes_total",
    "Outcomes that changed nothing, because their lease was no longer held.",
    Counter::new(),
);

/// Ids that belonged to others.
pub static ID_COLLISIONS: Single<Counter> =
    Single::new("gristmill_id_collisions_total", "Reserved ids that other events had already.", Counter::new());

/// Events put into the spool.
pub static SPOOLED: Single<Counter> =
    Single::new("gristmill_spooled_events_total", "Events put into the spool of this node.", Counter::new());

/// Events that left it.
pub static DRAINED: Single<Counter> =
    Single::new("gristmill_drained_events_total", "Events that left the spool for the database.", Counter::new());

/// Units set apart.
pub static PARKED: Single<Counter> =
    Single::new("gristmill_parked_units_total", "Units of the spool that were set apart.", Counter::new());

/// Failures of the spool.
pub static SPOOL_ERRORS: Single<Counter> =
    Single::new("gristmill_spool_errors_total", "Reads and changes of the spool that failed.", Counter::new());

/// Actors that came to an end.
pub static ACTOR_ENDS: Family<Counter> = Family::new(
    "gristmill_actor_ends_total",
    "Actors that died, got stuck or hung, by kind.",
    &["stage"],
    stages,
    Counter::new,
);

/// Actors that were replaced.
pub static ACTOR_RESTARTS: Family<Counter> = Family::new(
    "gristmill_actor_restarts_total",
    "Actors that took the place of one that ended, by kind.",
    &["stage"],
    stages,
    Counter::new,
);

/// Rebuilt lines.
pub static LINE_REBUILDS: Single<Counter> =
    Single::new("gristmill_line_rebuilds_total", "Times that all actors were replaced at once.", Counter::new());

/// Events handed out again.
pub static REDELIVERED: Single<Counter> = Single::new(
    "gristmill_redelivered_events_total",
    "Events that were lost with an actor, or taken from it, and handed out again.",
    Counter::new(),
);

/// Claimed events.
pub static CLAIMED: Single<Counter> =
    Single::new("gristmill_claimed_events_total", "Stored events that this node claimed.", Counter::new());

/// Events of dead nodes.
pub static TAKEN_OVER: Single<Counter> =
    Single::new("gristmill_taken_over_events_total", "Events of dead nodes that this node took over.", Counter::new());

/// Leases without work.
pub static ORPHANED_LEASES: Single<Counter> = Single::new(
    "gristmill_orphaned_leases_total",
    "Leases without work behind them that were given back.",
    Counter::new(),
);

/// Dead nodes.
pub static NODE_DEATHS: Single<Counter> =
    Single::new("gristmill_node_deaths_total", "Nodes that this node found silent for a whole lease.", Counter::new());

/// Failures of what is tried again and again.
pub static FAILURES: Family<Counter> = Family::new(
    "gristmill_failures_total",
    "Failures of what is tried again and again, by what it is.",
    &["what"],
    || CONDITIONS.map(|what| vec![what]).to_vec(),
    Counter::new,
);

/// Ended jobs.
pub static JOBS: Family<Counter> = Family::new(
    "gristmill_jobs_total",
    "Jobs that this node brought to their end.",
    &["outcome"],
    || vec![vec!["done"], vec!["failed"]],
    Counter::new,
);

/// Events that jobs changed.
pub static JOB_EVENTS: Single<Counter> =
    Single::new("gristmill_job_events_total", "Events that jobs reopened or called off on this node.", Counter::new());

/// Events that were cancelled one by one.
pub static CANCELLED: Single<Counter> =
    Single::new("gristmill_cancelled_events_total", "Pending events that were called off one by one.", Counter::new());

/// Events without lines.
pub static SILENT: Single<Counter> = Single::new(
    "gristmill_silent_events_total",
    "Events without log lines of their own, beyond log.event_lines_per_second.",
    Counter::new(),
);

/// Log lines that were lost.
pub static LOG_LINES_DROPPED: Single<Counter> = Single::new(
    "gristmill_log_lines_dropped_total",
    "Log lines that found no room in time, or could not be written.",
    Counter::new(),
);

/// Problem answers.
pub static PROBLEMS: Family<Counter> = Family::new(
    "gristmill_http_problems_total",
    "Answers of application/problem+json, by code.",
    &["code"],
    || PROBLEM_CODES.get().map(|codes| codes.iter().map(|code| vec![*code]).collect()).unwrap_or_default(),
    Counter::new,
);

/// The codes of all problems, set by the layer that knows them.
pub static PROBLEM_CODES: OnceLock<Vec<&'static str>> = OnceLock::new();

/// Requests over the rate.
pub static RATE_LIMITED: Single<Counter> = Single::new(
    "gristmill_http_rate_limited_total",
    "Requests of tokens that asked too often, or of addresses with too many unknown tokens (429).",
    Counter::new(),
);

/// Clients that went away.
pub static DISCONNECTS: Single<Counter> = Single::new(
    "gristmill_http_client_disconnects_total",
    "Requests whose client went away before the answer was made, or in the middle of its body.",
    Counter::new(),
);

/// Spans that the collector took.
pub static SPANS_EXPORTED: Single<Counter> =
    Single::new("gristmill_spans_exported_total", "Spans that the collector took.", Counter::new());

/// Spans that nobody will see.
pub static SPANS_DROPPED: Family<Counter> = Family::new(
    "gristmill_spans_dropped_total",
    "Spans that were dropped: the queue was full, the collector did not take them, or rejected them.",
    &["reason"],
    || ["queue_full", "not_taken", "rejected"].map(|reason| vec![reason]).to_vec(),
    Counter::new,
);

fn stages() -> Vec<Vec<&'static str>> {
    STAGES.map(|stage| vec![stage]).to_vec()
}

/// All of them, in the order of the page.
static ALL: [&dyn Metric; 38] = [
    &RECEIVED,
    &STARTED,
    &VALIDATED,
    &EVENTS,
    &RETRIES,
    &RETRY_DELAY,
    &STAGE_DURATION,
    &STAGE_EVENTS,
    &STAGE_PANICS,
    &FLUSH_EVENTS,
    &FLUSH_DURATION,
    &KEY_WAITS,
    &STALE_WRITES,
    &ID_COLLISIONS,
    &SPOOLED,
    &DRAINED,
    &PARKED,
    &SPOOL_ERRORS,
    &ACTOR_ENDS,
    &ACTOR_RESTARTS,
    &LINE_REBUILDS,
    &REDELIVERED,
    &PANICS,
    &CLAIMED,
    &TAKEN_OVER,
    &ORPHANED_LEASES,
    &NODE_DEATHS,
    &FAILURES,
    &JOBS,
    &JOB_EVENTS,
    &CANCELLED,
    &SILENT,
    &LOG_LINES_DROPPED,
    &PROBLEMS,
    &RATE_LIMITED,
    &DISCONNECTS,
    &SPANS_EXPORTED,
    &SPANS_DROPPED,
];

/// Writes all of them.
pub fn write_all(page: &mut Exposition) {
    ALL.iter().for_each(|metric| metric.write(page));
    Answers.write(page);
    Durations.write(page);
}
