//! Spool: where new events wait on this node's own disk while the database does not take them.
//!
//! A SQLite file in the data folder, whose lock excludes every other server. Guarantees: what `append`
//! has taken is synced; a unit is taken whole or not at all, and comes back whole and in its order; it stays until it
//! is removed; the file belongs to one database and is never drained into another. Not guaranteed: that an event is
//! not in the database already. One is spooled, too, when the fate of its first write is unknown; its identity makes
//! the repetition harmless.

mod deaths;
mod file;
mod format;
mod parked;
mod rows;
mod sql;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseConnection, TransactionTrait};
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use self::parked::{Parked, ParkedUntil};
use super::error::{Cause, StoreError, StoreErrorKind, StoreOutcome};
use crate::clock;
use crate::domain::event::Event;

/// Room that an event takes beside its payload, in bytes: its fields and its entries in two trees.
const EVENT_BYTES: u64 = 512;

/// How much the spool may hold, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct SpoolLimits {
    /// Most bytes of events.
    pub bytes_max: u64,
    /// Once the oldest event is older, nothing more is taken.
    pub age_max: Duration,
}

/// What the spool holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolLevel {
    /// Events that wait for the database.
    pub events: u64,
    /// Bytes of all events in it, parked ones too.
    pub bytes: u64,
    /// Events that were set apart, because the database did not take them.
    pub parked: u64,
    /// When the oldest waiting event came.
    pub oldest: Option<DateTime<Utc>>,
}

/// One request's events, as they came.
#[derive(Clone, Debug, PartialEq)]
pub struct SpooledUnit {
    /// Its position in the order of the spool.
    pub number: i64,
    /// Its events; none if they cannot be read.
    pub events: Vec<Event>,
    /// Whether all of them could be read.
    pub is_readable: bool,
    /// Processes that ended while it was at work.
    pub deaths: u32,
    /// Whether what the database refuses of it is to end as failed.
    pub gives_up: bool,
}

impl SpooledUnit {
    fn new(number: i64, gives_up: bool, deaths: u32) -> Self {
        Self { number, events: Vec::new(), is_readable: true, deaths, gives_up }
    }
}

/// A handle on the open spool; clones share it.
#[derive(Clone, Debug)]
pub struct Spool {
    inner: Arc<SpoolInner>,
}

#[derive(Debug)]
struct SpoolInner {
    file: DatabaseConnection,
    limits: SpoolLimits,
    level: watch::Sender<SpoolLevel>,
    runtime: Handle,
}

/// A spool that was opened, and where a damaged one was put that was in its place.
#[derive(Debug)]
pub struct OpenedSpool {
    /// The spool.
    pub spool: Spool,
    /// The damaged file, for a person to look at.
    pub set_aside: Option<PathBuf>,
}

impl Spool {
    /// Opens the spool of a data folder, or makes it, for the database of the given identity. A damaged file is set
    /// aside. An error if the file holds events of another database.
    pub async fn open(
        data_dir: &Path,
        database: &str,
        limits: SpoolLimits,
        runtime: Handle,
    ) -> Result<OpenedSpool, StoreError> {
        let path = file::path(data_dir);
        let database = database.to_owned();
        let opened = runtime.spawn(async move {
            let (file, set_aside) = file::open(&path).await?;
            deaths::count(&file).await?;
            let level = rows::level(&file).await?;
            file::belong_to(&file, &path, &database, level.events + level.parked == 0).await?;
            Ok((file, level, set_aside))
        });
        let opened = opened.await.unwrap_or_else(|error| Err(lost(&error)));
        let (file, level, set_aside) = opened.map_err(|error| error.in_context("open the spool"))?;
        let inner = SpoolInner { file, limits, level: watch::Sender::new(level), runtime };
        Ok(OpenedSpool { spool: Self { inner: Arc::new(inner) }, set_aside })
    }

    /// Opens the spool of a data folder beside a server that may be using it, only to look.
    pub async fn open_to_read(data_dir: &Path, runtime: Handle) -> Result<Self, StoreError> {
        let path = file::path(data_dir);
        let opened = runtime.spawn(async move {
            let file = file::open_to_read(&path).await?;
            let level = rows::level(&file).await?;
            Ok((file, level))
        });
        let (file, level) = opened.await.unwrap_or_else(|error| Err(lost(&error)))?;
        let limits = SpoolLimits { bytes_max: 0, age_max: Duration::ZERO };
        Ok(Self { inner: Arc::new(SpoolInner { file, limits, level: watch::Sender::new(level), runtime }) })
    }

