//! Which database and which folder this is, and what holds them: guards against a swapped file and a second server.
//!
//! A marker beside a SQLite database repeats its identity, so that a lost or replaced file is noticed instead of
//! being made anew and empty. The locks are the system's: they end with the process, however it ends.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sea_orm::prelude::Uuid;
use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait};

use super::error::{Cause, StoreError, StoreErrorKind, StoreOutcome};
use super::options::StoreOptions;
use super::sqlite;

/// Key of the identity in `meta`.
pub(super) const IDENTITY: &str = "identity";

/// Held by a `serve` for as long as it uses its data folder.
#[derive(Debug)]
pub struct FolderLock {
    /// Stays with the folder, whatever node runs on it.
    pub id: Uuid,
    _lock: File,
}

/// Held by a `serve` on its SQLite database, until the process ends: closing any descriptor of the file ends SQLite's own
/// locks in this process as well.
#[derive(Debug)]
pub struct DatabaseLock {
    _lock: File,
}

/// The file that was at a path when it was opened.
#[derive(Debug)]
pub(super) struct FileId {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let found = metadata(path)?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        let found = metadata(&self.path)?;
        if (found.dev(), found.ino()) == (self.device, self.inode) {
            return Ok(());
        }
        let text = format!("the database {} was replaced while it was open", self.path.display());
        // The right file may be brought back.
        Err(StoreError::new(StoreErrorKind::Transient, StoreOutcome::NotStored, Cause::Setup(text)))
    }
}

/// Locks the data folder for one server; creates it (0700) if needed.
pub fn lock_folder(data_dir: &Path) -> Result<FolderLock, StoreError> {
    sqlite::create_folder(data_dir)?;
    let lock = try_lock(&data_dir.join("lock"), data_dir)?;
    let id = folder_id(&data_dir.join("folder-id"))?;
    Ok(FolderLock { id, _lock: lock })
}

/// Locks a SQLite database for one server. PostgreSQL serves many: nothing is locked.
pub fn lock_database(options: &StoreOptions) -> Result<Option<DatabaseLock>, StoreError> {
    if options.backend()? == sea_orm::DbBackend::Postgres {
        return Ok(None);
    }
    let path = sqlite::path(&options.url)?;
    refuse_missing_beside_marker(&path)?;
    sqlite::create(&path)?;
    // On the file itself, whatever its name here: a lock beside it would be that of one of its names.
    let lock = try_lock(&path, &path)?;
    Ok(Some(DatabaseLock { _lock: lock }))
}

/// Refuses to make a database anew where its marker says that there was one.
pub(super) fn refuse_missing_beside_marker(path: &Path) -> Result<(), StoreError> {
    let marker = beside(path, ".identity");
    if path.exists() || !marker.exists() {
        return Ok(());
    }
    Err(StoreError::setup(format!(
        "the database {} is missing although {} says that there was one: bring it back, or remove that file to begin anew",
        path.display(),
        marker.display(),
    )))
}

/// Refuses a database that has several names (hard links) by one under which it was never used: SQLite's log lies
/// beside the other, and what is in there would be lost.
pub(super) fn refuse_second_name(path: &Path) -> Result<(), StoreError> {
    let found = metadata(path)?;
    let marker = beside(path, ".identity");
    if found.nlink() < 2 || found.len() == 0 || marker.exists() {
        return Ok(());
    }
    Err(StoreError::setup(format!(
        "the database {} has {} names (hard links), and none of its log under this one: use the name beside which its .identity lies",
        path.display(),
        found.nlink(),
    )))
}

/// Compares the database's identity with the marker beside it, and writes the marker where there is none yet.
pub(super) async fn confirm(connection: &DatabaseConnection, path: &Path) -> Result<(), StoreError> {
    let Some(identity) = stored(connection).await? else {
        return refuse_marker(path, "has no identity, but one is named by");
    };
    let marker = beside(path, ".identity");
    match read(&marker)? {
        None => write_synced(&marker, &identity),
        Some(marked) if marked == identity => Ok(()),
        Some(_) => refuse_marker(path, "is another one than named by"),
    }
}

/// Refuses a database whose identity is not the marked one.
fn refuse_marker(path: &Path, how: &str) -> Result<(), StoreError> {
    let marker = beside(path, ".identity");
    if !marker.exists() {
        return Ok(());
    }
    Err(StoreError::setup(format!(
        "the database {} {how} {}: bring the right one back, or remove that file to accept this one",
        path.display(),
        marker.display(),
    )))
}

/// The identity in `meta`; none before the first migration.
async fn stored(connection: &DatabaseConnection) -> Result<Option<String>, StoreError> {
    let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'meta'";
    let backend = connection.get_database_backend();
    let statement = sea_orm::Statement::from_string(backend, sql);
    if connection.query_one_raw(statement).await?.is_none() {
        return Ok(None);
    }
    let row = entity::meta::Entity::find_by_id(IDENTITY).one(connection).await?;
    Ok(row.map(|row| row.value))
}

/// `<path><suffix>`, in the same folder.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Opens the file of a lock, which is left as it is.
pub(super) fn lock_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::file(path, error))
}

fn try_lock(path: &Path, what: &Path) -> Result<File, StoreError> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreError::setup(format!("another gristmill serve holds {}", what.display())))
        }
        Err(TryLockError::Error(error)) => Err(StoreError::file(path, error)),
    }
}

fn folder_id(path: &Path) -> Result<Uuid, StoreError> {
    let Some(text) = read(path)? else {
        let id = Uuid::new_v4();
        write_synced(path, &id.to_string())?;
        return Ok(id);
    };
    text.parse().map_err(|_| {
        let path = path.display();
        StoreError::setup(format!("{path} holds no uuid: {text:?}"))
    })
}

fn read(path: &Path) -> Result<Option<String>, StoreError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::file(path, error)),
    }
}

/// Writes a small file whole or not at all, and survives a power cut once it returns.
fn write_synced(path: &Path, text: &str) -> Result<(), StoreError> {
    let unique = format!(".{}", Uuid::new_v4());
    let draft = beside(path, &unique);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    })();
    written.map_err(|error| StoreError::file(path, error))
}

fn metadata(path: &Path) -> Result<Metadata, StoreError> {
    std::fs::metadata(path).map_err(|error| StoreError::file(path, error))
}
