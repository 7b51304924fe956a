//! Sessions of the dashboard, and the course of the figures.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gristmill::domain::scopes::{Scope, Scopes};
use gristmill::store::{AuditFilters, NewToken, Series, Store, StoreOptions, Token, TokenSecret, hash_token};
use sea_orm::ConnectionTrait;
use serde_json::json;

use super::{WAIT, by, migrated, number};

const DAY: Duration = Duration::from_secs(86_400);

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

async fn token(store: &Store, expires_at: Option<DateTime<Utc>>) -> Token {
    let user = match store.user_by_email("ann@x.org", WAIT).await.expect("an answer") {
        Some(user) => user,
        None => {
            store.create_user("ann@x.org", noon(), &by(), WAIT).await.expect("an answer").expect("the email is free")
        }
    };
    let scopes: Scopes = [Scope::Read].into_iter().collect();
    let new = NewToken { user_id: user.id, name: "laptop".to_owned(), scopes, expires_at };
    store.create_token(new, noon(), &by(), WAIT).await.expect("a token").0
}

async fn open(store: &Store, parent: i64, now: DateTime<Utc>) -> Option<(Token, TokenSecret)> {
    store.open_session(parent, DAY, now, &by(), WAIT).await.expect("an answer")
}

/// A session never lasts longer than the token that it was opened with.
pub async fn contract_a_session_ends_with_its_token(options: StoreOptions) {
    let store = migrated(&options).await;
    let lasting = token(&store, None).await;
    let short = token(&store, Some(noon() + TimeDelta::hours(1))).await;
    let (session, secret) = open(&store, lasting.id, noon()).await.expect("a session");
    assert_eq!((session.parent_id, session.expires_at), (Some(lasting.id), Some(noon() + TimeDelta::days(1))));
    assert_eq!((session.user_id, session.scopes), (lasting.user_id, lasting.scopes));
    assert_eq!(open(&store, short.id, noon()).await.expect("a session").0.expires_at, short.expires_at);
    assert!(open(&store, session.id, noon()).await.is_none(), "a session opens none");
    assert!(open(&store, short.id, noon() + TimeDelta::hours(1)).await.is_none(), "nor does a token that has ended");
    assert!(open(&store, 999, noon()).await.is_none());

    let hash = hash_token(secret.expose());
    let found = async || store.find_tokens(vec![hash], WAIT).await.expect("an answer").pop().expect("the session");
    assert_eq!((found().await.parent_id, found().await.revoked_at), (Some(lasting.id), None));
    let (new, _) = store
        .rotate_token(lasting.id, Duration::from_secs(60), noon(), &by(), WAIT)
        .await
        .expect("an answer")
        .expect("valid");
    assert_eq!(found().await.expires_at, Some(noon() + TimeDelta::seconds(60)), "the earlier end");
    assert_eq!(new.parent_id, None);
    assert!(store.revoke_token(lasting.id, noon(), &by(), WAIT).await.expect("an answer"));
    assert_eq!(found().await.revoked_at, Some(noon()));
}

/// The oldest session ends when there are too many, and what ended long ago is removed.
pub async fn contract_sessions_are_bounded(options: StoreOptions) {
    let store = migrated(&options).await;
    let parent = token(&store, None).await;
    for _ in 0..25 {
        open(&store, parent.id, noon()).await.expect("a session");
    }
    const OPEN: &str = "SELECT COUNT(*) FROM api_tokens WHERE parent_id IS NOT NULL AND revoked_at IS NULL";
    assert_eq!(number(&store, OPEN).await, 20);
    open(&store, parent.id, noon() + TimeDelta::days(60)).await.expect("a session");
    assert_eq!(number(&store, "SELECT COUNT(*) FROM api_tokens WHERE parent_id IS NOT NULL").await, 1);
    assert_eq!(number(&store, "SELECT COUNT(*) FROM api_tokens WHERE parent_id IS NULL").await, 1, "the token stays");
}

