//! What happens to work whose caller, transaction or time is lost.

use std::time::Duration;

use gristmill::store::{Cause, Store, StoreError, StoreErrorKind, StoreOptions, StoreOutcome};
use sea_orm::ConnectionTrait;
use tokio::sync::oneshot;

use super::{WAIT, migrated, number};

const WRITE: &str = "INSERT INTO meta (key, value) VALUES ('written', 'yes')";
const COUNT: &str = "SELECT COUNT(*) FROM meta WHERE key = 'written'";

async fn written(store: &Store) -> bool {
    number(store, COUNT).await == 1
}

/// The wait bounds the caller, not the work.
pub async fn contract_work_goes_on_when_its_caller_stops_waiting(options: StoreOptions) {
    let store = migrated(&options).await;
    let (go, gate) = oneshot::channel::<()>();
    let (done, finished) = oneshot::channel();
    let result = store.run("write", Duration::from_millis(10), |conn| async move {
        gate.await.expect("the test opens the gate");
        conn.write().execute_unprepared(WRITE).await?;
        done.send(()).expect("the test waits");
        Ok(())
    });
    let error = result.await.expect_err("the wait is over first");
    assert_eq!((error.kind, error.outcome), (StoreErrorKind::Transient, StoreOutcome::Unknown));
    assert!(matches!(error.cause, Cause::WaitOver(_)));
    assert!(!written(&store).await);
    go.send(()).expect("the work waits");
    finished.await.expect("the work goes on");
    assert!(written(&store).await);
}

/// A dropped request does not cut a transaction in two.
pub async fn contract_work_goes_on_when_its_caller_is_dropped(options: StoreOptions) {
    let store = migrated(&options).await;
    let (begun, has_begun) = oneshot::channel();
    let (go, gate) = oneshot::channel::<()>();
    let (done, finished) = oneshot::channel();
    let caller = tokio::spawn({
        let store = store.clone();
        async move { store.transaction("write", WAIT, move |tx| Box::pin(write_gated(tx, begun, gate, done))).await }
    });
    has_begun.await.expect("the transaction begins");
    caller.abort();
    caller.await.expect_err("the caller is gone");
    go.send(()).expect("the work waits");
    finished.await.expect("the work goes on");
    // The next write queues behind the commit on SQLite; PostgreSQL may commit a moment later.
    let deadline = tokio::time::Instant::now() + WAIT;
    while !written(&store).await {
        assert!(tokio::time::Instant::now() < deadline, "the commit is lost");
        tokio::task::yield_now().await;
    }
}

async fn write_gated(
    tx: &sea_orm::DatabaseTransaction,
    begun: oneshot::Sender<()>,
    gate: oneshot::Receiver<()>,
    done: oneshot::Sender<()>,
) -> Result<(), StoreError> {
    begun.send(()).expect("the test waits");
    gate.await.expect("the test opens the gate");
    tx.execute_unprepared(WRITE).await?;
    done.send(()).expect("the test waits");
    Ok(())
}

/// An error before COMMIT is certain.
pub async fn contract_a_failed_transaction_stores_nothing(options: StoreOptions) {
    let store = migrated(&options).await;
    let result = store.transaction("write twice", WAIT, |tx| {
        Box::pin(async move {
            tx.execute_unprepared(WRITE).await?;
            tx.execute_unprepared(WRITE).await?;
            Ok(())
        })
    });
    let error = result.await.expect_err("the key is taken");
    assert_eq!((error.kind, error.outcome), (StoreErrorKind::Conflict, StoreOutcome::NotStored));
    assert!(error.to_string().starts_with("write twice: "), "{error}");
    assert!(!written(&store).await);
}

/// Work that panics does not take its caller along.
pub async fn contract_a_panic_is_an_error_of_unknown_outcome(options: StoreOptions) {
    let store = migrated(&options).await;
    let result = store.transaction("write", WAIT, |tx| {
        Box::pin(async move {
            tx.execute_unprepared(WRITE).await?;
            assert_eq!(1, 2, "on purpose");
            Ok(())
        })
    });
    let error = result.await.expect_err("it panics");
    assert_eq!((error.kind, error.outcome), (StoreErrorKind::Bug, StoreOutcome::Unknown));
    assert!(!written(&store).await, "its transaction is rolled back");
}

/// Work that hangs is ended by its own, longer deadline, and others can write again.
pub async fn contract_work_given_up_at_its_deadline_frees_its_connection(options: StoreOptions) {
    let short = StoreOptions {
        statement_timeout: Duration::from_millis(100),
        acquire_timeout: Duration::from_secs(1),
        ..options
    };
    let store = migrated(&short).await;
    for _ in 0..short.pool * 2 {
        let result: Result<(), _> = store
            .transaction("hang", Duration::from_millis(1), |tx| {
                Box::pin(async move {
                    tx.execute_unprepared(WRITE).await?;
                    std::future::pending().await
                })
            })
            .await;
        result.expect_err("the wait is over");
    }
    let deadline = tokio::time::Instant::now() + WAIT;
    loop {
        let result = store.transaction("write", WAIT, |tx| {
            Box::pin(async move {
                tx.execute_unprepared(WRITE).await?;
                Ok(())
            })
        });
        match result.await {
            Ok(()) => break,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
    }
    assert!(written(&store).await);
}
