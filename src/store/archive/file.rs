//! A file of the archive: zstd frames one after the other, each with the lines of one piece.
//!
//! Frames are only ever added. What follows the last committed one was written by a process that did not live to remove
//! its rows, or whose COMMIT may still arrive: such a file is left as it is, and the next piece goes into another part.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::ArchivedFile;

/// Compression: zstd's own default.
const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;

/// Longest name of a type in a file's name; longer ones are cut and told apart by a hash.
const NAME_MAX: usize = 100;

/// What a file holds, by which it is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileKey {
    pub day: String,
    pub holds: &'static str,
    pub event_type: Option<String>,
}

impl FileKey {
    /// The file's path in the archive; `part` counts from 1.
    pub fn path(&self, writer: &str, part: u32) -> String {
        let name = match &self.event_type {
            Some(event_type) => file_name(event_type),
            // No name of a type begins so.
            None => format!("%{}", self.holds),
        };
        let part = if part == 1 { String::new() } else { format!("-{part}") };
        format!("{}/{name}.{writer}{part}.ndjson.zst", self.day)
    }
}

/// A type as the name of a file: what is no plain letter or digit as in a URL.
fn file_name(event_type: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let mut name = String::new();
    for byte in event_type.bytes() {
        if is_plain(byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.is_empty() || name.len() > NAME_MAX {
        name.truncate(NAME_MAX);
        name.push_str(&format!("%-{}", hex::encode(&Sha256::digest(event_type)[..8])));
    }
    name
}

/// The sum of the hashes of lines: it does not depend on their order, and grows line by line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksum([u64; 4]);

impl Checksum {
    pub fn add(&mut self, line: &str) {
        let digest = Sha256::digest(line);
        for (sum, bytes) in self.0.iter_mut().zip(digest.chunks_exact(8)) {
            *sum = bytes.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte)).wrapping_add(*sum);
        }
    }

    pub fn render(self) -> String {
        self.0.iter().map(|word| format!("{word:016x}")).collect()
    }

    /// That of a row; zero if it is none, so that it differs from any other.
    pub fn parse(text: &str) -> Self {
        let word = |at: usize| text.get(at * 16..(at + 1) * 16).and_then(|word| u64::from_str_radix(word, 16).ok());
        Self([0, 1, 2, 3].map(|at| word(at).unwrap_or_default()))
    }
}

/// The bytes of the file at `path`; none if there is none.
pub(super) fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| file.len())
}

/// Writes lines behind the `offset` bytes that a file has, or into a new one; syncs them, and reads them back. Returns
/// where they end. What is there is never changed, whoever writes beside.
pub(super) fn append(path: &Path, offset: Option<u64>, lines: &[String]) -> io::Result<u64> {
    let folder = path.parent().unwrap_or(path);
    let mut options = OpenOptions::new();
    options.read(true).append(true).mode(0o600);
    if offset.is_none() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        options.create_new(true);
    }
    let mut file = options.open(path)?;
    let offset = offset.unwrap_or_default();
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    for line in lines {
        encoder.write_all(line.as_bytes())?;
        encoder.write_all(b"\n")?;
    }
    let frame = encoder.finish()?;
    let end = offset + frame.len() as u64;
    let not_alone = || io::Error::other("another process writes to this file");
    if file.metadata()?.len() != offset {
        return Err(not_alone());
    }
    file.write_all(&frame)?;
    file.sync_all()?;
    if file.metadata()?.len() != end {
        return Err(not_alone());
    }
    if offset == 0 {
        // The file's name, its folder's, and that of the archive.
        for folder in folder.ancestors().take(3) {
            File::open(folder)?.sync_all()?;
        }
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut written = Vec::with_capacity(lines.len());
    read_lines(file.take(end - offset), |line| {
        written.push(line);
        Ok(())
    })
    .map_err(io::Error::other)?;
    if written != lines {
        return Err(io::Error::other("what was written is not what is read back"));
    }
    Ok(end)
}

