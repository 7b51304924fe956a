//! The tables: what they refuse, derive and give back.

use gristmill::store::dialect::{now_plus_micros_sql, now_sql, placeholder};
use gristmill::store::{Store, StoreError, StoreErrorKind, StoreOptions};
use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, Statement, Value};

use super::{WAIT, migrated, number};

const COLUMNS: &str = "id, task_id, user_id, event_name, status, received_at";

/// An event with this id, name and status.
async fn insert(store: &Store, id: i64, name: &str, status: &str) -> Result<(), StoreError> {
    let name = name.to_owned();
    let status = status.to_owned();
    store
        .run("insert an event", WAIT, move |conn| async move {
            let backend = conn.backend();
            let places: Vec<_> = (1..=5).map(|n| placeholder(backend, n)).collect();
            let now = now_sql(backend);
            let sql = format!("INSERT INTO events ({COLUMNS}) VALUES ({}, {now})", places.join(", "));
            let task = Uuid::now_v7();
            let values: [Value; 5] = [id.into(), task.into(), 1_i64.into(), name.into(), status.into()];
            let statement = Statement::from_sql_and_values(backend, sql, values);
            conn.write().execute_raw(statement).await?;
            Ok(())
        })
        .await
}

/// An id is taken once, on both databases. Lengths are the program's to hold; PostgreSQL's columns hold them as well.
pub async fn contract_the_database_refuses_an_id_that_is_taken(options: StoreOptions) {
    let store = migrated(&options).await;
    let kind = |result: Result<(), StoreError>| result.err().map(|error| error.kind);
    assert_eq!(kind(insert(&store, 1, &"ü".repeat(255), "pending").await), None);
    let too_long = Some(StoreErrorKind::Refused).filter(|_| store.backend() == DbBackend::Postgres);
    assert_eq!(kind(insert(&store, 2, &"ü".repeat(256), "pending").await), too_long);
    assert_eq!(kind(insert(&store, 1, "name", "pending").await), Some(StoreErrorKind::Conflict));
}

/// `processed` cannot disagree with `status`.
pub async fn contract_processed_follows_status(options: StoreOptions) {
    let store = migrated(&options).await;
    for (id, status) in [(1, "processed"), (2, "pending"), (3, "failed")] {
        insert(&store, id, "name", status).await.expect("a valid event");
    }
    let read =
        store.run("read events", WAIT, |conn| async move { Ok(entity::event::Entity::find().all(conn.read()).await?) });
    for event in read.await.expect("the events") {
        assert_eq!(event.processed, event.status == "processed", "{}", event.status);
    }
}

/// A time that the database makes and one that is bound order as times, also as SQLite's texts.
pub async fn contract_the_databases_clock_compares_with_bound_times(options: StoreOptions) {
    let store = migrated(&options).await;
    let hour = chrono::Duration::hours(1);
    let whole = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
    let check = store.run("compare times", WAIT, move |conn| async move {
        let backend = conn.backend();
        let now = now_sql(backend);
        let value = placeholder(backend, 1);
        let later = now_plus_micros_sql(backend, &value);
        let is_true = async |sql: String, value: Value| {
            let statement = Statement::from_sql_and_values(backend, sql, [value]);
            let row = conn.read().query_one_raw(statement).await?;
            Ok::<bool, StoreError>(row.expect("one row").try_get_by_index(0)?)
        };
        let present = chrono::Utc::now();
        assert!(is_true(format!("SELECT {now} < {value}"), (present + hour).into()).await?);
        assert!(is_true(format!("SELECT {now} > {value}"), (present - hour).into()).await?);
        assert!(is_true(format!("SELECT {later} > {now}"), 60_000_000_i64.into()).await?);
        assert!(is_true(format!("SELECT {later} < {now}"), (-60_000_000_i64).into()).await?);
        // Fractions of any length, also none, in order.
        let steps = [0, 1, 1_000, 1_001, 500_000, 999_999].map(chrono::Duration::microseconds);
        for pair in steps.windows(2) {
            let values: [Value; 2] = [(whole + pair[0]).into(), (whole + pair[1]).into()];
            let sql = format!("SELECT {value} < {}", placeholder(backend, 2));
            let statement = Statement::from_sql_and_values(backend, sql, values);
            let row = conn.read().query_one_raw(statement).await?.expect("one row");
            assert!(row.try_get_by_index::<bool>(0)?, "{pair:?}");
        }
        Ok(())
    });
    check.await.expect("the comparisons hold");
}

/// Each entity names the columns that the migration made.
pub async fn contract_every_entity_reads_its_table(options: StoreOptions) {
    let store = migrated(&options).await;
    insert(&store, 1, "name", "pending").await.expect("a valid event");
    let read = store.run("read every table", WAIT, |conn| async move {
        let db = conn.read();
        entity::api_token::Entity::find().all(db).await?;
        entity::attempt::Entity::find().all(db).await?;
        entity::audit::Entity::find().all(db).await?;
        entity::auth_change::Entity::find().all(db).await?;
        entity::control::Entity::find().all(db).await?;
        entity::control_change::Entity::find().all(db).await?;
        entity::dedupe_key::Entity::find().all(db).await?;
        entity::event::Entity::find().all(db).await?;
        entity::flush::Entity::find().all(db).await?;
        entity::flush_minute::Entity::find().all(db).await?;
        entity::id_block::Entity::find().all(db).await?;
        entity::job::Entity::find().all(db).await?;
        entity::node::Entity::find().all(db).await?;
        entity::replay::Entity::find().all(db).await?;
        entity::retention::Entity::find().all(db).await?;
        entity::retention_walk::Entity::find().all(db).await?;
        entity::snapshot::Entity::find().all(db).await?;
        entity::user::Entity::find().all(db).await?;
        Ok(entity::meta::Entity::find().all(db).await?)
    });
    let meta = read.await.expect("every table reads");
    let identity = meta.iter().find(|row| row.key == "identity").expect("an identity");
    identity.value.parse::<Uuid>().expect("a uuid");
    assert_eq!(number(&store, "SELECT COUNT(*) FROM events").await, 1);
}
