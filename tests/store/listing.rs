//! The list: no combination of filters makes it read the table, and no row is lost or repeated on the way.

use chrono::{DateTime, TimeDelta, Utc};
use gristmill::domain::outcome::Status;
use gristmill::store::{Filters, JobKind, ListOrder, ListPosition, ListQuery, NewJob, Store, StoreOptions};
use sea_orm::{ConnectionTrait, DbBackend};

use super::{WAIT, migrated};

/// Events of each of two distant ranges of ids.
const EVENTS: i64 = 12_000;
/// Where the second range begins, in another partition.
const FAR: i64 = 10_000_000;

/// When event `id` was received: six at a time, and against the order of ids from one dozen to the next.
fn received(id: i64) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    start + TimeDelta::seconds((id % FAR) / 12 * 12 - (id % FAR) % 12 / 6)
}

async fn execute(store: &Store, sql: String) {
    let executed = store.run("fill", WAIT, move |conn| async move { Ok(conn.write().execute_unprepared(&sql).await?) });
    executed.await.expect("the statement runs");
}

async fn filled(options: &StoreOptions) -> Store {
    let store = migrated(options).await;
    let (series, uuid, time) = match store.backend() {
        DbBackend::Postgres => (
            format!("SELECT n FROM generate_series(1, {EVENTS}) AS s(n)"),
            "gen_random_uuid()",
            "to_timestamp(1800000000 + n / 12 * 12 - n % 12 / 6)",
        ),
        _ => (
            format!(
                "SELECT value AS n FROM (WITH RECURSIVE c(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM c \
                     WHERE value < {EVENTS}) SELECT value FROM c)"
            ),
            "randomblob(16)",
            "strftime('%Y-%m-%dT%H:%M:%S+00:00', 1800000000 + n / 12 * 12 - n % 12 / 6, 'unixepoch')",
        ),
    };
    for first in [0, FAR] {
        execute(
            &store,
            format!(
                "INSERT INTO events (id, task_id, user_id, event_name, event_type, status, error_code, received_at) \
                 SELECT {first} + n, {uuid}, 1 + n % 3, 'name-' || (n % 5), 'type-' || (n % 7), \
                 CASE WHEN n % 11 = 0 THEN 'failed' WHEN n % 13 = 0 THEN 'validation_error' ELSE 'processed' END, \
                 CASE WHEN n % 11 = 0 THEN 'refused' END, {time} FROM ({series}) AS s"
            ),
        )
        .await;
    }
    execute(&store, "ANALYZE".to_owned()).await;
    store
}

/// Every combination of filters that is allowed.
fn combinations() -> Vec<ListQuery> {
    let mut all = Vec::new();
    for bits in 0..64_u32 {
        for (status, order) in [
            (None, ListOrder::Desc),
            (None, ListOrder::Asc),
            (Some(Status::Failed), ListOrder::Desc),
            (Some(Status::ValidationError), ListOrder::Asc),
            (Some(Status::Processed), ListOrder::Desc),
        ] {
            let has = |bit: u32| bits & (1 << bit) != 0;
            let filters = Filters {
                status,
                event_name: has(0).then(|| "name-1".to_owned()),
                event_type: has(1).then(|| "type-1".to_owned()),
                user_id: has(2).then_some(2),
                error_code: has(3).then(|| "refused".to_owned()),
                received_after: has(4).then(|| received(100)),
                received_before: (has(4) && has(5)).then(|| received(11_000)),
            };
            if filters.have_an_index() || has(4) {
                all.push(ListQuery { filters, order });
            }
        }
    }
    all
}

/// What a plan must not have: whole tables, sorts, and rows that are read for nothing.
const FORBIDDEN: [&str; 5] = ["Seq Scan", "Sort Method", "Bitmap", "Rows Removed", "TEMP B-TREE"];

