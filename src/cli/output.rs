//! What commands say: results on standard output, remarks on standard error.
//!
//! A result that cannot be written ends its command; a remark that finds no reader does not.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stderr, stdout};

/// The output takes nothing more: its disk is full, or its reader has closed it.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the output: {0}")]
pub(super) struct OutputError(#[from] pub std::io::Error);

impl OutputError {
    /// Whether its reader has closed it, as `head` does once it has enough: there is nothing to report.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// Prints a line, or several, of a result.
pub(super) fn print(lines: impl Display) -> Result<(), OutputError> {
    Ok(writeln!(stdout(), "{lines}")?)
}

/// Prints a remark.
pub(super) fn remark(line: impl Display) {
    let _ = writeln!(stderr(), "{line}");
}
