//! Hints between nodes on PostgreSQL: somebody left work that is due now. A hint may be lost or repeated: polling is the
//! truth, and hints only make it quicker. On SQLite there is one node and nobody to tell.
//!
//! NOTIFY takes a lock at COMMIT, so a transaction sends at most one, and only when it left work.

use std::time::Duration;

use sea_orm::sqlx::Executor;
use sea_orm::sqlx::postgres::PgListener;
use sea_orm::{ConnectionTrait, DbBackend, DbErr};

use super::error::StoreError;
use super::open::{Store, StoreOptions};
use super::postgres;
use crate::telemetry::condition::Condition;

/// The channel; there is nothing in a hint but that it came.
const CHANNEL: &str = "gristmill_due";

/// Silence after which the session is asked whether it still lives: a dead path does not say so.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Longest wait for that answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before the session is made anew.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Tells every node that work was left, when the transaction commits.
pub(super) async fn work_is_due(connection: &impl ConnectionTrait) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::Postgres {
        connection.execute_unprepared(&format!("NOTIFY {CHANNEL}")).await?;
    }
    Ok(())
}

impl Store {
    /// Calls `wake` when work may have been left, in a session of its own past any pooler, until it answers false.
    pub fn listen(&self, wake: impl Fn() -> bool + Send + Sync + 'static) {
        if self.backend() == DbBackend::Postgres {
            self.spawn(listen(self.options().clone(), wake));
        }
    }
}

async fn listen(options: StoreOptions, wake: impl Fn() -> bool + Send + Sync) {
    let condition = Condition::new("listening for hints");
    while let Err(error) = listen_once(&options, &wake, &condition).await {
        condition.failed(&error);
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// One session, to its end. Whoever begins to listen may have missed hints, and wakes.
async fn listen_once(
    options: &StoreOptions,
    wake: &(impl Fn() -> bool + Sync),
    condition: &Condition,
) -> Result<(), StoreError> {
    let session = postgres::pool(options.direct(), 1, options).await?;
    let mut listener = PgListener::connect_with(session.get_postgres_connection_pool()).await?;
    listener.listen(CHANNEL).await?;
    condition.succeeded();
    while wake() {
        match tokio::time::timeout(SILENCE_MAX, listener.try_recv()).await {
            Ok(received) => drop(received?),
            Err(_) => probe(&mut listener).await?,
        }
    }
    Ok(())
}

async fn probe(listener: &mut PgListener) -> Result<(), StoreError> {
    match tokio::time::timeout(PROBE_TIMEOUT, listener.execute("SELECT 1")).await {
        Ok(answer) => Ok(answer.map(drop)?),
        Err(_) => Err(sea_orm::sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()),
    }
}
