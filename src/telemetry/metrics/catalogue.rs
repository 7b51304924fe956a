//! Every metric that facts count. What is looked at only when it is scraped stands in `telemetry/scrape.rs`.

use std::sync::{LazyLock, OnceLock};

use prometheus::core::Collector;
use prometheus::{Histogram, IntCounter};

use super::family::{Family, SIZES, TIMES, WAITS, counter, histogram};
use super::{Exposition, route};
use crate::domain::actor_kind::ActorKind;
use crate::domain::outcome::{Status, TransientCode};
use crate::domain::rejection::RejectCode;

/// A code that does not apply.
pub const NONE: &str = "none";

/// Codes of failed events.
const FAILED: [&str; 5] = ["retries_exhausted", "poison", "refused", "event_unreadable", "event_uid_conflict"];

/// What may fail for a time: the subjects of `Condition`.
const CONDITIONS: [&str; 21] = [
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
    "retention",
    "look-up of users",
    "the look for changed tokens",
    "the look at the feed",
    "the look at the newest outcomes",
    "listening for hints",
    "listening for changes of the controls",
    "following the controls",
    "publishing what the line looks like",
    "exporting spans",
];

/// Events by what became of them.
pub static EVENTS: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_events_total",
        "Events that came to an end, by outcome and code. processed, validation_error, failed and duplicate are those of the \
         database; conflict, not_kept, withheld, not_stored and unknown have no row of their own.",
        &["outcome", "code"],
        outcomes(),
    )
});

fn outcomes() -> Vec<Vec<&'static str>> {
    let alone = ["processed", "duplicate", "withheld", "not_stored", "unknown"].map(|outcome| vec![outcome, NONE]);
    let rejected = ["validation_error", "not_kept"]
        .into_iter()
        .flat_map(|outcome| RejectCode::ALL.map(|code| vec![outcome, code.as_str()]));
    let failed = FAILED.map(|code| vec!["failed", code]);
    alone.into_iter().chain([vec!["conflict", "event_uid_conflict"]]).chain(rejected).chain(failed).collect()
}

/// Events that were taken in.
pub static RECEIVED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_events_received_total", "Events that requests handed to the line."));

/// Attempts that began.
pub static STARTED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_attempts_started_total", "Attempts at events that began."));

/// Events that passed the Validator.
pub static VALIDATED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_events_validated_total", "Attempts that passed the checks."));

/// Attempts that are to be repeated.
pub static RETRIES: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_retries_total",
        "Attempts that failed in a way that may pass and are to be repeated, by code.",
        &["code"],
        TransientCode::ALL.map(TransientCode::as_str).into_iter().chain([NONE]).map(|code| vec![code]).collect(),
    )
});

/// How long they are to wait.
pub static RETRY_DELAY: LazyLock<Histogram> = LazyLock::new(|| {
    histogram("gristmill_retry_delay_seconds", "Delays until the next attempt, as they were set.", &WAITS)
});

/// Panics in the work on an event.
pub static STAGE_PANICS: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_stage_panics_total",
        "Panics in the work on one event, caught, by stage.",
        &["stage"],
        stages(),
    )
});

/// All panics.
pub static PANICS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_panics_total", "Panics of any kind, caught or not."));

/// Work on messages.
pub static STAGE_DURATION: LazyLock<Family<Histogram>> = LazyLock::new(|| {
    Family::histograms(
        "gristmill_stage_duration_seconds",
        "Time that a stage was at work on one message, which is a batch of units.",
        &["stage"],
        stages(),
        &TIMES,
    )
});

/// Events worked on.
pub static STAGE_EVENTS: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters("gristmill_stage_events_total", "Events that went through a stage.", &["stage"], stages())
});

/// Sizes of flushes.
pub static FLUSH_EVENTS: LazyLock<Histogram> =
    LazyLock::new(|| histogram("gristmill_flush_events", "Events of one flush, which is one transaction.", &SIZES));

