//! The sections that bound the line: actors, what is in flight, limits of an event, retries, timeouts, leases.

use std::time::Duration;

use super::reader::ConfigReader;
use crate::domain::payload::PayloadLimits;
use crate::domain::retry::RetryPolicy;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// JSONB refuses a number with more digits behind its point; up to it both databases store a number exactly.
const NUMBER_CHARS_MAX: usize = 16_383;

/// Above it serde_json, whose recursion ends at 128, could not read a payload back.
const DEPTH_MAX: usize = 100;

/// The pools and how they are kept alive.
#[derive(Debug, Clone, PartialEq)]
pub struct ActorsConfig {
    /// Actors that validate.
    pub validators: usize,
    /// Actors that normalise.
    pub normalizers: usize,
    /// Actors that write.
    pub persisters: usize,
    /// Messages at one actor before the next of its pool is preferred.
    pub mailbox: usize,
    /// Restarts of one pool in `restart_window` before the line is rebuilt.
    pub max_restarts: u32,
    /// The time in which restarts are counted.
    pub restart_window: Duration,
    /// Pause before the first restart; it doubles.
    pub restart_backoff: Duration,
}

impl ActorsConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        ActorsConfig {
            validators: r.whole("actors.validators", 1..=64),
            normalizers: r.whole("actors.normalizers", 1..=64),
            persisters: r.whole("actors.persisters", 1..=64),
            mailbox: r.whole("actors.mailbox", 1..=1_000_000),
            max_restarts: r.whole("actors.max_restarts", 0..=10_000),
            restart_window: r.duration("actors.restart_window", SECOND..=DAY),
            restart_backoff: r.duration("actors.restart_backoff", MS..=60 * SECOND),
        }
    }
}

/// What may be in flight, and how much one transaction takes.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineConfig {
    /// Events between acceptance and commit.
    pub in_flight_events: usize,
    /// Bytes between the first one of a body and its events' commit.
    pub in_flight_bytes: usize,
    /// Most events in one flush.
    pub flush_events: usize,
    /// Most payload bytes in one flush.
    pub flush_bytes: usize,
    /// Whether a refused event is kept as a row.
    pub keep_rejected: bool,
}

impl PipelineConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        PipelineConfig {
            in_flight_events: r.whole("pipeline.in_flight_events", 1..=10_000_000),
            in_flight_bytes: r.size("pipeline.in_flight_bytes", 64 * KIB..=64 * GIB),
            flush_events: r.whole("pipeline.flush_events", 1..=10_000),
            flush_bytes: r.size("pipeline.flush_bytes", KIB..=256 * MIB),
            keep_rejected: r.switch("pipeline.keep_rejected"),
        }
    }
}

/// The limits of one event and one request.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Largest payload, in bytes as received.
    pub payload_bytes: usize,
    /// Deepest nesting; the payload object is level 1.
    pub payload_depth: usize,
    /// Largest request body in bytes.
    pub body_bytes: usize,
    /// Longest number in characters, as received and written out.
    pub number_chars: usize,
    /// Most events of a batch.
    pub batch_events: usize,
    /// Largest body of a batch in bytes.
    pub batch_bytes: usize,
    /// Requests of one token per second; 0 means no limit.
    pub requests_per_second: u32,
    /// Requests of one token at once; 0 stands for `requests_per_second`.
    pub requests_burst: u32,
}

impl LimitsConfig {
    /// The limits of a payload alone.
    pub fn payload(&self) -> PayloadLimits {
        PayloadLimits {
            bytes_max: self.payload_bytes,
            depth_max: self.payload_depth,
            number_chars_max: self.number_chars,
        }
    }

