//! Jobs: each event that matches is changed once, in pieces of a bounded size, however many are at work.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gristmill::domain::outcome::Status;
use gristmill::domain::payload::PayloadLimits;
use gristmill::store::{Filters, Job, JobKind, JobStatus, JobStep, NewJob, ReplayRules, Store, StoreOptions};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::{WAIT, by, migrated, number};

const RULES: ReplayRules = ReplayRules {
    limits: PayloadLimits { bytes_max: 1 << 21, depth_max: 10, number_chars_max: 1_000 },
    keys_live_for: Duration::from_secs(60),
};

fn wanted(kind: JobKind, filters: Filters) -> NewJob {
    NewJob { kind, filters, patch: None, is_forced: false, by: 1 }
}

fn named(name: &str) -> Filters {
    Filters { event_name: Some(name.to_owned()), ..Filters::default() }
}

/// Inserts events 1 to `count`, received a second after the other from the beginning of 2025 on; `columns` are SQL of `n`.
async fn insert(store: &Store, count: i64, name: &str, status: &str, payload: &str) {
    let (series, uuid, time, json) = match store.backend() {
        DbBackend::Postgres => (
            format!("SELECT n FROM generate_series(1, {count}) AS s(n)"),
            "gen_random_uuid()",
            "to_timestamp(1735689600 + n)",
            "::jsonb",
        ),
        _ => (
            format!(
                "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) SELECT n FROM c"
            ),
            "randomblob(16)",
            "strftime('%Y-%m-%dT%H:%M:%S+00:00', 1735689600 + n, 'unixepoch')",
            "",
        ),
    };
    let sql = format!(
        "INSERT INTO events (id, task_id, user_id, event_name, event_type, status, error_code, received_at, payload, \
         next_attempt_at) SELECT n, {uuid}, 1 + n % 3, {name}, 'type-' || (n % 7), {status}, \
         CASE WHEN n % 4 = 0 THEN 'refused' END, {time}, {payload}{json}, {time} FROM ({series}) AS s"
    );
    let run = store.run("fill", WAIT, move |conn| async move { Ok(conn.write().execute_unprepared(&sql).await?) });
    run.await.expect("the events are inserted");
}

const STATES: &str = "CASE n % 11 WHEN 0 THEN 'failed' WHEN 1 THEN 'validation_error' WHEN 2 THEN 'cancelled' \
                      WHEN 3 THEN 'processed' WHEN 4 THEN 'duplicate' ELSE 'pending' END";

async fn count(store: &Store, condition: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM events WHERE {condition}");
    let read = store.run("count", WAIT, move |conn| async move {
        let row = conn.read().query_one_raw(Statement::from_string(conn.backend(), sql)).await?;
        Ok(row.expect("one row").try_get_by_index(0)?)
    });
    read.await.expect("a number")
}

/// Advances the job to its end; gives the sizes of its pieces.
async fn carried_out(store: &Store, id: i64) -> Vec<usize> {
    let mut pieces = Vec::new();
    loop {
        match store.advance_job(id, RULES, WAIT).await.expect("a piece") {
            JobStep::Advanced(changed) => pieces.push(changed),
            JobStep::Ended(changed) => {
                pieces.push(changed);
                return pieces;
            }
            step => panic!("{step:?} after {pieces:?}"),
        }
    }
}

async fn read(store: &Store, id: i64) -> Job {
    store.job(id, None, WAIT).await.expect("a look").expect("a job")
}

