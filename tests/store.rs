//! The store's contract: each `contract_…` function holds on every database and takes a fresh, unmigrated one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill::store::{Principal, Store, StoreOptions, migrate};
use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, Statement};

mod accounts;
mod controls;
mod ids;
mod jobs;
mod listing;
mod nodes;
mod opening;
mod operations;
mod postgres;
mod retention;
mod schema;
mod sessions;
mod sqlite;

/// Longest wait of an operation in these tests.
const WAIT: Duration = Duration::from_secs(10);

/// Who makes changes in these tests.
fn by() -> Principal {
    Principal::command("test")
}

/// Options for `url` with the limits that the service has by default.
pub fn options(url: &str) -> StoreOptions {
    StoreOptions {
        url: url.to_owned(),
        direct_url: String::new(),
        pool: 5,
        acquire_timeout: Duration::from_secs(3),
        statement_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(5),
        json_bytes_max: 32 << 20,
    }
}

/// A folder of its own for one test; removed with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(Uuid::new_v4().to_string());
        Self(path)
    }

    fn database(&self) -> PathBuf {
        self.0.join("data").join("gristmill.db")
    }

    fn options(&self) -> StoreOptions {
        options(&format!("sqlite://{}", self.database().display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Never made, or already gone.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn migrated(options: &StoreOptions) -> Store {
    migrate::run(options).await.expect("the migration runs");
    Store::open(options, tokio::runtime::Handle::current()).await.expect("a migrated database opens")
}

/// One number from the database.
async fn number(store: &Store, sql: &'static str) -> i64 {
    let read = store.run("read a number", WAIT, move |conn| async move {
        let statement = Statement::from_string(conn.backend(), sql);
        let row = conn.read().query_one_raw(statement).await?;
        Ok(row.expect("one row").try_get_by_index(0)?)
    });
    read.await.expect("a number")
}

/// Runs each contract on a fresh SQLite database.
macro_rules! on_sqlite {
    ($($name:ident: $contract:path;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let folder = super::Folder::new();
            $contract(folder.options()).await;
        }
    )*};
}
pub(crate) use on_sqlite;

/// Runs each contract on a fresh PostgreSQL database.
macro_rules! on_postgres {
    ($($name:ident: $contract:path;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let url = crate::support::postgres::fresh_database();
            $contract(super::options(&url)).await;
        }
    )*};
}
pub(crate) use on_postgres;