    pub(super) fn read(r: &mut ConfigReader) -> Self {
        LimitsConfig {
            payload_bytes: r.size("limits.payload_bytes", 2..=64 * MIB),
            payload_depth: r.whole("limits.payload_depth", 1..=DEPTH_MAX),
            body_bytes: r.size("limits.body_bytes", 2..=256 * MIB),
            number_chars: r.whole("limits.number_chars", 1..=NUMBER_CHARS_MAX),
            batch_events: r.whole("limits.batch_events", 1..=10_000),
            batch_bytes: r.size("limits.batch_bytes", KIB..=256 * MIB),
            requests_per_second: r.whole("limits.requests_per_second", 0..=1_000_000),
            requests_burst: r.whole("limits.requests_burst", 0..=1_000_000),
        }
    }
}

/// When a failed attempt is repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryConfig {
    /// Retries after the first attempt.
    pub max_retries: u32,
    /// Delay before the first retry; it doubles.
    pub delay: Duration,
    /// Longest delay.
    pub delay_max: Duration,
    /// Random part of a delay, as a fraction both ways.
    pub jitter: f64,
}

impl RetryConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        RetryConfig {
            max_retries: r.whole("retry.max_retries", 0..=100),
            delay: r.duration("retry.delay", MS..=30 * DAY),
            delay_max: r.duration("retry.delay_max", MS..=30 * DAY),
            jitter: r.fraction("retry.jitter", 0.0..=0.5),
        }
    }

    /// How failed events are tried again.
    pub fn policy(&self) -> RetryPolicy {
        RetryPolicy { max_retries: self.max_retries, delay: self.delay, delay_max: self.delay_max, jitter: self.jitter }
    }
}

/// The longest times of the line's steps.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeoutsConfig {
    /// Hard limit of one attempt.
    pub processing: Duration,
    /// Longest time until a new event is committed.
    pub accept: Duration,
    /// Longest time of one transaction.
    pub flush: Duration,
    /// Longest time to drain at the end.
    pub shutdown: Duration,
}

impl TimeoutsConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        TimeoutsConfig {
            processing: r.duration("timeouts.processing", 10 * MS..=DAY),
            accept: r.duration("timeouts.accept", 10 * MS..=HOUR),
            flush: r.duration("timeouts.flush", 10 * MS..=HOUR),
            shutdown: r.duration("timeouts.shutdown", 100 * MS..=HOUR),
        }
    }

    /// The soft limit of one attempt, 80 % of the hard one: the attempt ends as transient and is retried.
    pub fn processing_soft(&self) -> Duration {
        self.processing * 4 / 5
    }
}

/// How long duplicates are recognised.
#[derive(Debug, Clone, PartialEq)]
pub struct DedupeConfig {
    /// How long a key is remembered.
    pub window: Duration,
}

impl DedupeConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        DedupeConfig { window: r.duration("dedupe.window", SECOND..=3_650 * DAY) }
    }
}

/// What is kept on this node's disk while the database is away.
#[derive(Debug, Clone, PartialEq)]
pub struct SpoolConfig {
    /// Whether there is one, for PostgreSQL.
    pub enabled: bool,
    /// Most bytes of events.
    pub bytes: usize,
    /// Age of the oldest event from which on nothing more is taken.
    pub age: Duration,
}

impl SpoolConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        SpoolConfig {
            enabled: r.switch("spool.enabled"),
            bytes: r.size("spool.bytes", 64 * KIB..=1024 * GIB),
            age: r.duration("spool.age", SECOND..=3_650 * DAY),
        }
    }
}

/// How stored work is claimed.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseConfig {
    /// How long a silent node holds its claims.
    pub duration: Duration,
    /// How often due events are looked for.
    pub poll: Duration,
    /// Most events claimed at once.
    pub claim_events: usize,
    /// Most payload bytes claimed at once.
    pub claim_bytes: usize,
}

impl LeaseConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        LeaseConfig {
            duration: r.duration("lease.duration", 500 * MS..=HOUR),
            poll: r.duration("lease.poll", 10 * MS..=60 * SECOND),
            claim_events: r.whole("lease.claim_events", 1..=10_000),
            claim_bytes: r.size("lease.claim_bytes", KIB..=64 * GIB),
        }
    }
}
