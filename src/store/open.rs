//! Opens the database and carries every operation on it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbBackend, EntityTrait};
use tokio::runtime::Handle;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use super::db_pool::{DbPool, begin, commit};
use super::error::{Cause, StoreError, StoreErrorKind, StoreOutcome};
use super::identity::{self, FileId, IDENTITY};
use super::ids::Partitions;
use super::options::StoreOptions;
use super::pools::ConnectionPools;
use super::postgres::{AddressKind, PostgresServers, Upstream};
use super::{migrate, plans, postgres, sqlite};

/// How much longer than its caller an operation of a handle apart may take: it has one connection, and a path that is
/// dead must make room for a new one soon.
const PATIENCE_APART: Duration = Duration::from_secs(1);

/// Longest wait for the operations at work to end before connections are made anew. One that waits for a lock inside SQLite
/// takes ten seconds, on a busy machine longer; were this as short, the next ones would wait there before it is over.
const REOPEN_WAIT: Duration = Duration::from_secs(20);

/// Silence of a connection, beyond what its caller waits for, after which it is closed.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// A handle on the open database; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<StoreInner>,
}

/// What an operation works with; cheap to clone.
#[derive(Clone, Debug)]
pub struct Conn {
    inner: Arc<StoreInner>,
    pools: Arc<OwnedRwLockReadGuard<ConnectionPools>>,
}

#[derive(Debug)]
struct StoreInner {
    backend: DbBackend,
    options: StoreOptions,
    /// Held by every operation; changed only while there is none.
    pools: Arc<RwLock<ConnectionPools>>,
    /// Where the pool leads to on PostgreSQL.
    upstream: Option<Upstream>,
    file: Option<FileId>,
    partitions: Partitions,
    runtime: Handle,
    /// How much longer than its caller an operation may take.
    patience: Duration,
}

impl StoreOptions {
    /// Whether the driver can read the addresses.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.backend()? {
            DbBackend::Postgres => [self.url.as_str(), self.direct()].into_iter().try_for_each(postgres::check_url),
            _ => sqlite::path(&self.url).map(drop),
        }
    }
}

impl Store {
    /// Opens a migrated database. Operations run on `runtime`.
    pub async fn open(options: &StoreOptions, runtime: Handle) -> Result<Self, StoreError> {
        let backend = options.backend()?;
        let options = options.clone();
        let handle = runtime.clone();
        // On `runtime`, because connections belong to the runtime that makes them.
        let opened = runtime.spawn(async move {
            let inner = match backend {
                DbBackend::Postgres => open_postgres(&options, handle).await,
                _ => open_sqlite(&options, handle).await,
            }?;
            migrate::check(&inner.pools.read().await.read).await?;
            Ok(inner)
        });
        let inner = opened.await.unwrap_or_else(|error| Err(lost(&error)));
        let inner = Arc::new(inner.map_err(|error| error.in_context("open the database"))?);
        Ok(Self { inner })
    }

    /// A handle for the same database whose operations share nothing with this one's: on PostgreSQL it has one connection,
    /// past any pooler, and a thread called `name` that ends with the process. A busy store or a full pool does not
    /// delay it. On SQLite, where one connection writes, it is the same handle.
    pub fn apart(&self, name: &str) -> Result<Self, StoreError> {
        let Some(servers) = self.servers() else { return Ok(self.clone()) };
        let options = StoreOptions { pool: 1, ..self.inner.options.clone() };
        let runtime = start_thread(name)?;
        let inside = runtime.clone();
        let _inside = inside.enter();
        let inner = StoreInner::of_postgres(options, servers.clone(), AddressKind::Direct, runtime);
        Ok(Self { inner: Arc::new(StoreInner { patience: PATIENCE_APART, ..inner }) })
    }

    /// Which database it is.
    pub fn backend(&self) -> DbBackend {
        self.inner.backend
    }

    /// The database's own identity, made with its schema.
    pub async fn identity(&self, wait: Duration) -> Result<String, StoreError> {
        self.run("read the database's identity", wait, |conn| async move {
            let row = entity::meta::Entity::find_by_id(IDENTITY).one(conn.read()).await?;
            row.map(|row| row.value).ok_or_else(|| StoreError::setup("the database has no identity"))
        })
        .await
    }

