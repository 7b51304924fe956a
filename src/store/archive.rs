//! The archive: rows that go for their age are written into files first, by day and type, and can be brought back.
//!
//! Guarantees: a row is removed only after it was written, synced and read back; what is removed is what was written. Up
//! to where a file is true stands in the table `archive_files`, in the transaction that removes the rows, and no byte of a
//! file is ever written over: after a crash, or a COMMIT that arrives late, each row is in the database or in the true
//! part of one file, never in both and never in none.
//! Not guaranteed: that a payload keeps its line breaks, which become blanks.

mod columns;
mod file;
mod piece;
mod restore;

use std::path::{Path, PathBuf};

use sea_orm::prelude::Uuid;

pub use self::columns::ArchivedTable;
pub use self::restore::RestoredRows;
pub use entity::archive_file::Model as ArchivedFile;

use self::columns::Access;
pub(super) use self::columns::ArchivedLine;
pub(super) use self::columns::json_text;
pub(super) use self::piece::{ArchivedPiece, GoingRows, Withdrawal};

/// Digits of a data folder's id in the names of its files.
const WRITER_DIGITS: usize = 8;

/// Where the files are, and who writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    folder: PathBuf,
    /// Part of the name of each file, so that nodes that share a folder share no file.
    writer: String,
}

impl Archive {
    /// The archive in `folder`, written to by the one server on the data folder of this id.
    pub fn new(folder: PathBuf, data_folder: Uuid) -> Self {
        let mut writer = data_folder.simple().to_string();
        writer.truncate(WRITER_DIGITS);
        Self { folder, writer }
    }

    /// Whether a line of a file is an event, and no row that hangs on one.
    pub fn begins_event(line: &str) -> bool {
        line.starts_with(r#"{"table":"events","#)
    }

    /// Reads the true part of a file and compares it with what is known of it; each line is handed to `take`.
    ///
    /// # Errors
    ///
    /// In a sentence, what is wrong with the file, or what `take` found.
    pub fn read(
        folder: &Path,
        file: &ArchivedFile,
        take: impl FnMut(String) -> Result<(), String>,
    ) -> Result<(), String> {
        file::read(&folder.join(&file.path), file, take)
    }
}
