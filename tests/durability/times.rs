//! How long events took, told as percentiles of what all flushes counted.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use gristmill::domain::histogram::DurationHistogram;
use gristmill::domain::outcome::Status;
use gristmill::store::{Record, Series, Store};

use super::records::{event, flush, plain, processed, transient};
use super::{WAIT, with_store};

/// The record of work that took so many microseconds.
fn took(us: i64, mut record: Record) -> Record {
    record.started_at = record.finished_at - TimeDelta::microseconds(us);
    Arc::make_mut(&mut record.event).received_at = record.started_at;
    record
}

fn of_times(times: impl Iterator<Item = i64>) -> DurationHistogram {
    let mut histogram = DurationHistogram::default();
    times.for_each(|us| histogram.count(us));
    histogram
}

/// What statistics and series tell of the times since then; they have to tell the same.
async fn told(store: &Store, since: DateTime<Utc>) -> DurationHistogram {
    let later = Utc::now() + TimeDelta::hours(1);
    let stats = store.stats(vec![later, since], WAIT).await.expect("figures");
    assert_eq!(stats.windows[0].times, DurationHistogram::default(), "nothing is in a window that has not begun");
    let course = store.series(Series { since, step: 86_400 * 365 * 1_000 }, WAIT).await.expect("a series");
    let mut sum = DurationHistogram::default();
    course.iter().for_each(|bucket| sum.merge(&bucket.times));
    assert_eq!(stats.windows[1].times, sum);
    sum
}

both_databases! {
    // Guards the columns of `counts::COLUMNS` beside their values on both ways of a flush, `Minute` in `rollup.rs`, and both
    // statements that sum them up.
    fn percentiles_are_those_of_the_times_also_after_a_roll_up(database) {
        with_store(&database, async |store| {
            let since = Utc::now().duration_trunc(TimeDelta::minutes(1)).expect("a minute") - TimeDelta::hours(1);
            assert_eq!(told(&store, since).await.quantile_us(0.5), None, "nothing was finished yet");
            // The short way, then the long one.
            flush(&store, (1..=100).map(|ms| took(ms * 1_000, processed(plain(ms, "a", "")))).collect()).await;
            let times = told(&store, since).await;
            assert_eq!(times, of_times((1..=100).map(|ms| ms * 1_000)));
            let percentile = |share| times.quantile_us(share).expect("events were finished") / 1_000.0;
            let [p50, p95, p99] = [0.5, 0.95, 0.99].map(percentile);
            assert!((32.768..65.536).contains(&p50), "50 ms in the bounds of its class: {p50}");
            assert!((65.536..131.072).contains(&p95) && p95 < p99 && p99 < 131.072, "{p95} and {p99}");
            let mut worn = plain(102, "a", "");
            worn.attempts = 3;
            let failed = took(3_000, transient(worn));
            assert_eq!(failed.outcome.status, Status::Failed);
            let keyed = [took(2_000, processed(plain(101, "a", "key"))), failed, took(9_000, transient(plain(103, "a", "")))];
            flush(&store, keyed.to_vec()).await;
            flush(&store, vec![took(5_000, processed(plain(104, "a", "key")))]).await;
            let all = of_times((1..=100).map(|ms| ms * 1_000).chain([2_000, 3_000]));
            assert_eq!(told(&store, since).await, all, "neither what is put off nor a duplicate is finished work");

            assert_eq!(store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up"), 3);
            assert_eq!(told(&store, since).await, all);
            flush(&store, vec![took(7_000, processed(plain(105, "a", "")))]).await;
            assert_eq!(store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up"), 1);
            let mut all = all;
            all.count(7_000);
            assert_eq!(told(&store, since).await, all, "a later roll-up adds to the minute");
        });
    }

    // Guards the classes in `counts::counts`, and `sql_by_type`.
    fn the_times_of_each_type_are_told_apart_also_after_a_roll_up(database) {
        with_store(&database, async |store| {
            let since = Utc::now().duration_trunc(TimeDelta::minutes(1)).expect("a minute") - TimeDelta::hours(1);
            let typed = |id, event_type: &str, us| {
                let body = format!(r#"{{"event_name":"a","event_type":"{event_type}","payload":{{}}}}"#);
                took(us, processed(event(id, 1, &body)))
            };
            flush(&store, vec![typed(1, "quick", 100), typed(2, "slow", 70_000), typed(3, "quick", 200)]).await;
            let types = async || {
                let (types, is_complete) = store.stats_by_type(vec![since], WAIT).await.expect("figures");
                assert!(is_complete);
                types.into_iter().map(|of| (of.event_type, of.windows[0].times)).collect::<Vec<_>>()
            };
            let quick = ("quick".to_owned(), of_times([100, 200].into_iter()));
            let slow = ("slow".to_owned(), of_times([70_000].into_iter()));
            assert_eq!(types().await, [quick.clone(), slow.clone()]);
            store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up");
            assert_eq!(types().await, [quick, slow]);
        });
    }
}