    /// Its pools, unless they are made anew just now.
    pub(super) fn pools(&self) -> Option<OwnedRwLockReadGuard<ConnectionPools>> {
        self.inner.pools.clone().try_read_owned().ok()
    }

    /// The servers of PostgreSQL.
    pub(super) fn servers(&self) -> Option<&Arc<PostgresServers>> {
        self.inner.upstream.as_ref().map(Upstream::servers)
    }

    /// How it was opened.
    pub(super) fn options(&self) -> &StoreOptions {
        &self.inner.options
    }

    /// Carries out `work` as a task of its own. The caller waits at most `wait`; then it gets an error of unknown
    /// outcome and the work goes on, until a later deadline ends it. Dropping the returned future ends nothing.
    pub async fn run<T, F, Fut>(&self, context: &'static str, wait: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(Conn) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let inner = self.inner.clone();
        let task = self.inner.runtime.spawn(async move {
            let deadline = wait + inner.patience;
            // Nobody waits for what has not begun by then.
            let Ok(pools) = tokio::time::timeout(wait, inner.pools.clone().read_owned()).await else {
                let cause = Cause::WaitOver(wait);
                return Err(StoreError::new(StoreErrorKind::Transient, StoreOutcome::NotStored, cause));
            };
            let conn = Conn { inner: inner.clone(), pools: Arc::new(pools) };
            let worked = tokio::time::timeout(deadline, work(conn.clone())).await;
            let worked = worked.unwrap_or_else(|_| Err(late(Cause::Abandoned(deadline))));
            match worked {
                Ok(value) => {
                    conn.pools.note_success();
                    Ok(value)
                }
                Err(error) => Err(conn.after_failure(error)),
            }
        });
        let result = match tokio::time::timeout(wait, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(lost(&error)),
            Err(_) => Err(late(Cause::WaitOver(wait))),
        };
        result.map_err(|error| error.in_context(context))
    }

    /// Carries out `work` as `run` does, inside one write transaction that searches by indexes only and is committed when
    /// `work` succeeds.
    pub async fn transaction<T, F>(&self, context: &'static str, wait: Duration, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, StoreError>> + Send + 'static,
    {
        self.run(context, wait, |conn| async move {
            let tx = begin_write(&conn).await?;
            plans::indexes_only(&tx).await.map_err(|error| StoreError::from(error).before_commit())?;
            let value = work(&tx).await.map_err(StoreError::before_commit)?;
            commit(tx).await?;
            Ok(value)
        })
        .await
    }

    /// Starts a task on the store's runtime.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.inner.runtime.spawn(work);
    }

    /// Whether the SQLite file that is open still is the one at its path. Always so on PostgreSQL.
    pub fn check_file(&self) -> Result<(), StoreError> {
        self.inner.file.as_ref().map_or(Ok(()), FileId::check)
    }

    /// Its file, if it is on SQLite.
    pub(super) fn file(&self) -> Option<&Path> {
        self.inner.file.as_ref().map(FileId::path)
    }

    /// Closes the connections that an operation of this `generation` used, and opens new ones as they are needed.
    pub(super) async fn reopen_connections(&self, generation: u64) {
        // What is at work ends within its patience; should it not, the next one that is locked out is here soon.
        let Ok(mut pools) = tokio::time::timeout(REOPEN_WAIT, self.inner.pools.write()).await else { return };
        if let Some(path) = self.file().filter(|_| pools.generation == generation) {
            pools.reopen(path, &self.inner.options).await;
        }
    }

    /// Ends the connections, after the operations that hold them.
    pub async fn close(&self) {
        self.inner.pools.read().await.close().await;
    }
}

impl StoreInner {
    fn of_postgres(options: StoreOptions, servers: Arc<PostgresServers>, route: AddressKind, runtime: Handle) -> Self {
        let link = postgres::pool(&servers, route, &options);
        Self {
            backend: DbBackend::Postgres,
            pools: Arc::new(RwLock::new(ConnectionPools::new(link.clone(), link))),
            upstream: Some(Upstream::new(servers, route)),
            file: None,
            partitions: Partitions::default(),
            patience: patience(&options),
            runtime,
            options,
        }
    }
}

impl Conn {
    /// Which database it is.
    pub fn backend(&self) -> DbBackend {
        self.inner.backend
    }