/// Takes back what [`append`] wrote, if it ends there still.
pub(super) fn withdraw(path: &Path, offset: Option<u64>, end: u64) -> io::Result<()> {
    if length(path) != Some(end) {
        return Ok(());
    }
    match offset {
        Some(offset) => OpenOptions::new().write(true).open(path)?.set_len(offset),
        None => fs::remove_file(path),
    }
}

/// Gives a file whose rows are all back another name; none if it has it.
pub(super) fn set_aside(path: &Path) -> io::Result<Option<(PathBuf, PathBuf)>> {
    if length(path).is_none() {
        return Ok(None);
    }
    let aside = (1..).map(|n| {
        let number = if n == 1 { String::new() } else { format!("-{n}") };
        path.with_extension(format!("zst.restored{number}"))
    });
    let free = aside.into_iter().find(|aside| length(aside).is_none());
    let Some(free) = free else { return Ok(None) };
    fs::rename(path, &free)?;
    Ok(Some((path.to_owned(), free)))
}

/// Reads the true part of a file, and compares it with what is known of it.
pub(super) fn read(
    path: &Path,
    known: &ArchivedFile,
    mut take: impl FnMut(String) -> Result<(), String>,
) -> Result<(), String> {
    let bytes = known.bytes.unsigned_abs();
    let file = File::open(path).map_err(|error| format!("cannot be opened: {error}"))?;
    let length = file.metadata().map_err(|error| format!("cannot be read: {error}"))?.len();
    if length < bytes {
        return Err(format!("has {length} bytes, {bytes} were written"));
    }
    let mut rows = 0;
    let mut checksum = Checksum::default();
    read_lines(file.take(bytes), |line| {
        rows += 1;
        checksum.add(&line);
        take(line)
    })?;
    if rows != known.rows {
        return Err(format!("has {rows} rows, {} were written", known.rows));
    }
    if checksum.render() != known.checksum {
        return Err("has other rows than were written".to_owned());
    }
    Ok(())
}

fn read_lines(frames: impl Read, mut take: impl FnMut(String) -> Result<(), String>) -> Result<(), String> {
    let damaged = |error: io::Error| format!("is damaged: {error}");
    let unpacked = zstd::stream::read::Decoder::new(frames).map_err(damaged)?;
    for line in BufReader::new(unpacked).lines() {
        take(line.map_err(damaged)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(event_type: Option<&str>) -> FileKey {
        FileKey { day: "2026-01-02".to_owned(), holds: "events", event_type: event_type.map(str::to_owned) }
    }

    #[test]
    fn every_type_has_a_file_name_of_its_own() {
        let long = "é".repeat(255);
        let longer = format!("{}a", "é".repeat(254));
        let types = [Some("view"), Some("a/../b"), Some("%events"), Some(""), Some(&long), Some(&longer), None];
        let paths: Vec<String> = types.iter().map(|event_type| key(*event_type).path("ab", 1)).collect();
        for (at, path) in paths.iter().enumerate() {
            assert!(path.starts_with("2026-01-02/") && path.matches('/').count() == 1, "{path}");
            assert!(path.len() < 200, "{path}");
            assert!(!paths[..at].contains(path), "{path}");
        }
        assert_eq!(paths[0], "2026-01-02/view.ab.ndjson.zst");
        assert_eq!(key(None).path("ab", 2), "2026-01-02/%events.ab-2.ndjson.zst");
    }

    #[test]
    fn a_checksum_takes_every_line_in_any_order() {
        let sum = |lines: &[&str]| {
            let mut sum = Checksum::default();
            lines.iter().for_each(|line| sum.add(line));
            sum
        };
        assert_eq!(sum(&["a", "b"]), sum(&["b", "a"]));
        assert_ne!(sum(&["a", "a"]), sum(&[]));
        assert_ne!(sum(&["a"]), sum(&["b"]));
        assert_eq!(Checksum::parse(&sum(&["a"]).render()), sum(&["a"]));
    }
}
