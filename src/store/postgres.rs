//! PostgreSQL: pools whose connections cannot come back inside a transaction, and the settings of their sessions.

use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions, Connection, Executor};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::error::StoreError;
use super::open::StoreOptions;
use crate::config::Planted;

/// A connection that does not answer a probe within this time is given up.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);
/// A connection idle for longer is probed before it is handed out.
const IDLE_UNPROBED: Duration = Duration::from_secs(1);
/// Connections are made anew after it, so that a failover or a new address is noticed.
const LIFETIME_MAX: Duration = Duration::from_secs(300);
/// Statements kept prepared per connection.
const STATEMENTS_KEPT: usize = 256;

/// A pool with at most `size` connections; the first one is made at once.
pub(super) async fn pool(url: &str, size: u32, options: &StoreOptions) -> Result<DatabaseConnection, StoreError> {
    Ok(pool_options(size, options).connect_with(connect_options(url)?).await?.into())
}

/// The same, but without any connection until one is needed: the database may be away.
pub(super) fn lazy_pool(url: &str, size: u32, options: &StoreOptions) -> Result<DatabaseConnection, StoreError> {
    Ok(pool_options(size, options).connect_lazy_with(connect_options(url)?).into())
}

fn pool_options(size: u32, options: &StoreOptions) -> PgPoolOptions {
    let settings = session_settings(options);
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(options.acquire_timeout)
        .acquire_slow_threshold(options.acquire_timeout)
        .max_lifetime(LIFETIME_MAX)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let settings = settings.clone();
            Box::pin(async move {
                connection.execute(AssertSqlSafe(settings)).await?;
                Ok(())
            })
        })
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for > IDLE_UNPROBED {
                    bounded(connection.ping()).await?;
                }
                Ok(true)
            })
        })
        .after_release(|connection, _| Box::pin(bounded(leave_transaction(connection))))
}

/// One connection outside any pool hook, whose statements and locks may take as long as `lock_wait`.
pub(super) async fn for_migration(
    url: &str,
    options: &StoreOptions,
    lock_wait: Duration,
) -> Result<DatabaseConnection, StoreError> {
    let settings = format!("SET statement_timeout = 0; SET lock_timeout = {}", lock_wait.as_millis());
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(options.acquire_timeout)
        .acquire_slow_threshold(options.acquire_timeout)
        .connect_with(connect_options(url)?)
        .await?;
    let pool = DatabaseConnection::from(pool);
    pool.execute_unprepared(&settings).await?;
    Ok(pool)
}

/// Refuses a server whose COMMIT does not wait for the disk: "accepted" would not mean durable.
pub(super) async fn check_durability(connection: &DatabaseConnection) -> Result<(), StoreError> {
    let sql = "SELECT current_setting('synchronous_commit') AS level, \
               current_setting('synchronous_standby_names') AS standbys";
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let Some(row) = connection.query_one_raw(statement).await? else {
        return Err(StoreError::setup("the server shows no settings"));
    };
    let level: String = row.try_get("", "level")?;
    let standbys: String = row.try_get("", "standbys")?;
    let too_weak = level == "off" || (level == "local" && !standbys.is_empty());
    if too_weak && !Planted::SynchronousNormal.is_chosen() {
        return Err(StoreError::setup(format!(
            "the server has synchronous_commit = {level}: a crash would lose acknowledged events, \
             set it to on for this role or database"
        )));
    }
    Ok(())
}

fn connect_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = url.parse::<PgConnectOptions>()?;
    Ok(options.application_name("gristmill").statement_cache_capacity(STATEMENTS_KEPT).disable_statement_logging())
}

/// Sent as statements, because a pooler refuses unknown parameters at the start of a session. sqlx itself sets UTC.
fn session_settings(options: &StoreOptions) -> String {
    let planted = if Planted::SynchronousNormal.is_chosen() { "; SET synchronous_commit = off" } else { "" };
    format!(
        "SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
         SET idle_in_transaction_session_timeout = {statement}; SET TimeZone = 'UTC'; \
         SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
         SET tcp_user_timeout = 15000{planted}",
        statement = options.statement_timeout.as_millis(),
        lock = options.lock_timeout.as_millis(),
    )
}

/// Ends a transaction that a dropped `begin` left open; the driver keeps the server's state to itself.
///
/// `begin_with` tells it: it fails when the session is in no transaction after its statement. An empty SELECT is
/// the statement because it costs a round trip and nothing else, brings no warning into the server's log (a needless
/// ROLLBACK does), and fails in a broken transaction, which closes the connection.
async fn leave_transaction(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    match connection.begin_with("SELECT").await {
        Err(sqlx::Error::BeginFailed) => Ok(true),
        Ok(open) => open.rollback().await.map(|()| true),
        Err(error) => Err(error),
    }
}

async fn bounded<T>(probe: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(PROBE_TIMEOUT, probe)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}