    /// Opens the spool of a data folder whose lock is held and where no server runs, to change what is in it.
    pub async fn open_to_change(data_dir: &Path, runtime: Handle) -> Result<Self, StoreError> {
        let path = file::path(data_dir);
        let opened = runtime.spawn(async move {
            let (file, _) = file::open(&path).await?;
            deaths::count(&file).await?;
            let level = rows::level(&file).await?;
            Ok((file, level))
        });
        let (file, level) = opened.await.unwrap_or_else(|error| Err(lost(&error)))?;
        let limits = SpoolLimits { bytes_max: 0, age_max: Duration::ZERO };
        Ok(Self { inner: Arc::new(SpoolInner { file, limits, level: watch::Sender::new(level), runtime }) })
    }

    /// Whether a data folder has a spool.
    pub fn exists(data_dir: &Path) -> bool {
        file::path(data_dir).exists()
    }

    /// What it holds now.
    pub fn level(&self) -> SpoolLevel {
        *self.inner.level.borrow()
    }

    /// The same, and every time that it is read anew.
    pub fn levels(&self) -> watch::Receiver<SpoolLevel> {
        self.inner.level.subscribe()
    }

    /// How much it may hold.
    pub fn limits(&self) -> SpoolLimits {
        self.inner.limits
    }

    /// Why it takes nothing more, if it does not.
    pub fn refusal(&self) -> Option<String> {
        let level = self.level();
        let limits = self.inner.limits;
        if level.bytes >= limits.bytes_max {
            return Some(format!("the spool holds {} bytes, limit {}", level.bytes, limits.bytes_max));
        }
        let age = level.oldest.and_then(|oldest| (clock::now() - oldest).to_std().ok()).unwrap_or_default();
        let is_old = age > limits.age_max;
        is_old.then(|| format!("the oldest event of the spool waits for {age:.0?}, limit {:?}", limits.age_max))
    }

    /// Takes units, all or none; they are synced when it returns.
    pub async fn append(&self, units: Vec<Vec<Arc<Event>>>, wait: Duration) -> Result<(), StoreError> {
        if units.is_empty() {
            return Ok(());
        }
        if let Some(refusal) = self.refusal() {
            return Err(StoreError::new(StoreErrorKind::Transient, StoreOutcome::NotStored, Cause::Setup(refusal)));
        }
        let inner = self.inner.clone();
        self.run("append to the spool", wait, async move {
            let now = clock::now();
            let tx = inner.file.begin().await.map_err(|error| StoreError::from(error).before_commit())?;
            let taken = rows::append(&tx, &units, now).await.map_err(StoreError::before_commit)?;
            // While the connection is ours: a reader of the level cannot count it twice.
            inner.level.send_modify(|level| level.add(taken, now));
            match tx.commit().await {
                Ok(()) => Ok(()),
                Err(error) => {
                    // If this fails too, the level is read with the next removal.
                    let _ = inner.read_level().await;
                    Err(StoreError::of_commit(error))
                }
            }
        })
        .await
    }