/// What opens or closes a session writes its row in the same transaction; what changes nothing writes none.
pub async fn contract_each_session_is_told_in_the_audit_log(options: StoreOptions) {
    let store = migrated(&options).await;
    let parent = token(&store, None).await;
    let (first, _) = open(&store, parent.id, noon()).await.expect("a session");
    for is_open in [true, false] {
        let closed = store.close_session(first.id, parent.id, noon(), &by(), WAIT).await.expect("an answer");
        assert_eq!(closed, is_open);
    }
    assert!(open(&store, first.id, noon()).await.is_none(), "a session opens none");
    for _ in 0..21 {
        open(&store, parent.id, noon()).await.expect("a session");
    }
    let rows = store.audit_before(AuditFilters::default(), i64::MAX, 500, WAIT).await.expect("the log");
    let of = |action: &str| rows.iter().rev().filter(|row| row.action == action).cloned().collect::<Vec<_>>();
    let opened = of("session_opened");
    let closed = of("session_closed");
    assert_eq!((opened.len(), closed.len()), (22, 2));
    assert_eq!(
        (opened[0].object.clone(), &opened[0].detail["parent_id"]),
        (format!("tokens/{}", first.id), &json!(parent.id))
    );
    assert_eq!(
        (closed[0].object.clone(), &closed[0].detail["why"]),
        (format!("tokens/{}", first.id), &json!("logged_out"))
    );
    assert_eq!(
        (&closed[1].object, &closed[1].detail["why"]),
        (&opened[1].object, &json!("too_many")),
        "the oldest one"
    );
    assert!(of("token_revoked").is_empty(), "{rows:?}");
}

/// Minutes and single flushes are told as one course, each flush once, in the bucket of its time.
pub async fn contract_a_series_has_each_flush_in_its_bucket(options: StoreOptions) {
    let store = migrated(&options).await;
    let cast = if options.url.starts_with("postgres") { "::jsonb" } else { "" };
    let times = ["2026-11-29T10:00:01.5", "2026-11-29T10:00:14", "2026-11-29T10:00:15", "2026-11-29T09:59:59"];
    let mut statements: Vec<String> = times.iter().enumerate().map(|(seq, time)| format!(
        "INSERT INTO flushes (boot_id, seq, node, xid, event_ids, counts, gathered_us, wrote_us, flushed_at, received, \
         processed, duplicate, validation_error, failed, cancelled, pending, worked_us) VALUES \
         ({boot}, {seq}, 'n', {seq}, '[]'{cast}, '{{}}'{cast}, 0, 0, '{time}+00:00', 3, 2, 0, 1, 0, 0, 0, 500)",
        boot = if cast.is_empty() { "zeroblob(16)" } else { "'00000000-0000-0000-0000-000000000000'" },
    )).collect();
    statements.push(format!(
        "INSERT INTO flush_minutes (minute, node, counts, flushes, events, received, processed, duplicate, \
         validation_error, failed, cancelled, pending, worked_us) VALUES \
         ('2026-11-29T10:01:00+00:00', 'n', '{{}}'{cast}, 7, 9, 9, 8, 0, 0, 1, 0, 4, 900)"
    ));
    let write = store.run("write flushes", WAIT, move |conn| async move {
        for statement in statements {
            conn.write().execute_unprepared(&statement).await?;
        }
        Ok(())
    });
    write.await.expect("the rows are written");
    let since: DateTime<Utc> = "2026-11-29T10:00:00Z".parse().expect("a time");
    let told = |step: i64| {
        let store = store.clone();
        async move {
            let buckets = store.series(Series { since, step }, WAIT).await.expect("a series");
            let of = |at: i64| at - since.timestamp();
            buckets
                .iter()
                .map(|bucket| (of(bucket.at), bucket.flushes, bucket.received, bucket.failed))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(told(5).await, [(0, 1, 3, 0), (10, 1, 3, 0), (15, 1, 3, 0), (60, 7, 9, 1)]);
    assert_eq!(told(60).await, [(0, 3, 9, 0), (60, 7, 9, 1)]);
    let all = store.series(Series { since, step: 3_600 }, WAIT).await.expect("a series");
    assert_eq!((all.len(), all[0].processed, all[0].pending, all[0].worked_us), (1, 14, 4, 2_400));
}

/// What is pending is counted as far as asked.
pub async fn contract_a_backlog_is_counted_up_to_a_bound(options: StoreOptions) {
    let store = migrated(&options).await;
    token(&store, None).await;
    for id in 1..=5 {
        let write = store.run("insert an event", WAIT, move |conn| async move {
            let task = sea_orm::prelude::Uuid::now_v7();
            let task = if conn.backend() == sea_orm::DbBackend::Postgres {
                format!("'{task}'")
            } else {
                format!("X'{}'", task.simple())
            };
            let sql = format!(
                "INSERT INTO events (id, task_id, user_id, event_name, status, received_at) VALUES \
                 ({id}, {task}, 1, 'a', '{}', '2026-11-29T10:00:00+00:00')",
                if id == 1 { "failed" } else { "pending" }
            );
            Ok(conn.write().execute_unprepared(&sql).await.map(drop)?)
        });
        write.await.expect("a valid event");
    }
    assert_eq!(store.pending_up_to(10, WAIT).await.expect("a number"), 4);
    assert_eq!(store.pending_up_to(3, WAIT).await.expect("a number"), 3);
}
