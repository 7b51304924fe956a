//! PostgreSQL: pools whose connections cannot come back inside a transaction, nor lead to a server that takes no writes.

mod servers;
mod session;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sea_orm::sqlx::{self, ConnectOptions, Connection};

pub(super) use self::servers::{AddressKind, PostgresServers, check_url};
pub(super) use self::upstream::Upstream;
use super::db_pool::DbPool;
use super::error::StoreError;
use super::options::StoreOptions;

/// A connection that does not answer a probe within this time is given up.
const PROBE_TIMEOUT: Duration = Duration::from_millis(800);
/// A connection idle for longer is probed before it is handed out.
const IDLE_UNPROBED: Duration = Duration::from_secs(1);
/// Connections are made anew after it, so that a new address is noticed.
const LIFETIME_MAX: Duration = Duration::from_secs(300);

/// A pool; no connection is made until one is needed.
pub(super) fn pool(servers: &Arc<PostgresServers>, route: AddressKind, options: &StoreOptions) -> DbPool {
    let address = servers.address(route);
    let welcoming = servers.clone();
    let acquired = servers.clone();
    let released = servers.clone();
    let pool = PgPoolOptions::new()
        .max_connections(options.pool)
        .acquire_timeout(options.acquire_timeout)
        .acquire_slow_threshold(options.acquire_timeout)
        .max_lifetime(LIFETIME_MAX)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            let servers = welcoming.clone();
            Box::pin(async move { servers.address(route).welcome(connection).await })
        })
        .before_acquire(move |connection, seen| {
            let is_outdated = acquired.is_outdated(seen.age);
            Box::pin(async move {
                if !is_outdated && seen.idle_for > IDLE_UNPROBED {
                    bounded(connection.ping()).await?;
                }
                Ok(!is_outdated)
            })
        })
        .after_release(move |connection, seen| {
            let is_outdated = released.is_outdated(seen.age);
            Box::pin(async move { Ok(bounded(leave_transaction(connection)).await? && !is_outdated) })
        })
        .connect_lazy_with(address.options());
    DbPool::new(pool.into(), address.prelude.clone())
}

/// A connection of its own, past any pooler.
pub(super) async fn connect(options: &StoreOptions) -> Result<PgConnection, StoreError> {
    let servers = PostgresServers::find(options).await?;
    Ok(servers.address(AddressKind::Direct).options().connect().await?)
}

/// Closes the idle connections.
pub(super) async fn close_idle(pool: PgPool) {
    for _ in 0..pool.num_idle() {
        if let Some(connection) = pool.try_acquire() {
            // One that is gone already is fine.
            let _ = connection.close().await;
        }
    }
}

/// Ends a transaction that a dropped `begin` left open; the driver does not show the server's state.
///
/// `begin_with` reveals it: it fails when the session is in no transaction after its statement. An empty SELECT is
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
