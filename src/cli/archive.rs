//! `gristmill archive`: what retention has written into files, checked and brought back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;
use tokio::sync::mpsc;

use super::args::ArchiveCommand;
use super::as_json;
use super::database::with_patient_store;
use super::output::print;
use crate::config::Config;
use crate::config::units::size_text;
use crate::domain::timestamp;
use crate::store::{Archive, ArchivedFile, ArchivedTable, RestoredRows, Store};

/// Longest wait for the database.
const WAIT: Duration = Duration::from_secs(600);

/// Lines that are brought back in one transaction: few, so that a running server hardly waits.
const LINES: usize = 200;

/// What a file is called once all of its rows are back.
const RESTORED: &str = "restored";

pub(super) fn run(config: &Config, command: ArchiveCommand) -> anyhow::Result<()> {
    let Some(folder) = &config.retention.archive else {
        bail!("there is no archive: retention.archive is empty");
    };
    with_patient_store(config, async |store| {
        let files = store.archived_files(WAIT).await?;
        match command {
            ArchiveCommand::List { json } => list(folder, &files, json),
            ArchiveCommand::Verify { day } => {
                let chosen = files.iter().filter(|file| day.as_ref().is_none_or(|day| *day == file.day));
                verify(folder, &chosen.collect::<Vec<_>>())
            }
            ArchiveCommand::Restore { day, event_type } => {
                let is_chosen = |file: &ArchivedFile| {
                    let is_of_type = file.holds == ArchivedTable::Events.name() && file.event_type == event_type;
                    file.day == day && (event_type.is_none() || is_of_type)
                };
                let chosen: Vec<ArchivedFile> = files.into_iter().filter(is_chosen).collect();
                if chosen.is_empty() {
                    bail!("the archive has nothing of {day}; `gristmill archive list` shows what it has");
                }
                for file in chosen {
                    restore(&store, config, folder, file).await?;
                }
                Ok(())
            }
        }
    })
}

fn list(folder: &Path, files: &[ArchivedFile], as_one_json: bool) -> anyhow::Result<()> {
    let is_here = |file: &ArchivedFile| folder.join(&file.path).exists();
    if as_one_json {
        let rows: Vec<_> = files
            .iter()
            .map(|file| {
                json!({
                    "day": file.day, "table": file.holds, "event_type": file.event_type, "rows": file.rows,
                    "bytes": file.bytes, "path": file.path, "present": is_here(file),
                    "written_at": timestamp::render(file.written_at),
                })
            })
            .collect();
        print(as_json(&json!({ "files": rows }))?)?;
        return Ok(());
    }
    print(format_args!("{:<10}  {:<8}  {:>10}  {:>12}  FILE", "DAY", "TABLE", "ROWS", "BYTES"))?;
    for file in files {
        let ArchivedFile { day, holds, rows, bytes, path, .. } = file;
        let missing = if is_here(file) { "" } else { "  not in the folder" };
        print(format_args!("{day:<10}  {holds:<8}  {rows:>10}  {bytes:>12}  {path}{missing}"))?;
    }
    let rows: i64 = files.iter().map(|file| file.rows).sum();
    let bytes: i64 = files.iter().map(|file| file.bytes).sum();
    let bytes = size_text(bytes.unsigned_abs());
    print(format_args!("{rows} rows in {} files ({bytes}) in {}", files.len(), folder.display()))?;
    Ok(())
}

fn verify(folder: &Path, files: &[&ArchivedFile]) -> anyhow::Result<()> {
    let mut faults = 0;
    for file in files {
        match Archive::read(folder, file, |_| Ok(())) {
            Ok(()) => print(format_args!("ok     {} ({} rows)", file.path, file.rows))?,
            Err(fault) => {
                faults += 1;
                print(format_args!("wrong  {} {fault}", file.path))?;
            }
        }
    }
    if faults > 0 {
        bail!("{faults} of {} files of the archive in {} are not as they were written", files.len(), folder.display());
    }
    Ok(())
}

/// Brings all rows of a file back; one that grows meanwhile is read again.
async fn restore(store: &Store, config: &Config, folder: &Path, mut file: ArchivedFile) -> anyhow::Result<()> {
    loop {
        let outcome = restore_rows(store, folder, &file).await?;
        if store.forget_archived_file(file.clone(), config.node_name(), WAIT).await? {
            let at = folder.join(&file.path);
            let aside = at.with_extension(format!("zst.{RESTORED}"));
            fs::rename(&at, &aside).with_context(|| format!("cannot rename {}", at.display()))?;
            let RestoredRows { restored, left_out } = outcome;
            print(format_args!(
                "{}: {restored} rows restored, {left_out} left out, which are there or whose event is not",
                file.path
            ))?;
            return Ok(());
        }
        let files = store.archived_files(WAIT).await?;
        let Some(grown) = files.into_iter().find(|known| known.path == file.path) else { return Ok(()) };
        file = grown;
    }
}

async fn restore_rows(store: &Store, folder: &Path, file: &ArchivedFile) -> anyhow::Result<RestoredRows> {
    let wrong = |fault: String| anyhow::anyhow!("{} {fault}; nothing of it was restored", file.path);
    // Before any row is used.
    Archive::read(folder, file, |_| Ok(())).map_err(wrong)?;
    // A file may be larger than memory: it is read again while its rows are written.
    let (pieces, mut read) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking({
        let (folder, file) = (folder.to_owned(), file.clone());
        move || send_lines(&folder, &file, &pieces)
    });
    let mut outcome = RestoredRows::default();
    while let Some(lines) = read.recv().await {
        let RestoredRows { restored, left_out } = store.restore_rows(file.holds.clone(), lines, WAIT).await?;
        outcome.restored += restored;
        outcome.left_out += left_out;
    }
    reading.await?.map_err(|fault| anyhow::anyhow!("{} {fault}", file.path))?;
    Ok(outcome)
}

/// Sends the lines of a file in pieces.
fn send_lines(folder: &Path, file: &ArchivedFile, pieces: &mpsc::Sender<Vec<String>>) -> Result<(), String> {
    let mut lines = Vec::new();
    let send = |lines: Vec<String>| pieces.blocking_send(lines).map_err(|_| "is no longer wanted".to_owned());
    Archive::read(folder, file, |line| {
        lines.push(line);
        if lines.len() == LINES { send(std::mem::take(&mut lines)) } else { Ok(()) }
    })?;
    send(lines)
}