/// Times of flushes.
pub static FLUSH_DURATION: LazyLock<Histogram> = LazyLock::new(|| {
    histogram("gristmill_flush_duration_seconds", "Time from the start of a flush to the answer to its COMMIT.", &TIMES)
});

/// Flushes that were held up by a key.
pub static KEY_WAITS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_key_waits_total", "Flushes that met a key held by another transaction."));

/// Outcomes that came too late.
pub static STALE_WRITES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("gristmill_stale_writes_total", "Outcomes that changed nothing, because their lease was no longer held.")
});

/// Ids that belonged to others.
pub static ID_COLLISIONS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_id_collisions_total", "Reserved ids that other events had already."));

/// Events put into the spool.
pub static SPOOLED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_spooled_events_total", "Events put into the spool of this node."));

/// Events that left it.
pub static DRAINED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_drained_events_total", "Events that left the spool for the database."));

/// Units set apart.
pub static PARKED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_parked_units_total", "Units of the spool that were set apart."));

/// Failures of the spool.
pub static SPOOL_ERRORS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_spool_errors_total", "Reads and changes of the spool that failed."));

/// Actors that came to an end.
pub static ACTOR_ENDS: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_actor_ends_total",
        "Actors that died, got stuck or hung, by kind.",
        &["stage"],
        stages(),
    )
});

/// Actors that were replaced.
pub static ACTOR_RESTARTS: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_actor_restarts_total",
        "Actors that took the place of one that ended, by kind.",
        &["stage"],
        stages(),
    )
});

/// Rebuilt lines.
pub static LINE_REBUILDS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_line_rebuilds_total", "Times that all actors were replaced at once."));

/// Events handed out again.
pub static REDELIVERED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "gristmill_redelivered_events_total",
        "Events that were lost with an actor, or taken from it, and handed out again.",
    )
});

/// Claimed events.
pub static CLAIMED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_claimed_events_total", "Stored events that this node claimed."));

/// Events of dead nodes.
pub static TAKEN_OVER: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_taken_over_events_total", "Events of dead nodes that this node took over."));

/// Leases without work.
pub static ORPHANED_LEASES: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("gristmill_orphaned_leases_total", "Leases without work behind them that were given back.")
});

/// Dead nodes.
pub static NODE_DEATHS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_node_deaths_total", "Nodes that this node found silent for a whole lease."));

/// Failures of what is tried again and again.
pub static FAILURES: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_failures_total",
        "Failures of what is tried again and again, by what it is.",
        &["what"],
        CONDITIONS.map(|what| vec![what]).to_vec(),
    )
});

/// Ended jobs.
pub static JOBS: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_jobs_total",
        "Jobs that this node brought to their end.",
        &["outcome"],
        vec![vec!["done"], vec!["failed"]],
    )
});

/// Events that jobs changed.
pub static JOB_EVENTS: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_job_events_total", "Events that jobs reopened or called off on this node."));

/// Rows that were removed.
pub static ROWS_REMOVED: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    let statuses = Status::ALL.into_iter().filter(|status| status.is_final()).map(Status::as_str);
    Family::counters(
        "gristmill_retention_rows_removed_total",
        "Rows that this node removed for their age: events by their status, and attempts, audit and jobs.",
        &["what"],
        statuses.chain(["attempts", "audit", "jobs"]).map(|what| vec![what]).collect(),
    )
});

/// Rows that were written into the archive.
pub static ROWS_ARCHIVED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "gristmill_retention_rows_archived_total",
        "Rows that this node wrote into the archive before it removed them, with the attempts and notes of events.",
    )
});

/// Pieces of that.
pub static RETENTION_PIECES: LazyLock<Histogram> = LazyLock::new(|| {
    histogram(
        "gristmill_retention_piece_seconds",
        "Time that one piece of the removal of old rows took, which is one transaction.",
        &TIMES,
    )
});