    /// For statements that change nothing.
    pub fn read(&self) -> &DbPool {
        &self.pools.read
    }

    /// For statements that write; on SQLite there is one such connection and its users queue.
    pub fn write(&self) -> &DbPool {
        &self.pools.write
    }

    /// Which of the pools that followed each other these are.
    pub(super) fn generation(&self) -> u64 {
        self.pools.generation
    }

    /// Whether the SQLite file that is open still is the one at its path.
    pub(super) fn check_file(&self) -> Result<(), StoreError> {
        self.inner.file.as_ref().map_or(Ok(()), FileId::check)
    }

    pub(super) fn partitions(&self) -> &Partitions {
        &self.inner.partitions
    }

    /// Acts on what an error shows about the connections, and adds what is known better.
    fn after_failure(&self, error: StoreError) -> StoreError {
        // SQLite waits for some locks for as long as it likes: longer than whoever waits for a connection to be opened.
        let is_starving = error.is_late_connection() && self.pools.note_starving();
        let is_stuck = self.inner.file.is_some() && (is_starving || matches!(error.cause, Cause::Abandoned(_)));
        if error.is_locked() || is_stuck {
            let store = Store { inner: self.inner.clone() };
            let generation = self.pools.generation;
            self.inner.runtime.spawn(async move { store.reopen_connections(generation).await });
        }
        match &self.inner.upstream {
            Some(upstream) => upstream.heed(error, &self.pools.write),
            None => error,
        }
    }
}

/// Begins a transaction that writes.
pub async fn begin_write(conn: &Conn) -> Result<DatabaseTransaction, StoreError> {
    begin(conn.write()).await
}

async fn open_postgres(options: &StoreOptions, runtime: Handle) -> Result<StoreInner, StoreError> {
    let servers = PostgresServers::find(options).await?;
    Ok(StoreInner::of_postgres(options.clone(), servers.into(), AddressKind::Main, runtime))
}

async fn open_sqlite(options: &StoreOptions, runtime: Handle) -> Result<StoreInner, StoreError> {
    let path = sqlite::path(&options.url)?;
    refuse_missing(&path)?;
    identity::refuse_second_name(&path)?;
    let file = FileId::of(&path)?;
    let write = sqlite::writer(&path, options).await?;
    file.check()?;
    identity::confirm(&write, &path).await?;
    plans::forget_statistics(&write).await?;
    let read = sqlite::readers(&path, options);
    Ok(StoreInner {
        backend: DbBackend::Sqlite,
        options: options.clone(),
        pools: Arc::new(RwLock::new(ConnectionPools::new(read.into(), write.into()))),
        upstream: None,
        file: Some(file),
        partitions: Partitions::default(),
        patience: patience(options),
        runtime,
    })
}

/// A thread that carries tasks for as long as the process lives.
fn start_thread(name: &str) -> Result<Handle, StoreError> {
    let cannot = |error: std::io::Error| StoreError::setup(format!("cannot start a thread for the database: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let handle = runtime.handle().clone();
    let life = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name(name.to_owned()).spawn(life).map_err(cannot)?;
    Ok(handle)
}

fn refuse_missing(path: &Path) -> Result<(), StoreError> {
    identity::refuse_missing_beside_marker(path)?;
    if path.exists() {
        return Ok(());
    }
    let path = path.display();
    Err(StoreError::setup(format!("the database {path} does not exist, `gristmill migrate` makes it")))
}

/// Long enough for an answer that is merely late; a connection that has gone silent is given up and closed soon after its
/// caller has, or a black hole would hold the pool until the server's own limits. A lock time-out must still arrive.
fn patience(options: &StoreOptions) -> Duration {
    options.acquire_timeout + SILENCE_MAX.max(options.lock_timeout)
}

fn late(cause: Cause) -> StoreError {
    StoreError::new(StoreErrorKind::Transient, StoreOutcome::Unknown, cause)
}

fn lost(error: &tokio::task::JoinError) -> StoreError {
    let kind = if error.is_panic() {
        StoreErrorKind::Bug
    } else {
        // Its runtime is shutting down.
        StoreErrorKind::Transient
    };
    StoreError::new(kind, StoreOutcome::Unknown, Cause::Lost(error.to_string()))
}

#[cfg(test)]
mod tests;
