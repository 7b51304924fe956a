use std::path::PathBuf;
use std::time::Duration;

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, Statement};

use super::*;

const SHORT: Duration = Duration::from_millis(100);
const WAIT: Duration = Duration::from_secs(30);

/// Works for some seconds, whoever waits for it or not.
const LONG_WORK: &str = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 10000000) \
    SELECT COUNT(*) FROM numbers";

/// A migrated database in a folder of its own.
async fn fresh() -> (PathBuf, Store) {
    let folder = std::env::temp_dir().join(format!("gristmill-{}", Uuid::new_v4()));
    let options = StoreOptions {
        url: format!("sqlite://{}/gristmill.db", folder.display()),
        direct_url: String::new(),
        pool: 1,
        acquire_timeout: SHORT,
        statement_timeout: WAIT,
        lock_timeout: SHORT,
        json_bytes_max: 1,
    };
    migrate::run(&options).await.expect("the folder is ours");
    let store = Store::open(&options, Handle::current()).await.expect("it was migrated");
    (folder, store)
}

impl Store {
    async fn generation(&self) -> u64 {
        self.inner.pools.read().await.generation
    }

    /// Has the connection that writes work on when nobody waits for it any more.
    async fn leave_the_writer_busy(&self) {
        let left = self.run("work", WAIT, |conn| async move {
            let work = conn.write().query_one_raw(Statement::from_string(conn.backend(), LONG_WORK));
            assert!(tokio::time::timeout(SHORT, work).await.is_err(), "the work was over too soon");
            Ok(())
        });
        left.await.expect("it was left alone");
    }
}

/// A write that gets no connection.
async fn assert_no_connection(store: &Store) {
    let write = store.run("write", WAIT, |conn| async move { begin_write(&conn).await.map(drop) });
    assert!(write.await.expect_err("there is one connection").is_late_connection());
}

// Guards `is_starving` in `Conn::after_failure`: nobody else would say that SQLite waits for a lock that nobody holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_that_have_long_given_nobody_a_connection_are_made_anew() {
    let (folder, store) = fresh().await;
    store.leave_the_writer_busy().await;
    store.inner.pools.read().await.have_starved();
    assert_no_connection(&store).await;
    while store.generation().await == 0 {
        tokio::task::yield_now().await;
    }
    let write = store.run("write", WAIT, |conn| async move { begin_write(&conn).await.map(drop) });
    write.await.expect("a new connection is there");
    std::fs::remove_dir_all(folder).expect("the folder is ours");
}

// Else a disk that is slow would close the connections of those who are being served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_that_are_busy_or_serve_others_are_left_alone() {
    let (folder, store) = fresh().await;
    store.leave_the_writer_busy().await;
    assert_no_connection(&store).await;
    store.inner.pools.read().await.have_starved();
    store.identity(WAIT).await.expect("reads are served");
    assert_no_connection(&store).await;
    store.identity(WAIT).await.expect("reads are served");
    assert_eq!(store.generation().await, 0);
    std::fs::remove_dir_all(folder).expect("the folder is ours");
}
