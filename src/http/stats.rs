//! The statistics of all nodes: the reference's five figures over a window, and the balance.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Authorised, ReadStatistics};
use super::bounds::STORE_WAIT;
use super::error::ApiError;
use super::params::Params;
use super::percentiles::PercentilesView;
use super::respond::json;
use super::state::AppState;
use crate::config::units::{duration_text, parse_duration};
use crate::domain::timestamp::render;
use crate::store::{Balance, Sums, TypeSums};

const WINDOW_DEFAULT: Duration = Duration::from_secs(3_600);
const WINDOW_MIN: Duration = Duration::from_secs(60);
const WINDOW_MAX: Duration = Duration::from_secs(7 * 86_400);

/// The windows that are always reported: 1, 5 and 60 minutes.
const WINDOWS: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(300), Duration::from_secs(3_600)];

/// The parameters of the statistics.
#[derive(Deserialize)]
pub struct StatsParams {
    window: Option<Window>,
    by: Option<GroupBy>,
}

/// `window`: how far back the figures reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Window(pub Duration);

/// `by`: how the figures are grouped.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GroupBy {
    EventType,
}

/// Figures over a window, and the balance.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Stats")]
pub struct StatsView {
    #[serde(flatten)]
    window: WindowView,
    balance: BalanceView,
    spool: SpoolFiguresView,
    /// The same over 1, 5 and 60 minutes.
    windows: Vec<WindowView>,
    /// Only with `by=event_type`: the most active first, at most 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_types: Option<Vec<TypeView>>,
    /// Only with `by=event_type`: whether there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_types_complete: Option<bool>,
}

/// Figures over one window.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "WindowStats")]
struct WindowView {
    window: String,
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Processed ones.
    events_per_minute: f64,
    /// Null where nothing was finished, as the rates.
    average_processing_ms: Option<f64>,
    #[serde(flatten)]
    percentiles: PercentilesView,
    retry_rate: Option<f64>,
    failure_rate: Option<f64>,
    batch_throughput: BatchView,
}

