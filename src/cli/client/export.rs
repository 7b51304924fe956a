//! `gristmill export`: the stored events as NDJSON. An export that breaks off is a failure, and its file never gets its name.
//! One that lacks only events which the server cannot read is a failure too, and has all the others.

use std::fs::{self, File};
use std::io::{BufRead, BufWriter, Write, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::api_client::ApiClient;
use crate::cli::args::client::{ExportArgs, given};
use crate::cli::output::{OutputError, remark};

/// What the lines that are not events begin with: a cursor after each chunk, an event that cannot be read, and the
/// summary as the last one.
const CURSOR: &str = "{\"cursor\":";
const UNREADABLE: &str = "{\"unreadable\":";
const SUMMARY: &str = "{\"summary\":";

#[derive(Deserialize)]
struct Last {
    summary: SummaryReply,
}

#[derive(Deserialize, PartialEq, Eq)]
struct SummaryReply {
    events: u64,
    #[serde(default)]
    unreadable: u64,
    complete: bool,
}

#[derive(Deserialize)]
struct Missing {
    unreadable: UnreadableItem,
}

#[derive(Deserialize)]
struct UnreadableItem {
    id: i64,
    detail: String,
}

pub(super) fn run(export: &ExportArgs, client: &ApiClient) -> anyhow::Result<ExitCode> {
    let SummaryReply { events, unreadable, .. } = match &export.output {
        None => copy(export, client, &mut stdout().lock())?,
        Some(path) => into_file(export, client, path)?,
    };
    remark(format_args!("{events} events exported"));
    if unreadable > 0 {
        bail!("{unreadable} events cannot be read by the server, they are not exported");
    }
    Ok(ExitCode::SUCCESS)
}

fn into_file(export: &ExportArgs, client: &ApiClient, path: &Path) -> anyhow::Result<SummaryReply> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".part");
    let cannot = || format!("cannot write {}", path.display());
    let mut file = BufWriter::new(File::create(&draft).with_context(cannot)?);
    let summary = copy(export, client, &mut file)?;
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .with_context(cannot)?;
    fs::rename(&draft, path).with_context(cannot)?;
    Ok(summary)
}

fn copy(export: &ExportArgs, client: &ApiClient, output: &mut impl Write) -> anyhow::Result<SummaryReply> {
    let mut lines = client.read("/api/v1/events/export", &filters(export), &[])?;
    let mut line = String::new();
    let mut events = 0;
    let mut unreadable = 0;
    loop {
        line.clear();
        let read = lines.read_line(&mut line).with_context(|| format!("the export broke off after {events} events"))?;
        if read == 0 || !line.ends_with('\n') {
            bail!("the export broke off after {events} events");
        }
        if line.starts_with(SUMMARY) {
            let Last { summary } = serde_json::from_str(&line).context("the summary cannot be read")?;
            output.flush().map_err(OutputError)?;
            let counted = SummaryReply { events, unreadable, complete: unreadable == 0 };
            if summary != counted {
                bail!("the export has {events} events, the server counts {}", summary.events);
            }
            return Ok(summary);
        }
        if line.starts_with(UNREADABLE) {
            let Missing { unreadable: UnreadableItem { id, detail } } =
                serde_json::from_str(&line).context("a line of the export cannot be read")?;
            remark(format_args!("event {id} cannot be read: {detail}"));
            unreadable += 1;
        } else if !line.starts_with(CURSOR) {
            output.write_all(line.as_bytes()).map_err(OutputError)?;
            events += 1;
        }
    }
}

fn filters(export: &ExportArgs) -> Vec<(&'static str, &str)> {
    let mut filters = export.filters.parameters();
    filters.extend(given([("received_after", &export.after), ("received_before", &export.before)]));
    filters
}