    /// Whether it would take an event, the sync included: nothing of it is stored.
    pub async fn probe(&self, event: Arc<Event>, wait: Duration) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        self.run("probe of the spool", wait, async move {
            let tx = inner.file.begin().await.map_err(|error| StoreError::from(error).before_commit())?;
            let taken_back = tx.begin().await.map_err(|error| StoreError::from(error).before_commit())?;
            let appended = rows::append(&taken_back, &[vec![event]], clock::now()).await;
            taken_back.rollback().await?;
            appended.map_err(StoreError::before_commit)?;
            tx.commit().await.map_err(StoreError::of_commit)
        })
        .await
    }

    /// The oldest waiting units behind the number `after`, at least one if any waits, of at most `events_max` events and
    /// `bytes_max` bytes. Units of which a process died come last and alone.
    pub async fn head(
        &self,
        after: i64,
        events_max: usize,
        bytes_max: usize,
        wait: Duration,
    ) -> Result<Vec<SpooledUnit>, StoreError> {
        let inner = self.inner.clone();
        self.run("read the spool", wait, async move {
            rows::head(&inner.file, after, (events_max, bytes_max), inner.limits.age_max).await
        })
        .await
    }

    /// Notes that units are at work from now on: should the process die of one, the next one knows.
    pub async fn begin(&self, units: Vec<i64>, wait: Duration) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        self.run("note work on the spool", wait, async move { deaths::begin(&inner.file, &units).await }).await
    }

    /// Notes that units, which stay, are no longer at work.
    pub async fn end(&self, units: Vec<i64>, wait: Duration) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        self.run("note the end of work on the spool", wait, async move { deaths::end(&inner.file, &units).await }).await
    }

    /// Removes units whose events are in the database.
    pub async fn remove(&self, units: Vec<i64>, wait: Duration) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        self.run("remove from the spool", wait, async move {
            rows::remove(&inner.file, &units).await?;
            inner.read_level().await
        })
        .await
    }

    /// Sets a unit apart, or notes that it was tried in vain again: it stays, is counted, and holds up nothing.
    pub async fn park(&self, unit: i64, why: String, wait: Duration) -> Result<(), StoreError> {
        self.park_until(unit, why, ParkedUntil::Later, wait).await.map(drop)
    }

    /// The same; returns how often it was tried in vain by now.
    pub async fn park_until(
        &self,
        unit: i64,
        why: String,
        until: ParkedUntil,
        wait: Duration,
    ) -> Result<i64, StoreError> {
        let inner = self.inner.clone();
        self.run("park a unit of the spool", wait, async move {
            let tries = parked::park(&inner.file, unit, &why, until, clock::now()).await?;
            inner.read_level().await?;
            Ok(tries)
        })
        .await
    }

    /// Turns each event of a unit into a unit of its own.
    pub async fn split(&self, unit: i64, wait: Duration) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        self.run("split a unit of the spool", wait, async move {
            parked::split(&inner.file, unit).await?;
            inner.read_level().await
        })
        .await
    }

    /// Has all parked units tried at once, and what is still refused then ends as failed if `gives_up`; returns how
    /// many units those are.
    pub async fn retry_parked(&self, gives_up: bool, wait: Duration) -> Result<u64, StoreError> {
        let inner = self.inner.clone();
        self.run("retry parked units", wait, async move { parked::retry_all(&inner.file, gives_up).await }).await
    }

    /// How long until a parked unit is to be tried again; `None` if there is none.
    pub async fn next_retry(&self, wait: Duration) -> Result<Option<Duration>, StoreError> {
        let inner = self.inner.clone();
        self.run("look at parked units", wait, async move { parked::next_retry(&inner.file, clock::now()).await }).await
    }

    /// The event `id`, if it is here.
    pub async fn find(&self, id: i64, wait: Duration) -> Result<Option<Event>, StoreError> {
        if self.level() == SpoolLevel::default() {
            return Ok(None);
        }
        let inner = self.inner.clone();
        self.run("look into the spool", wait, async move { rows::find(&inner.file, id).await }).await
    }

    /// Reads every event; gives the ids of those that cannot be read.
    pub async fn verify(&self, wait: Duration) -> Result<Vec<i64>, StoreError> {
        let inner = self.inner.clone();
        self.run("verify the spool", wait, async move { rows::unreadable(&inner.file).await }).await
    }

    /// At most so many of the parked units, the oldest first.
    pub async fn parked(&self, most: usize, wait: Duration) -> Result<Vec<Parked>, StoreError> {
        let inner = self.inner.clone();
        self.run("list parked units", wait, async move { parked::read(&inner.file, most).await }).await
    }

    /// Closes the file, after the operations that hold it.
    pub async fn close(&self) {
        // A process that ends in order dies of no unit; if this fails, one death too many is counted.
        let _ = deaths::end_all(&self.inner.file).await;
        // Closing twice is as good.
        let _ = self.inner.file.close_by_ref().await;
    }

    /// Work that goes on when its caller stops waiting, as in `Store::run`; on a local file it ends by itself.
    async fn run<T: Send + 'static>(
        &self,
        context: &'static str,
        wait: Duration,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let task = self.inner.runtime.spawn(async move {
            let result = work.await;
            if result.as_ref().is_err_and(StoreError::is_locked) {
                file::reopen(&inner.file).await;
            }
            result
        });
        let result = match tokio::time::timeout(wait, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(lost(&error)),
            Err(_) => Err(StoreError::new(StoreErrorKind::Transient, StoreOutcome::Unknown, Cause::WaitOver(wait))),
        };
        result.map_err(|error| error.in_context(context))
    }
}

impl SpoolInner {
    /// Reads the level anew and, when nothing is left, gives the file's room back.
    async fn read_level(&self) -> Result<(), StoreError> {
        // An append in between would be lost from the count: it and this have the file's one connection in turns.
        let tx = self.file.begin().await?;
        let level = rows::level(&tx).await?;
        self.level.send_replace(level);
        tx.commit().await?;
        if level == SpoolLevel::default() { file::shrink(&self.file).await } else { Ok(()) }
    }
}

impl SpoolLevel {
    fn add(&mut self, taken: Self, now: DateTime<Utc>) {
        self.events += taken.events;
        self.bytes += taken.bytes;
        self.oldest.get_or_insert(now);
    }
}

fn lost(error: &tokio::task::JoinError) -> StoreError {
    StoreError::new(StoreErrorKind::Transient, StoreOutcome::Unknown, Cause::Lost(error.to_string()))
}
