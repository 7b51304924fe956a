//! The statistics of all nodes: the reference's five figures over a window, and the balance.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Query;
use chrono::{DurationRound, TimeDelta};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::allows;
use super::error::ApiError;
use super::request::{Call, json};
use super::state::STORE_WAIT;
use crate::clock;
use crate::config::units::{duration_text, parse_duration};
use crate::domain::scopes::Scope;
use crate::domain::timestamp::render;
use crate::store::{Balance, Stats};

const WINDOW_DEFAULT: Duration = Duration::from_secs(3_600);
const WINDOW_MIN: Duration = Duration::from_secs(60);
const WINDOW_MAX: Duration = Duration::from_secs(7 * 86_400);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    window: Option<String>,
}

/// Figures over a window, and the balance.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Stats")]
pub struct StatsView {
    window: String,
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Processed ones.
    events_per_minute: f64,
    /// Null where nothing was finished, as the rates.
    average_processing_ms: Option<f64>,
    retry_rate: Option<f64>,
    failure_rate: Option<f64>,
    batch_throughput: BatchView,
    balance: BalanceView,
    spool: SpoolView,
}

/// A batch is what one transaction writes.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "BatchThroughput")]
struct BatchView {
    flushes_per_minute: f64,
    events_per_flush: Option<f64>,
}

/// What was received, and what became of it.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Balance")]
struct BalanceView {
    received: i64,
    processed: i64,
    duplicate: i64,
    validation_error: i64,
    failed: i64,
    cancelled: i64,
    pending: i64,
}

/// What this node has accepted and the database has not: no part of the balance yet.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Spool")]
struct SpoolView {
    events: u64,
}

/// `GET /api/v1/stats`. The figures are everyone's, so they need a scope over everyone, or over the machine.
pub async fn stats(call: Call) -> Result<HttpResponse, ApiError> {
    permit(&call).await?;
    let window = window(call.request.query_string())?;
    let now = clock::now();
    let since = now - TimeDelta::from_std(window).unwrap_or_default();
    let since = since.duration_trunc(TimeDelta::minutes(1)).unwrap_or(since);
    let stats = call.state.store.stats(since, STORE_WAIT).await?;
    let minutes = (now - since).as_seconds_f64() / 60.0;
    let spool = SpoolView { events: call.state.pipeline.spooled_events() };
    let text = (duration_text(window), render(since));
    Ok(json(StatusCode::OK, &StatsView::of(&stats, minutes, text, spool)))
}

/// Whether the caller may see everyone's figures.
pub(super) async fn permit(call: &Call) -> Result<(), ApiError> {
    let caller = call.state.auth.authenticate(call.headers()).await?;
    if ![Scope::ReadAll, Scope::Operate].into_iter().any(|scope| allows(caller.scopes, scope)) {
        return Err(ApiError::forbidden(Scope::ReadAll, "statistics of everyone's events"));
    }
    Ok(())
}

/// The window that is asked for.
pub(super) fn window(query: &str) -> Result<Duration, ApiError> {
    let parameters = Query::<Parameters>::from_query(query)
        .map_err(|error| ApiError::invalid_request(format!("the query cannot be read: {error}")))?;
    let Some(text) = &parameters.window else { return Ok(WINDOW_DEFAULT) };
    let window = parse_duration(text).filter(|window| (WINDOW_MIN..=WINDOW_MAX).contains(window));
    window.ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let (least, most) = (duration_text(WINDOW_MIN), duration_text(WINDOW_MAX));
        ApiError::invalid_request(format!("window is {shown:?}, expected {least} to {most}, as \"1h\""))
    })
}

impl StatsView {
    fn of(stats: &Stats, minutes: f64, (window, since): (String, String), spool: SpoolView) -> Self {
        let finished = stats.processed + stats.validation_error + stats.failed;
        let attempts = finished + stats.pending;
        Self {
            window,
            since,
            events_per_minute: stats.processed as f64 / minutes,
            average_processing_ms: ratio(stats.worked_us, finished).map(|us| us / 1_000.0),
            retry_rate: ratio(stats.pending, attempts),
            failure_rate: ratio(stats.failed, finished),
            batch_throughput: BatchView {
                flushes_per_minute: stats.flushes as f64 / minutes,
                events_per_flush: ratio(attempts, stats.flushes),
            },
            balance: BalanceView::of(stats.balance),
            spool,
        }
    }
}

impl BalanceView {
    fn of(balance: Balance) -> Self {
        let Balance { received, processed, duplicate, validation_error, failed, cancelled, pending } = balance;
        Self { received, processed, duplicate, validation_error, failed, cancelled, pending }
    }
}

fn ratio(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_minute_to_seven_days() {
        let read = |query: &str| window(query).map_err(|error| error.detail().to_owned());
        assert_eq!(read(""), Ok(WINDOW_DEFAULT));
        assert_eq!((read("window=60s"), read("window=7d")), (Ok(WINDOW_MIN), Ok(WINDOW_MAX)));
        for query in
            ["window=59s", "window=8d", "window=", "window=1", "window=-1h", "windows=1h", "window=1h&window=2h"]
        {
            assert!(read(query).is_err(), "{query}");
        }
    }

    #[test]
    fn nothing_finished_has_no_rates() {
        let view = StatsView::of(&Stats::default(), 60.0, <_>::default(), SpoolView { events: 0 });
        assert_eq!((view.retry_rate, view.failure_rate, view.average_processing_ms), (None, None, None));
        let stats = Stats { flushes: 2, processed: 6, failed: 2, pending: 2, worked_us: 16_000, ..Stats::default() };
        let view = StatsView::of(&stats, 2.0, <_>::default(), SpoolView { events: 0 });
        assert_eq!((view.events_per_minute, view.average_processing_ms), (3.0, Some(2.0)));
        assert_eq!((view.retry_rate, view.failure_rate), (Some(0.2), Some(0.25)));
        assert_eq!(view.batch_throughput.events_per_flush, Some(5.0));
    }
}