/// Along every index, a job finds what a plain count finds.
pub async fn contract_a_job_finds_every_match_along_every_index(options: StoreOptions) {
    let store = migrated(&options).await;
    insert(&store, 6_000, "'name-' || (n % 5)", STATES, "'{}'").await;
    let bad = "status IN ('failed', 'validation_error', 'cancelled')";
    let time = |seconds: i64| DateTime::<Utc>::from_timestamp(1_735_689_600 + seconds, 0);
    let none = Filters::default;
    let failed = || Filters { status: Some(Status::Failed), ..none() };
    let cases = [
        (named("name-1"), format!("event_name = 'name-1' AND {bad}")),
        (failed(), "status = 'failed'".to_owned()),
        (Filters { error_code: Some("refused".to_owned()), ..failed() }, "status = 'failed' AND id % 4 = 0".to_owned()),
        (Filters { user_id: Some(2), ..none() }, format!("user_id = 2 AND {bad}")),
        (
            Filters { user_id: Some(2), event_type: Some("type-1".to_owned()), ..failed() },
            "user_id = 2 AND id % 7 = 1 AND status = 'failed'".to_owned(),
        ),
        (
            Filters { received_after: time(101), received_before: time(4_001), ..none() },
            format!("id >= 101 AND id < 4001 AND {bad}"),
        ),
        (Filters { received_after: time(101), ..none() }, format!("id >= 101 AND {bad}")),
        (none(), bad.to_owned()),
    ];
    for (filters, condition) in cases {
        let found = store.rehearse_job(wanted(JobKind::Retry, filters.clone()), 100, WAIT).await.expect("a rehearsal");
        let expected = count(&store, &condition).await;
        assert!(expected > 0 && found.is_complete, "{condition}");
        assert_eq!(i64::try_from(found.matched).expect("small"), expected, "{condition}");
    }
    let broken_off = store.rehearse_job(wanted(JobKind::Retry, none()), 1, WAIT).await.expect("a rehearsal");
    assert_eq!((broken_off.matched, broken_off.is_complete), (545, false), "of the first 2,000 rows");
}

/// A piece has at most 500 events, and what was stored later is not met.
pub async fn contract_a_job_changes_each_event_once_and_no_later_one(options: StoreOptions) {
    let store = migrated(&options).await;
    insert(&store, 1_200, "'a'", "'failed'", "'{}'").await;
    let job =
        store.create_job(wanted(JobKind::Retry, named("a")), &by(), WAIT).await.expect("an answer").expect("a job");
    let later = "UPDATE events SET id = id + 5000 WHERE id > 1190";
    let moved = store.run("move", WAIT, move |conn| async move { Ok(conn.write().execute_unprepared(later).await?) });
    moved.await.expect("they look as if they were stored later");
    let young = match store.backend() {
        DbBackend::Postgres => "UPDATE events SET received_at = '2999-01-01T00:00:00Z' WHERE id = 7",
        _ => "UPDATE events SET received_at = '2999-01-01T00:00:00+00:00' WHERE id = 7",
    };
    let aged = store.run("age", WAIT, move |conn| async move { Ok(conn.write().execute_unprepared(young).await?) });
    aged.await.expect("one came later from another block of ids");
    assert_eq!(carried_out(&store, job.id).await, [500, 500, 189]);
    let done = read(&store, job.id).await;
    assert_eq!((done.status, done.matched, done.changed, done.skipped), (JobStatus::Done, 1_189, 1_189, 0));
    assert_eq!(count(&store, "status = 'pending' AND generation = 1 AND lease_boot IS NULL").await, 1_189);
    assert_eq!(number(&store, "SELECT CAST(SUM(failed) AS BIGINT) FROM flushes").await, -1_189, "taken back");
    assert_eq!(store.advance_job(job.id, RULES, WAIT).await.expect("a look"), JobStep::Unavailable, "it has ended");
}

/// However many advance it, also at once.
pub async fn contract_runners_that_race_do_a_job_once(options: StoreOptions) {
    let store = migrated(&options).await;
    insert(&store, 1_800, "'a'", "'pending'", "'{}'").await;
    let job =
        store.create_job(wanted(JobKind::Cancel, named("a")), &by(), WAIT).await.expect("an answer").expect("a job");
    let runners: Vec<_> = (0..4).map(|_| tokio::spawn(race(store.clone(), job.id))).collect();
    let mut changed = 0;
    for runner in runners {
        changed += runner.await.expect("no panic");
    }
    let done = read(&store, job.id).await;
    assert_eq!((changed, done.status, done.changed), (1_800, JobStatus::Done, 1_800));
    assert_eq!(number(&store, "SELECT COUNT(*) FROM replays").await, 1_800);
    assert_eq!(number(&store, "SELECT CAST(SUM(cancelled) AS BIGINT) FROM flushes").await, 1_800);
}

async fn race(store: Store, id: i64) -> usize {
    let mut changed = 0;
    loop {
        match store.advance_job(id, RULES, WAIT).await.expect("a piece") {
            JobStep::Advanced(count) | JobStep::Ended(count) => changed += count,
            _ if read(&store, id).await.status == JobStatus::Done => return changed,
            _ => tokio::task::yield_now().await,
        }
    }
}

