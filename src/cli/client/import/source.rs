//! The file: opened, unpacked, and distinguished from every other one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cli::args::client::{Format, ImportArgs};

/// Bytes of the file's beginning that distinguish it from others.
const BEGINNING_BYTES: u64 = 64 << 10;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Hexadecimal digits of an identity.
const IDENTITY_CHARS: usize = 16;

/// A file, ready to be read.
pub(super) struct InputFile {
    pub(super) reader: Box<dyn BufRead + Send>,
    pub(super) format: Format,
    /// The same for the same file, format and size of batches; of its own for each standard input.
    pub(super) identity: String,
    /// Bytes of the file that were read so far, and that there are.
    pub(super) position: Arc<AtomicU64>,
    pub(super) bytes: Option<u64>,
}

/// Whether standard input is meant.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

pub(super) fn open(import: &ImportArgs) -> anyhow::Result<InputFile> {
    let path = &import.file;
    if is_stdin(path) {
        let format = import.format.context("standard input has no name to derive a format from, set --format")?;
        let identity = Uuid::new_v4().simple().to_string()[..IDENTITY_CHARS].to_owned();
        let reader = Box::new(BufReader::with_capacity(READ_BYTES, std::io::stdin()));
        return Ok(InputFile { reader, format, identity, position: Arc::default(), bytes: None });
    }
    let cannot = || format!("cannot read {}", path.display());
    let (name, packing) = packing(path);
    let format = import
        .format
        .or_else(|| format_of(&name))
        .with_context(|| format!("{} does not end in .json, .ndjson, .jsonl or .csv, set --format", path.display()))?;
    let bytes = std::fs::metadata(path).with_context(cannot)?.len();
    if bytes == 0 && packing != Packing::None {
        bail!("{} is empty, which no packed file is", path.display());
    }
    let identity = identity(path, bytes, format, import.batch).with_context(cannot)?;
    let position = Arc::default();
    let file = CountingReader { file: File::open(path).with_context(cannot)?, position: Arc::clone(&position) };
    let file = BufReader::with_capacity(READ_BYTES, file);
    let reader: Box<dyn BufRead + Send> = match packing {
        Packing::None => Box::new(file),
        Packing::Gzip => Box::new(BufReader::with_capacity(READ_BYTES, flate2::bufread::MultiGzDecoder::new(file))),
        Packing::Zstd => {
            let unpacked = zstd::stream::read::Decoder::with_buffer(file).with_context(cannot)?;
            Box::new(BufReader::with_capacity(READ_BYTES, unpacked))
        }
    };
    Ok(InputFile { reader, format, identity, position, bytes: Some(bytes) })
}

#[derive(Debug, PartialEq, Eq)]
enum Packing {
    None,
    Gzip,
    Zstd,
}

/// The name without the ending that shows how it is packed.
fn packing(path: &Path) -> (String, Packing) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    for (ending, packing) in [(".gz", Packing::Gzip), (".zst", Packing::Zstd)] {
        if let Some(name) = name.strip_suffix(ending) {
            return (name.to_owned(), packing);
        }
    }
    (name, Packing::None)
}

fn format_of(name: &str) -> Option<Format> {
    match name.rsplit_once('.')?.1 {
        "json" => Some(Format::Json),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "csv" => Some(Format::Csv),
        _ => None,
    }
}

/// Where batches are cut is a part of it: the same key must never stand for other events.
fn identity(path: &Path, bytes: u64, format: Format, batch: u16) -> anyhow::Result<String> {
    let mut beginning = Vec::new();
    File::open(path)?.take(BEGINNING_BYTES).read_to_end(&mut beginning)?;
    if !std::fs::metadata(path)?.is_file() {
        bail!("it is not a file");
    }
    let place = std::fs::canonicalize(path)?;
    let mut hash = Sha256::new();
    hash.update(format!("{}\0{bytes}\0{format:?}\0{batch}\0", place.display()));
    hash.update(&beginning);
    let mut digits = hex::encode(hash.finalize());
    digits.truncate(IDENTITY_CHARS);
    Ok(digits)
}

/// Counts what is read of the file, before it is unpacked.
struct CountingReader {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_s_ending_gives_format_and_packing() {
        for (name, format, packed) in [
            ("a.json", Some(Format::Json), Packing::None),
            ("A.NDJSON.GZ", Some(Format::Ndjson), Packing::Gzip),
            ("a.jsonl.zst", Some(Format::Ndjson), Packing::Zstd),
            ("a.b.csv", Some(Format::Csv), Packing::None),
            ("a.gz", None, Packing::Gzip),
            ("events", None, Packing::None),
        ] {
            let (rest, packing) = packing(Path::new(name));
            assert_eq!((format_of(&rest), packing), (format, packed), "{name}");
        }
    }
}
