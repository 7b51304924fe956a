//! What a run measured, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::latencies::Latencies;
use super::load::Load;
use super::requests::Kind;
use super::verification::Verification;
use crate::cli::args::bench::{Mode, PayloadSize};
use crate::store::BareInsert;

/// The figures of one run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report {
    /// What was sent, and how.
    pub(super) load: String,
    pub(super) mode: Mode,
    pub(super) payload: PayloadSize,
    pub(super) connections: u16,
    /// Requests per second of an open loop.
    pub(super) rate: Option<u32>,
    /// Where to.
    pub(super) server: String,
    pub(super) seconds: f64,
    pub(super) events_per_second: f64,
    pub(super) requests_per_second: f64,
    pub(super) latency_ms: Percentiles,
    /// By the kind of request, where there are several.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) latency_ms_of: BTreeMap<&'static str, Percentiles>,
    pub(super) errors: Errors,
    pub(super) processor_us_per_event: ProcessorUse,
    pub(super) memory_bytes: Option<MemoryUse>,
    pub(super) events_per_transaction: Option<f64>,
    pub(super) limits: Option<Limits>,
    pub(super) rows: Verification,
    pub(super) verified: bool,
}

/// Latencies of requests in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Percentiles {
    pub(super) requests: u64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

/// What went wrong, over the whole load.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Errors {
    /// Answers that are no success, by status.
    pub(super) answers: BTreeMap<u16, u64>,
    /// Connections that broke.
    pub(super) connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<String>,
    /// Requests that were due and that no connection was free to send.
    pub(super) unsent: u64,
}

/// Processor time, user and system, in microseconds per event; null where it was not measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct ProcessorUse {
    pub(super) server: Option<f64>,
    pub(super) database: Option<f64>,
    pub(super) generator: Option<f64>,
}

/// Resident memory of the server.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct MemoryUse {
    pub(super) end: u64,
    pub(super) peak: u64,
}

/// What the machine allows.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Limits {
    pub(super) empty_route: EmptyRoute,
    pub(super) bare_insert: Option<InsertLimit>,
}

/// `GET /health/live` over the same connections.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct EmptyRoute {
    pub(super) requests_per_second: f64,
    pub(super) latency_ms: Percentiles,
    pub(super) processor_us_per_request: ProcessorUse,
}

/// The rows of the run, inserted alone.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct InsertLimit {
    pub(super) rows_per_second: f64,
    pub(super) rows_per_transaction: usize,
    /// The run's events per second as a share of that.
    pub(super) reached: f64,
}

impl Percentiles {
    pub(super) fn of(latencies: &Latencies) -> Self {
        let milliseconds = |latency: Duration| (latency.as_secs_f64() * 1e6).round() / 1e3;
        let at = |share| milliseconds(latencies.quantile(share));
        Self {
            requests: latencies.total(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: milliseconds(latencies.max()),
        }
    }
}

impl ProcessorUse {
    /// Of so many events or requests.
    pub(super) fn of(load: &Load, count: f64) -> Self {
        let each = |used: Option<Duration>| used.filter(|_| count > 0.0).map(|used| used.as_secs_f64() * 1e6 / count);
        let used = load.used;
        Self { server: each(used.server), database: each(used.database), generator: each(used.generator) }
    }
}

impl Errors {
    pub(super) fn of(load: &Load) -> Self {
        let record = &load.record;
        let first = record.failure.clone();
        Self { answers: record.refusals.clone(), connections: record.failures, first, unsent: record.unsent_requests() }
    }
}

impl InsertLimit {
    pub(super) fn of(inserted: BareInsert, events_per_second: f64) -> Self {
        let rows_per_second = inserted.rows as f64 / inserted.took.as_secs_f64().max(f64::EPSILON);
        let reached = if rows_per_second > 0.0 { events_per_second / rows_per_second } else { 0.0 };
        Self { rows_per_second, rows_per_transaction: inserted.per_transaction, reached }
    }
}

/// The latencies by kinds, if there are several.
pub(super) fn by_kind(load: &Load) -> BTreeMap<&'static str, Percentiles> {
    let kinds = [("single", Kind::Single), ("batch", Kind::Batch), ("lines", Kind::Lines)];
    let met = kinds.into_iter().map(|(name, kind)| (name, load.record.of(kind)));
    let met: BTreeMap<_, _> =
        met.filter(|(_, all)| all.total() > 0).map(|(name, all)| (name, Percentiles::of(all))).collect();
    if met.len() > 1 { met } else { BTreeMap::new() }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n", self.load, self.server)?;
        line(
            f,
            "throughput",
            format_args!("{:.0} events/s, {:.0} requests/s", self.events_per_second, self.requests_per_second),
        )?;
        line(f, "latency", self.latency_ms)?;
        for (kind, latency) in &self.latency_ms_of {
            line(f, &format!("  {kind}"), latency)?;
        }
        line(f, "errors", &self.errors)?;
        line(f, "processor", format_args!("per event {}", self.processor_us_per_event))?;
        if let Some(MemoryUse { end, peak }) = self.memory_bytes {
            line(f, "memory", format_args!("{:.1} MB, at most {:.1} MB", end as f64 / 1e6, peak as f64 / 1e6))?;
        }
        if let Some(events) = self.events_per_transaction {
            line(f, "transactions", format_args!("{events:.1} events each"))?;
        }
        if let Some(Limits { empty_route, bare_insert }) = self.limits {
            let EmptyRoute { requests_per_second, latency_ms, processor_us_per_request } = empty_route;
            let p99 = latency_ms.p99;
            line(
                f,
                "empty route",
                format_args!(
                    "{requests_per_second:.0} requests/s, p99 {p99:.2} ms, per request {processor_us_per_request}"
                ),
            )?;
            if let Some(InsertLimit { rows_per_second, rows_per_transaction, reached }) = bare_insert {
                let share = 100.0 * reached;
                line(
                    f,
                    "bare INSERT",
                    format_args!(
                        "{rows_per_second:.0} rows/s in transactions of {rows_per_transaction}; the run reached {share:.0} % of it"
                    ),
                )?;
            }
        }
        write!(f, "{:<13}{}", "rows", self.rows)
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<13}{value}")
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, p50, p90, p99, p99_9, max } = self;
        if *requests == 0 {
            return f.write_str("no request that was due in the measured time was answered with success");
        }
        write!(f, "p50 {p50:.2} ms, p90 {p90:.2}, p99 {p99:.2}, p99.9 {p99_9:.2}, max {max:.2}")
    }
}

impl fmt::Display for ProcessorUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("server", self.server), ("PostgreSQL", self.database), ("load generator", self.generator)];
        let known = parts.into_iter().filter_map(|(name, used)| Some(format!("{name} {:.1} µs", used?)));
        let known = known.collect::<Vec<_>>().join(", ");
        f.write_str(if known.is_empty() { "not measured" } else { &known })
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> =
            self.answers.iter().map(|(status, count)| format!("{count} answers {status}")).collect();
        if self.connections > 0 {
            let first = self.first.as_deref().unwrap_or_default();
            parts.push(format!("{} connections broke, the first one so: {first}", self.connections));
        }
        if self.unsent > 0 {
            parts.push(format!("{} requests were due and could not be sent", self.unsent));
        }
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified: {} of {} acknowledged", self.verified, self.acknowledged)?;
        let others = [
            (self.missing, "missing"),
            (self.duplicates, "stored twice"),
            (self.wrong, "wrong"),
            (self.unacknowledged, "stored without an acknowledgement"),
        ];
        others.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}
