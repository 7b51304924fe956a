//! The columns that count how long events took.

use std::time::Duration;

use chrono::{DateTime, Utc};
use gristmill::domain::histogram::DurationHistogram;
use gristmill::store::{Series, Store, StoreOptions, migrate};
use sea_orm::ConnectionTrait;

use super::{WAIT, migrated};

async fn execute(store: &Store, statements: Vec<String>) {
    let write = store.run("change the database", WAIT, move |conn| async move {
        for statement in statements {
            conn.write().execute_unprepared(&statement).await?;
        }
        Ok(())
    });
    write.await.expect("the statements are carried out");
}

/// A database of an earlier version is brought up to date: its rows go on counting, and have no percentiles.
pub async fn contract_what_was_counted_before_there_were_times_has_no_percentiles(options: StoreOptions) {
    let json = if options.url.starts_with("postgres") { "::jsonb" } else { "" };
    let boot = if json.is_empty() { "zeroblob(16)" } else { "'00000000-0000-0000-0000-000000000000'" };
    let flush = |seq: i64, more: &str, value: &str| {
        format!(
            "INSERT INTO flushes (boot_id, seq, node, xid, event_ids, counts, gathered_us, wrote_us, flushed_at, processed, \
             worked_us{more}) VALUES ({boot}, {seq}, 'n', {seq}, '[]'{json}, '{{}}'{json}, 0, 0, \
             '2025-11-29T10:00:01+00:00', 2, 500{value})"
        )
    };
    let store = migrated(&options).await;
    let mut back: Vec<String> = Vec::new();
    for table in ["flushes", "flush_minutes"] {
        back.extend((6..=29).map(|digits| format!("ALTER TABLE {table} DROP COLUMN took{digits}")));
    }
    back.push("DELETE FROM seaql_migrations WHERE version LIKE '%_times'".to_owned());
    back.push(flush(1, "", ""));
    back.push(format!(
        "INSERT INTO flush_minutes (minute, node, counts, flushes, events, processed) VALUES \
         ('2025-11-29T10:00:00+00:00', 'n', '{{}}'{json}, 7, 8, 8)"
    ));
    execute(&store, back).await;
    store.close().await;

    assert_eq!(migrate::run(&options).await.expect("the migration runs"), 1);
    let store = Store::open(&options, tokio::runtime::Handle::current()).await.expect("a migrated database opens");
    let since: DateTime<Utc> = "2025-11-29T10:00:00Z".parse().expect("a time");
    let told = async || {
        let window = store.stats(vec![since], WAIT).await.expect("figures").windows[0];
        let course = store.series(Series { since, step: 60 }, WAIT).await.expect("a series");
        assert_eq!((course.len(), course[0].processed, course[0].times), (1, window.processed, window.times));
        (window.processed, window.times)
    };
    assert_eq!(told().await, (10, DurationHistogram::default()));
    execute(&store, vec![flush(2, ", took10", ", 2")]).await;
    let mut two = DurationHistogram::default();
    [600, 600].into_iter().for_each(|us| two.count(us));
    assert_eq!(told().await, (12, two));
    assert_eq!(store.roll_up(Duration::ZERO, WAIT).await.expect("rolled up"), 2);
    assert_eq!(told().await, (12, two), "minutes with and without times are added up");
}
