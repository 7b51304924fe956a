//! The tables of the screen and of the snapshot: their texts, without any form.

use std::time::Instant;

use super::model::{FigureBucket, Model, PipelineStatus};
use super::text::{grouped, rate, share, time};

/// A table: the texts of its columns, then those of its rows. Columns of numbers have a `>` before their title.
pub(super) struct Sheet {
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Vec<String>>,
}

/// A way to a bucket's number.
type Figure = fn(&FigureBucket) -> i64;

/// What became of events, now and over the series.
const FIGURES: [(&str, Figure); 6] = [
    ("received", |bucket| bucket.received),
    ("processed", |bucket| bucket.processed),
    ("duplicate", |bucket| bucket.duplicate),
    ("refused", |bucket| bucket.validation_error),
    ("failed", |bucket| bucket.failed),
    ("retried", |bucket| bucket.retried),
];

pub(super) fn figures(model: &Model) -> Sheet {
    let sums = model.sums();
    let finished = sums.all.processed + sums.all.validation_error + sums.all.failed;
    let seconds = model.step_seconds as f64;
    // A replay takes its event back from what it was: where more went than came, 0 is shown.
    let now = |figure: Figure| model.newest().map_or(0.0, |bucket| figure(bucket).max(0) as f64 / seconds);
    let rows = FIGURES.iter().map(|(name, figure)| {
        let whole = if *name == "retried" { finished + sums.all.retried } else { finished };
        let is_part = !matches!(*name, "received" | "duplicate");
        let part = if is_part { share(figure(&sums.all), whole) } else { String::new() };
        vec![(*name).to_owned(), rate(now(*figure)), grouped(figure(&sums.all)), part]
    });
    Sheet { head: vec!["EVENTS", ">per second", ">last 5 min", ">share"], rows: rows.collect() }
}

/// Percentiles now and over the series.
pub(super) fn times(model: &Model) -> Sheet {
    let now = model.newest().map(FigureBucket::times).unwrap_or_default();
    let all = model.sums().times;
    let rows = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];
    let rows =
        rows.map(|(name, share)| vec![name.to_owned(), time(now.quantile_us(share)), time(all.quantile_us(share))]);
    Sheet { head: vec!["TIME", ">now", ">last 5 min"], rows: rows.to_vec() }
}

/// What waits where.
pub(super) fn waiting(model: &Model) -> Sheet {
    let of_line = |number: fn(&PipelineStatus) -> i64| {
        model.line.as_ref().map_or_else(|| "–".to_owned(), |line| grouped(number(line)))
    };
    let rows = vec![
        vec!["pending in the database".to_owned(), model.pending()],
        vec!["spooled on nodes' disks".to_owned(), model.spooled()],
        vec!["in flight on this node".to_owned(), of_line(|line| line.in_flight.events)],
        vec!["claimed by this node".to_owned(), of_line(|line| line.claims_held)],
        vec!["waiting for a retry here".to_owned(), of_line(|line| line.retries_waiting)],
    ];
    Sheet { head: vec!["WAITING", ">EVENTS"], rows }
}

/// Every pool with its sums.
pub(super) fn pools(line: &PipelineStatus) -> Sheet {
    let rows = line.pools.iter().map(|pool| {
        let running = pool.actors.iter().filter(|actor| actor.state.as_str() == "running").count();
        let sum = |number: fn(&super::model::Actor) -> i64| pool.actors.iter().map(number).sum::<i64>();
        vec![
            pool.name.to_string(),
            pool.state.as_ref().map_or_else(String::new, |state| state.value.to_string()),
            format!("{running}/{}", pool.actors.len()),
            grouped(sum(|actor| actor.mailbox)),
            grouped(pool.held),
        ]
    });
    Sheet { head: vec!["POOL", "STATE", ">ACTORS", ">MAIL", ">HELD"], rows: rows.collect() }
}

/// Every actor.
pub(super) fn actors(model: &Model, line: &PipelineStatus, now: Instant) -> Sheet {
    let actors = line.pools.iter().flat_map(|pool| &pool.actors);
    let rows = actors.map(|actor| {
        vec![
            actor.name.to_string(),
            actor.state.to_string(),
            grouped(actor.mailbox),
            grouped(actor.events),
            format!("{:.0} %", 100.0 * model.busy(&actor.name, now)),
            grouped(actor.restarts),
            grouped(actor.panics),
            actor.last_error.as_ref().map_or_else(String::new, ToString::to_string),
        ]
    });
    let head = vec!["ACTOR", "STATE", ">MAILBOX", ">EVENTS", ">BUSY", ">RESTARTS", ">PANICS", "LAST ERROR"];
    Sheet { head, rows: rows.collect() }
}

/// Every node; none while the database does not answer.
pub(super) fn nodes(line: &PipelineStatus) -> Sheet {
    let nodes = line.nodes.iter().flatten();
    let rows = nodes.map(|node| {
        let age = if node.state.as_str() == "silent" {
            time(Some(node.heartbeat_age_ms as f64 * 1_000.0))
        } else {
            String::new()
        };
        vec![
            format!("{}{}", node.name, if node.this { " *" } else { "" }),
            node.state.to_string(),
            age,
            grouped(node.claims),
            grouped(node.spool_events),
            node.control_generation.to_string(),
        ]
    });
    Sheet { head: vec!["NODE", "STATE", ">SILENT FOR", ">CLAIMS", ">SPOOLED", ">CONTROL"], rows: rows.collect() }
}

/// The newest failed and refused events; a word instead of them if they cannot be read.
pub(super) fn failures(model: &Model) -> Result<Sheet, String> {
    let failures = model.failures.as_ref().map_err(|why| format!("failures cannot be read: {why}"))?;
    let text = |text: &Option<super::text::Text>| text.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
    let rows = failures.iter().map(|failure| {
        // Without year and fractions: of 2026-11-29T10:00:01.5Z that is 11-29 10:00:01.
        let at: String = failure.received_at.as_str().chars().skip(5).take(14).collect();
        let status = failure.status.as_str();
        vec![
            at.replace('T', " "),
            failure.id.to_string(),
            text(&failure.event_name),
            if status == "validation_error" { "refused".to_owned() } else { status.to_owned() },
            text(&failure.error_code),
            text(&failure.processing_error),
        ]
    });
    let head = vec!["RECEIVED (UTC)", ">EVENT", "NAME", "STATUS", "CODE", "ERROR"];
    Ok(Sheet { head, rows: rows.collect() })
}