/// Every slice is a walk along one index.
pub async fn contract_no_list_scans_the_table_or_sorts(options: StoreOptions) {
    let store = filled(&options).await;
    let middle = ListPosition { received_at: Some(received(6_000)), id: 6_000 };
    for query in combinations() {
        for after in [None, Some(middle)] {
            let plan = store.explain_list(&query, after, WAIT).await.expect("a plan").join("\n");
            for word in FORBIDDEN {
                assert!(!plan.contains(word), "{query:?} after {after:?}:\n{plan}");
            }
            let is_plain = query.filters == Filters::default();
            assert!(plan.to_lowercase().contains("index") || is_plain, "{query:?} after {after:?}:\n{plan}");
            // SQLite does not say how much it reads for nothing: the walk has to begin at the position.
            let has_a_range = query.filters.received_after.is_some() || query.filters.received_before.is_some();
            let begins = ["id>?", "id<?"].iter().any(|bound| plan.contains(bound));
            let is_shown = store.backend() == DbBackend::Sqlite && after.is_some() && !has_a_range;
            assert!(begins || !is_shown, "{query:?} after {after:?}:\n{plan}");
        }
    }
}

/// So is every piece of a job.
pub async fn contract_no_job_scans_the_table_or_sorts(options: StoreOptions) {
    let store = filled(&options).await;
    let middle = ListPosition { received_at: Some(received(6_000)), id: 6_000 };
    let until = ListPosition { received_at: Some(received(11_000)), id: FAR + 11_000 };
    for query in
        combinations().into_iter().filter(|query| query.order == ListOrder::Asc || query.filters.status.is_some())
    {
        let new = NewJob { kind: JobKind::Retry, filters: query.filters, patch: None, is_forced: true, by: 1 };
        for after in [None, Some(middle)] {
            let plan = store.explain_job(new.clone(), until, after, WAIT).await.expect("a plan").join("\n");
            for word in FORBIDDEN {
                assert!(!plan.contains(word), "{new:?} after {after:?}:\n{plan}");
            }
            let has_none = Filters { status: None, ..new.filters.clone() } == Filters::default();
            assert!(plan.to_lowercase().contains("index") || has_none, "{new:?} after {after:?}:\n{plan}");
        }
    }
}

async fn walked(store: &Store, query: &ListQuery, limit: usize) -> Vec<ListPosition> {
    let mut met = Vec::new();
    let mut after = None;
    loop {
        let slice = store.list_events(query, after, limit, 1 << 20, WAIT).await.expect("a slice");
        assert!(slice.events.len() <= limit && slice.looked_at <= 5_000);
        met.extend(slice.events.iter().map(|(place, _)| *place));
        after = slice.next;
        if after.is_none() {
            return met;
        }
    }
}

fn wanted(query: &ListQuery) -> Vec<ListPosition> {
    let filters = &query.filters;
    let is_wanted = |id: &i64| {
        let n = id % FAR;
        let status = if n % 11 == 0 {
            Status::Failed
        } else if n % 13 == 0 {
            Status::ValidationError
        } else {
            Status::Processed
        };
        filters.status.is_none_or(|wanted| wanted == status)
            && filters.event_name.as_ref().is_none_or(|name| *name == format!("name-{}", n % 5))
            && filters.event_type.as_ref().is_none_or(|name| *name == format!("type-{}", n % 7))
            && filters.user_id.is_none_or(|user_id| user_id == 1 + n % 3)
            && filters.error_code.as_ref().is_none_or(|_| n % 11 == 0)
            && filters.received_after.is_none_or(|after| received(*id) >= after)
            && filters.received_before.is_none_or(|before| received(*id) < before)
    };
    let ids = (1..=EVENTS).chain(FAR + 1..=FAR + EVENTS).filter(is_wanted);
    let mut wanted: Vec<ListPosition> = ids.map(|id| ListPosition { received_at: Some(received(id)), id }).collect();
    if filters.received_after.is_some() {
        wanted.sort_by_key(|place| (place.received_at, place.id));
    }
    if query.order == ListOrder::Desc {
        wanted.reverse();
    }
    wanted
}

/// Also where a slice ends among events of the same time.
pub async fn contract_a_list_meets_every_match_once_in_its_order(options: StoreOptions) {
    let store = filled(&options).await;
    let mut seen = 0;
    // Some combinations, in few steps: all of them would take minutes.
    for query in combinations().into_iter().step_by(17) {
        let wanted = wanted(&query);
        let met = walked(&store, &query, wanted.len() / 7 + 1).await;
        assert_eq!(met.len(), wanted.len(), "{query:?}");
        assert!(met == wanted, "{query:?} is out of order");
        seen += met.len();
    }
    assert!(seen > 10_000, "the combinations are empty: {seen}");
}
