//! `gristmill archive`: what retention has written into files, checked and brought back.

use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
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

/// The same for the bytes of lines.
const BYTES: usize = 1 << 20;

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
                    let is_of_type = event_type.is_none() || file.event_type == event_type;
                    file.holds == ArchivedTable::Events.name() && file.day == day && is_of_type
                };
                let chosen: Vec<ArchivedFile> = files.into_iter().filter(is_chosen).collect();
                if chosen.is_empty() {
                    bail!("the archive has no such events of {day}; `gristmill archive list` shows what it has");
                }
                restore_all(&store, config, folder, chosen).await
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
                    "bytes": file.bytes, "path": file.path, "present": is_here(file), "restored": file.restored,
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

/// Brings the rows of all files back; what is wrong with one keeps no other.
async fn restore_all(store: &Store, config: &Config, folder: &Path, files: Vec<ArchivedFile>) -> anyhow::Result<()> {
    let all = files.len();
    let mut faults = 0;
    for file in files {
        let path = file.path.clone();
        match restore(store, config, folder, file).await {
            Ok(RestoredRows { restored, left_out: 0 }) => print(format_args!("{path}: {restored} rows restored"))?,
            Ok(RestoredRows { restored, left_out }) => {
                print(format_args!("{path}: {restored} rows restored, {left_out} were there"))?;
            }
            Err(error) => {
                faults += 1;
                print(format_args!("{path}: {error:#}"))?;
            }
        }
    }
    if faults > 0 {
        bail!("{faults} of {all} files were not restored, or not whole; the same command goes on with them");
    }
    Ok(())
}

/// Brings all rows of a file back, from where an earlier command was interrupted; one that grows meanwhile is read again.
async fn restore(
    store: &Store,
    config: &Config,
    folder: &Path,
    mut file: ArchivedFile,
) -> anyhow::Result<RestoredRows> {
    let mut outcome = RestoredRows::default();
    loop {
        if file.restored < file.rows {
            restore_rows(store, folder, &mut file, &mut outcome).await?;
        }
        let at = folder.join(&file.path);
        if store.forget_archived_file(file.clone(), at, config.node_name(), WAIT).await? {
            return Ok(outcome);
        }
        let files = store.archived_files(WAIT).await?;
        let Some(grown) = files.into_iter().find(|known| known.path == file.path) else { return Ok(outcome) };
        file = grown;
    }
}

async fn restore_rows(
    store: &Store,
    folder: &Path,
    file: &mut ArchivedFile,
    outcome: &mut RestoredRows,
) -> anyhow::Result<()> {
    // Before any row is used. A file may be larger than memory: it is read again while its rows are written.
    Archive::read(folder, file, |_| Ok(())).map_err(|fault| anyhow!("{fault}; nothing more of it was restored"))?;
    let (pieces, mut read) = mpsc::channel(1);
    let reading = tokio::task::spawn_blocking({
        let (folder, file) = (folder.to_owned(), file.clone());
        move || send_lines(&folder, &file, &pieces)
    });
    while let Some(lines) = read.recv().await {
        let rows = i64::try_from(lines.len())?;
        let RestoredRows { restored, left_out } = store.restore_rows(file.clone(), lines, WAIT).await?;
        file.restored += rows;
        outcome.restored += restored;
        outcome.left_out += left_out;
    }
    reading.await?.map_err(|fault| anyhow!("{fault}"))
}

/// Sends the lines that are not back yet in pieces, each event in one with what hangs on it.
fn send_lines(folder: &Path, file: &ArchivedFile, pieces: &mpsc::Sender<Vec<String>>) -> Result<(), String> {
    let send = |lines: Vec<String>| pieces.blocking_send(lines).map_err(|_| "is no longer wanted".to_owned());
    let mut lines = Vec::new();
    let mut bytes = 0;
    let mut back = file.restored;
    Archive::read(folder, file, |line| {
        if back > 0 {
            back -= 1;
            return Ok(());
        }
        let mut sent = Ok(());
        if Archive::begins_event(&line) && (lines.len() >= LINES || bytes >= BYTES) {
            sent = send(std::mem::take(&mut lines));
            bytes = 0;
        }
        bytes += line.len();
        lines.push(line);
        sent
    })?;
    send(lines)
}
