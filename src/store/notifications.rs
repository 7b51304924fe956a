//! Notifications between nodes on PostgreSQL: there is work that is due now, or the controls were changed. A
//! notification may be lost or repeated: polling is the truth, and notifications only make it quicker. On SQLite there
//! is one node and nothing to notify.
//!
//! NOTIFY takes a lock at COMMIT, so a transaction sends at most one, and only when it has something to report.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::Executor;
use sea_orm::sqlx::postgres::PgListener;
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::error::StoreError;
use super::open::Store;
use super::options::StoreOptions;
use super::postgres::{self, AddressKind, PostgresServers};
use crate::telemetry::condition::Condition;

/// Silence after which the session is probed: a dead path does not report itself.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Longest wait for that answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before the session is made anew.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The kind of a notification; it carries no other data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// Work was left that is due.
    Due,
    /// The controls were changed.
    Controls,
}

impl Notification {
    fn channel(self) -> &'static str {
        match self {
            Self::Due => "gristmill_due",
            Self::Controls => "gristmill_controls",
        }
    }
}

/// Receives one kind of notifications.
pub trait NotificationListener: Send + Sync + 'static {
    /// A notification came, or may have been missed.
    fn wake(&self);

    /// Whether it still listens.
    fn is_listening(&self) -> bool;
}

/// Notifies every node of work that is due, when the transaction commits.
pub(super) async fn work_is_due(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    send(connection, Notification::Due).await
}

/// Notifies every node, when the transaction commits.
pub(super) async fn send(connection: &impl ConnectionTrait, notification: Notification) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        connection.execute_unprepared(&format!("NOTIFY {}", notification.channel())).await?;
    }
    Ok(())
}

impl Store {
    /// Wakes `listener` with each such notification, in its own session past any pooler, for as long as it listens.
    pub fn listen(&self, notification: Notification, listener: impl NotificationListener) {
        if let Some(servers) = self.servers() {
            let options = StoreOptions { pool: 1, ..self.options().clone() };
            self.spawn(listen(servers.clone(), options, notification, listener));
        }
    }
}

async fn listen(
    servers: Arc<PostgresServers>,
    options: StoreOptions,
    notification: Notification,
    listener: impl NotificationListener,
) {
    let condition = match notification {
        Notification::Due => Condition::new("listening for hints"),
        Notification::Controls => Condition::new("listening for changes of the controls"),
    };
    while listener.is_listening() {
        if let Err(error) = listen_once(&servers, &options, notification, &listener, &condition).await {
            condition.failed(&error);
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
}

/// One session, to its end. What was sent before it began, or while it was renewed, was missed.
async fn listen_once(
    servers: &Arc<PostgresServers>,
    options: &StoreOptions,
    notification: Notification,
    listener: &impl NotificationListener,
    condition: &Condition,
) -> Result<(), StoreError> {
    servers.look_again().await?;
    let mut renewals = servers.renewals();
    let link = postgres::pool(servers, AddressKind::Direct, options);
    let mut session = PgListener::connect_with(link.pool().get_postgres_connection_pool()).await?;
    session.listen(notification.channel()).await?;
    condition.succeeded();
    listener.wake();
    while listener.is_listening() {
        tokio::select! {
            received = session.try_recv() => {
                received?;
                listener.wake();
            }
            // Its server may take no writes any more, so no node notifies there.
            _ = renewals.changed() => return Ok(()),
            () = tokio::time::sleep(SILENCE_MAX) => probe(&mut session).await?,
        }
    }
    Ok(())
}

async fn probe(session: &mut PgListener) -> Result<(), StoreError> {
    match tokio::time::timeout(PROBE_TIMEOUT, session.execute("SELECT 1")).await {
        Ok(answer) => Ok(answer.map(drop)?),
        Err(_) => Err(sea_orm::sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}