/// Runs that ended.
pub static RETENTION_RUNS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("gristmill_retention_runs_total", "Runs of the removal of old rows that this node brought to their end.")
});

/// Events that were cancelled one by one.
pub static CANCELLED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_cancelled_events_total", "Pending events that were called off one by one."));

/// Events without lines.
pub static SILENT: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "gristmill_silent_events_total",
        "Events without log lines of their own, beyond log.event_lines_per_second.",
    )
});

/// Log lines that were lost.
pub static LOG_LINES_DROPPED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter("gristmill_log_lines_dropped_total", "Log lines that found no room in time, or could not be written.")
});

/// Problem answers.
pub static PROBLEMS: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_http_problems_total",
        "Answers of application/problem+json, by code.",
        &["code"],
        PROBLEM_CODES.get().map(|codes| codes.iter().map(|code| vec![*code]).collect()).unwrap_or_default(),
    )
});

/// The codes of all problems, set by the layer that knows them.
pub static PROBLEM_CODES: OnceLock<Vec<&'static str>> = OnceLock::new();

/// Requests over the rate.
pub static RATE_LIMITED: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "gristmill_http_rate_limited_total",
        "Requests of tokens that asked too often, or of addresses with too many unknown tokens (429).",
    )
});

/// Clients that went away.
pub static DISCONNECTS: LazyLock<IntCounter> = LazyLock::new(|| {
    counter(
        "gristmill_http_client_disconnects_total",
        "Requests whose client went away before the answer was made, or in the middle of its body.",
    )
});

/// Spans that the collector took.
pub static SPANS_EXPORTED: LazyLock<IntCounter> =
    LazyLock::new(|| counter("gristmill_spans_exported_total", "Spans that the collector took."));

/// Spans that nobody will see.
pub static SPANS_DROPPED: LazyLock<Family<IntCounter>> = LazyLock::new(|| {
    Family::counters(
        "gristmill_spans_dropped_total",
        "Spans that were dropped: the queue was full, the collector did not take them, or rejected them.",
        &["reason"],
        ["queue_full", "not_taken", "rejected"].map(|reason| vec![reason]).to_vec(),
    )
});

fn stages() -> Vec<Vec<&'static str>> {
    ActorKind::all().map(|kind| vec![kind.name()]).collect()
}

/// All of them, in the order of the page.
fn all() -> [&'static dyn Collector; 44] {
    [
        &*RECEIVED,
        &*STARTED,
        &*VALIDATED,
        &*EVENTS,
        &*RETRIES,
        &*RETRY_DELAY,
        &*STAGE_DURATION,
        &*STAGE_EVENTS,
        &*STAGE_PANICS,
        &*FLUSH_EVENTS,
        &*FLUSH_DURATION,
        &*KEY_WAITS,
        &*STALE_WRITES,
        &*ID_COLLISIONS,
        &*SPOOLED,
        &*DRAINED,
        &*PARKED,
        &*SPOOL_ERRORS,
        &*ACTOR_ENDS,
        &*ACTOR_RESTARTS,
        &*LINE_REBUILDS,
        &*REDELIVERED,
        &*PANICS,
        &*CLAIMED,
        &*TAKEN_OVER,
        &*ORPHANED_LEASES,
        &*NODE_DEATHS,
        &*FAILURES,
        &*JOBS,
        &*JOB_EVENTS,
        &*CANCELLED,
        &*ROWS_REMOVED,
        &*ROWS_ARCHIVED,
        &*RETENTION_PIECES,
        &*RETENTION_RUNS,
        &*SILENT,
        &*LOG_LINES_DROPPED,
        &*PROBLEMS,
        &*RATE_LIMITED,
        &*DISCONNECTS,
        &*SPANS_EXPORTED,
        &*SPANS_DROPPED,
        &*route::ANSWERS,
        &*route::DURATIONS,
    ]
}

/// Writes all of them.
pub fn write_all(page: &mut Exposition) {
    all().into_iter().for_each(|metric| page.add(metric));
}
