//! `GET /api/v1/stats/series`: the figures over a window, in buckets of equal length.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Authorised, ReadStatistics};
use super::bounds::STORE_WAIT;
use super::error::ApiError;
use super::params::Params;
use super::percentiles::{PercentilesView, bounds_ms};
use super::respond::json;
use super::state::AppState;
use super::stats::Window;
use crate::config::units::duration_text;
use crate::domain::histogram::CLASSES;
use crate::domain::timestamp::render;
use crate::store::{Bucket, Series};

/// Longest window, in seconds, and the length of the buckets that it is cut into. Flushes are there one by one for an
/// hour; from then on a minute is the shortest.
const STEPS: [(u64, i64); 4] = [(600, 5), (2 * 3_600, 60), (24 * 3_600, 900), (u64::MAX, 7_200)];

/// The parameters of a series.
#[derive(Deserialize)]
pub struct SeriesParams {
    window: Option<Window>,
}

/// Figures over time.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "StatsSeries")]
pub struct SeriesView {
    window: String,
    /// How long each bucket is.
    step_seconds: i64,
    /// The times in milliseconds at which one class of `processing_times` ends and the next one begins: the first class begins at
    /// zero, the last one has no end.
    processing_time_bounds_ms: Vec<f64>,
    /// One after the other without a gap; the last one is still being filled.
    buckets: Vec<BucketView>,
}

/// What all nodes counted in one bucket. A replay takes its event back from what it was, so a figure may be below zero.
#[derive(Debug, JsonSchema, PartialEq, Serialize)]
#[schemars(rename = "StatsBucket")]
pub struct BucketView {
    /// Its beginning.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    received: i64,
    processed: i64,
    duplicate: i64,
    validation_error: i64,
    failed: i64,
    cancelled: i64,
    /// Attempts that are to be repeated.
    retried: i64,
    flushes: i64,
    /// Work per finished event; null where none was finished.
    average_processing_ms: Option<f64>,
    #[serde(flatten)]
    percentiles: PercentilesView,
    /// How many finished events took how long, by class. Percentiles over several buckets are those of the sums of these.
    processing_times: [i64; CLASSES],
}

/// `GET /api/v1/stats/series`, for the scopes that open the statistics.
pub async fn show(
    state: Data<AppState>,
    authorised: Authorised<ReadStatistics, Params<SeriesParams>>,
) -> Result<HttpResponse, ApiError> {
    let Params(SeriesParams { window }) = authorised.rest;
    let Window(window) = window.unwrap_or_default();
    let (_, step) = *STEPS.iter().find(|(most, _)| window.as_secs() <= *most).expect("the last one has no end");
    let now = state.store.now(STORE_WAIT).await?;
    let since = begin_of(now - TimeDelta::from_std(window).unwrap_or_default(), step);
    let counted = state.store.series(Series { since, step }, STORE_WAIT).await?;
    let count = (now - since).num_seconds() / step + 1;
    let buckets = BucketView::all(since, step, count, &counted);
    let view = SeriesView {
        window: duration_text(window),
        step_seconds: step,
        processing_time_bounds_ms: bounds_ms(),
        buckets,
    };
    Ok(json(StatusCode::OK, &view))
}

/// The beginning of the bucket that `time` falls into.
pub fn begin_of(time: DateTime<Utc>, step: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp().div_euclid(step) * step, 0).unwrap_or(time)
}

impl BucketView {
    /// `count` buckets from `since` on; those in which nothing was counted are zero.
    pub fn all(since: DateTime<Utc>, step: i64, count: i64, counted: &[Bucket]) -> Vec<Self> {
        let begins = (0..count).map(|number| since.timestamp() + number * step);
        let of = |at: i64| {
            counted.iter().find(|bucket| bucket.at == at).copied().unwrap_or(Bucket { at, ..Bucket::default() })
        };
        begins.map(|at| Self::of(of(at))).collect()
    }

    fn of(bucket: Bucket) -> Self {
        let finished = bucket.processed + bucket.validation_error + bucket.failed;
        Self {
            at: render(DateTime::from_timestamp(bucket.at, 0).unwrap_or_default()),
            received: bucket.received,
            processed: bucket.processed,
            duplicate: bucket.duplicate,
            validation_error: bucket.validation_error,
            failed: bucket.failed,
            cancelled: bucket.cancelled,
            retried: bucket.pending,
            flushes: bucket.flushes,
            average_processing_ms: (finished > 0).then(|| bucket.worked_us as f64 / finished as f64 / 1_000.0),
            percentiles: PercentilesView::of(&bucket.times),
            processing_times: bucket.times.counts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_empty_ones_are_zero() {
        let since = begin_of(DateTime::from_timestamp(1_766_053_807, 999).expect("a time"), 5);
        assert_eq!(since.timestamp(), 1_766_053_805);
        let counted = [Bucket { at: 1_766_053_810, processed: 2, failed: 1, worked_us: 6_000, ..Bucket::default() }];
        let all = BucketView::all(since, 5, 3, &counted);
        let shown: Vec<_> =
            all.iter().map(|view| (&view.at[11..19], view.processed, view.average_processing_ms)).collect();
        assert_eq!(shown, [("10:30:05", 0, None), ("10:30:10", 2, Some(2.0)), ("10:30:15", 0, None)]);
    }
}