/// A piece is bounded in bytes.
pub async fn contract_a_piece_with_large_payloads_has_few_events(options: StoreOptions) {
    let store = migrated(&options).await;
    let payload = match store.backend() {
        DbBackend::Postgres => "('{\"a\":\"' || repeat('x', 1000000) || '\"}')",
        _ => "'{\"a\":\"' || replace(hex(zeroblob(500000)), '0', 'x') || '\"}'",
    };
    insert(&store, 20, "'a'", "'failed'", payload).await;
    let new = NewJob { patch: Some(r#"{"b":1}"#.to_owned()), ..wanted(JobKind::Retry, named("a")) };
    let job = store.create_job(new, &by(), WAIT).await.expect("an answer").expect("a job");
    assert_eq!(carried_out(&store, job.id).await, [9, 9, 2]);
    let longer =
        count(&store, "length(CAST(payload AS TEXT)) > 1000008 AND CAST(payload AS TEXT) LIKE '%\"b\"%'").await;
    assert_eq!(longer, 20);
    assert_eq!(number(&store, "SELECT COUNT(*) FROM replays WHERE patched AND payload_before IS NOT NULL").await, 20);
}

/// Bytes are no characters.
pub async fn contract_a_piece_counts_the_bytes_of_its_payloads(options: StoreOptions) {
    let store = migrated(&options).await;
    let payload = match store.backend() {
        DbBackend::Postgres => "('{\"a\":\"' || repeat('😀', 250000) || '\"}')",
        _ => "'{\"a\":\"' || replace(hex(zeroblob(125000)), '0', '😀') || '\"}'",
    };
    insert(&store, 20, "'a'", "'failed'", payload).await;
    let job =
        store.create_job(wanted(JobKind::Retry, named("a")), &by(), WAIT).await.expect("an answer").expect("a job");
    assert_eq!(carried_out(&store, job.id).await, [9, 9, 2]);
}

/// New work must not stand behind all of the old.
pub async fn contract_a_retry_waits_while_much_is_due_and_a_cancellation_does_not(options: StoreOptions) {
    let store = migrated(&options).await;
    insert(&store, 2_002, "'a'", "CASE WHEN n = 1 THEN 'failed' ELSE 'pending' END", "'{}'").await;
    let retry =
        store.create_job(wanted(JobKind::Retry, named("a")), &by(), WAIT).await.expect("an answer").expect("a job");
    assert_eq!(store.advance_job(retry.id, RULES, WAIT).await.expect("a look"), JobStep::Crowded);
    let cancel =
        store.create_job(wanted(JobKind::Cancel, named("a")), &by(), WAIT).await.expect("an answer").expect("a job");
    assert_eq!(carried_out(&store, cancel.id).await.iter().sum::<usize>(), 2_001);
    // It was made before they were called off, and meets them all the same.
    assert_eq!(carried_out(&store, retry.id).await.iter().sum::<usize>(), 2_002);
}

/// The one that has waited longest comes next, and one that was stopped never.
pub async fn contract_jobs_take_turns_until_they_end(options: StoreOptions) {
    let store = migrated(&options).await;
    insert(&store, 1_200, "'a'", "'pending'", "'{}'").await;
    let make = async || {
        store.create_job(wanted(JobKind::Cancel, named("a")), &by(), WAIT).await.expect("an answer").expect("a job").id
    };
    let first = make().await;
    let second = make().await;
    let next = async || store.running_job(WAIT).await.expect("a look");
    assert_eq!(next().await, Some(first));
    store.advance_job(first, RULES, WAIT).await.expect("a piece");
    assert_eq!(next().await, Some(second));
    store.stop_job(second, &by(), WAIT).await.expect("it stops");
    assert_eq!(next().await, Some(first));
    store.fail_job(first, "no", WAIT).await.expect("it fails");
    assert_eq!(next().await, None);
    let failed = read(&store, first).await;
    assert_eq!((failed.status, failed.error.as_deref(), failed.changed), (JobStatus::Failed, Some("no"), 500));
    for _ in 0..100 {
        make().await;
    }
    let more = store.create_job(wanted(JobKind::Cancel, named("a")), &by(), WAIT).await.expect("an answer");
    assert_eq!(more, None, "the queue is bounded");
    store.stop_job(first, &by(), WAIT).await.expect("it has ended");
    assert_eq!(read(&store, first).await, failed);
}