/// Figures of one event type over 1, 5 and 60 minutes.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "TypeStats")]
struct TypeView {
    /// Null for events that have none.
    event_type: Option<String>,
    windows: Vec<WindowView>,
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
struct SpoolFiguresView {
    events: u64,
}

/// `GET /api/v1/stats`. The figures are everyone's, so they need a scope over everyone, or over the machine.
pub async fn stats(
    state: Data<AppState>,
    authorised: Authorised<ReadStatistics, Params<StatsParams>>,
) -> Result<HttpResponse, ApiError> {
    let Params(StatsParams { window, by }) = authorised.rest;
    let Window(window) = window.unwrap_or_default();
    let now = state.store.now(STORE_WAIT).await?;
    let spans: Vec<Span> = [window].into_iter().chain(WINDOWS).map(|window| Span::until_now(window, now)).collect();
    let store = &state.store;
    let stats = store.stats(spans.iter().map(|span| span.since).collect(), STORE_WAIT).await?;
    let (types, is_complete) = match by {
        None => (None, None),
        Some(GroupBy::EventType) => {
            let since = spans[1..].iter().map(|span| span.since).collect();
            let (types, is_complete) = store.stats_by_type(since, STORE_WAIT).await?;
            (Some(types.into_iter().map(|sums| TypeView::of(sums, &spans[1..])).collect()), Some(is_complete))
        }
    };
    let mut windows = spans.iter().zip(&stats.windows).map(|(span, sums)| WindowView::of(sums, span));
    let view = StatsView {
        window: windows.next().expect("the first window is the one that was asked for"),
        windows: windows.collect(),
        balance: BalanceView::of(stats.balance),
        spool: SpoolFiguresView { events: state.pipeline.spooled_events() },
        event_types: types,
        event_types_complete: is_complete,
    };
    Ok(json(StatusCode::OK, &view))
}

impl Default for Window {
    fn default() -> Self {
        Self(WINDOW_DEFAULT)
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let window = parse_duration(&text).filter(|window| (WINDOW_MIN..=WINDOW_MAX).contains(window));
        let least = duration_text(WINDOW_MIN);
        let most = duration_text(WINDOW_MAX);
        window.map(Self).ok_or_else(|| format!("{least} to {most}, as \"1h\""))
    }
}

/// A window up to now, which begins with a whole minute: flushes are rolled up by these.
struct Span {
    window: Duration,
    since: DateTime<Utc>,
    minutes: f64,
}

impl Span {
    fn until_now(window: Duration, now: DateTime<Utc>) -> Self {
        let since = now - TimeDelta::from_std(window).unwrap_or_default();
        let since = since.duration_trunc(TimeDelta::minutes(1)).unwrap_or(since);
        Self { window, since, minutes: (now - since).as_seconds_f64() / 60.0 }
    }
}

impl WindowView {
    fn of(sums: &Sums, span: &Span) -> Self {
        let finished = sums.processed + sums.validation_error + sums.failed;
        let attempts = finished + sums.pending;
        Self {
            window: duration_text(span.window),
            since: render(span.since),
            events_per_minute: sums.processed as f64 / span.minutes,
            average_processing_ms: ratio(sums.worked_us, finished).map(|us| us / 1_000.0),
            percentiles: PercentilesView::of(&sums.times),
            retry_rate: ratio(sums.pending, attempts),
            failure_rate: ratio(sums.failed, finished),
            batch_throughput: BatchView {
                flushes_per_minute: sums.flushes as f64 / span.minutes,
                events_per_flush: ratio(attempts, sums.flushes),
            },
        }
    }
}

impl TypeView {
    fn of(TypeSums { event_type, windows }: TypeSums, spans: &[Span]) -> Self {
        let windows = spans.iter().zip(&windows).map(|(span, sums)| WindowView::of(sums, span)).collect();
        Self { event_type: Some(event_type).filter(|text| !text.is_empty()), windows }
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
    use crate::http::params::of_query;

    #[test]
    fn a_window_is_a_minute_to_seven_days() {
        let read = |query: &str| {
            let params = of_query::<StatsParams>(query).map_err(|error| error.detail().to_owned())?;
            Ok::<_, String>(params.window.unwrap_or_default().0)
        };
        assert_eq!(read(""), Ok(WINDOW_DEFAULT));
        assert_eq!(read("window=8d"), Err("window is \"8d\", expected 1m to 7d, as \"1h\"".to_owned()));
        assert_eq!((read("window=60s"), read("window=7d&by=event_type")), (Ok(WINDOW_MIN), Ok(WINDOW_MAX)));
        for query in [
            "window=59s",
            "window=8d",
            "window=",
            "window=1",
            "window=-1h",
            "windows=1h",
            "window=1h&window=2h",
            "by=",
            "by=event_name",
        ] {
            assert!(read(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_window_begins_with_a_whole_minute() {
        let now = DateTime::from_timestamp(1_000_000_030, 0).expect("a time");
        let span = Span::until_now(WINDOW_MIN, now);
        assert_eq!((span.since.timestamp() % 60, span.minutes > 1.0, span.minutes < 2.0), (0, true, true));
    }

    #[test]
    fn nothing_finished_has_no_rates() {
        let span = Span { window: WINDOW_DEFAULT, since: DateTime::UNIX_EPOCH, minutes: 2.0 };
        let view = WindowView::of(&Sums::default(), &span);
        assert_eq!((view.retry_rate, view.failure_rate, view.average_processing_ms), (None, None, None));
        let sums = Sums { flushes: 2, processed: 6, failed: 2, pending: 2, worked_us: 16_000, ..Sums::default() };
        let view = WindowView::of(&sums, &span);
        assert_eq!((view.events_per_minute, view.average_processing_ms), (3.0, Some(2.0)));
        assert_eq!((view.retry_rate, view.failure_rate), (Some(0.2), Some(0.25)));
        assert_eq!(view.batch_throughput.events_per_flush, Some(5.0));
    }
}
