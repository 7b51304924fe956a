//! `gristmill retry` with a filter: the server makes a job of it, which is followed to its end.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::api_client::{ApiClient, exit_code};
use crate::cli::args::client::{MatchingArgs, given};
use crate::cli::output::{OutputError, print, remark};

/// How often the job is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct JobRequest<'a> {
    filter: BTreeMap<&'static str, &'a str>,
    /// Its text: a value would lose digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Box<RawValue>>,
    force: bool,
    dry_run: bool,
}

#[derive(Deserialize)]
struct JobPreviewReply {
    matched: u64,
    complete: bool,
    event_ids: Vec<i64>,
}

#[derive(Deserialize)]
struct JobReply {
    id: i64,
    status: String,
    matched: u64,
    changed: u64,
    skipped: u64,
    refused: BTreeMap<String, u64>,
    error: Option<String>,
}

pub(super) fn run(matching: &MatchingArgs, is_json: bool, client: &ApiClient) -> anyhow::Result<ExitCode> {
    let body = serde_json::to_string(&job_request(matching)?)?;
    let answer = client.post_once("/api/v1/events/retry", &[], &body)?.understood(&[200, 202])?;
    if matching.dry_run {
        if is_json {
            print(answer.text.trim_end())?;
        } else {
            answer.json::<JobPreviewReply>()?.print()?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let made: JobReply = answer.json()?;
    remark(format_args!("job {} goes on by itself, also when this command is interrupted", made.id));
    let (job, text) = followed(made, answer.text, client)?;
    if is_json {
        print(text.trim_end())?;
    } else {
        print(job.summary())?;
    }
    match job.status.as_str() {
        "failed" => bail!("job {} failed: {}", job.id, job.error.unwrap_or_default()),
        status => Ok(exit_code(status == "done" && job.refused.is_empty())),
    }
}

fn job_request(matching: &MatchingArgs) -> anyhow::Result<JobRequest<'_>> {
    let mut filter: BTreeMap<_, _> = matching.filters.parameters().into_iter().collect();
    filter.extend(given([
        ("error_code", &matching.error_code),
        ("received_after", &matching.after),
        ("received_before", &matching.before),
    ]));
    let patch = matching.patch.clone().map(RawValue::from_string).transpose().context("the patch is not JSON")?;
    Ok(JobRequest { filter, patch, force: matching.force, dry_run: matching.dry_run })
}

/// The job once it has ended, and the answer that says so.
fn followed(mut job: JobReply, mut text: String, client: &ApiClient) -> anyhow::Result<(JobReply, String)> {
    while job.status == "running" {
        std::thread::sleep(LOOK_EVERY);
        text.clear();
        client.read(&format!("/api/v1/jobs/{}", job.id), &[], &[])?.read_to_string(&mut text)?;
        let now: JobReply = serde_json::from_str(&text).context("the server's answer is not a job")?;
        if now.status == "running" && now.matched > job.matched {
            remark(now.summary());
        }
        job = now;
    }
    Ok((job, text))
}

impl JobPreviewReply {
    fn print(&self) -> Result<(), OutputError> {
        let more = if self.complete { "" } else { " or more" };
        print(format_args!("{}{more} events match", self.matched))?;
        for id in &self.event_ids {
            print(format_args!("{id:>10}"))?;
        }
        Ok(())
    }
}

impl JobReply {
    fn summary(&self) -> String {
        let refused: String = self.refused.iter().map(|(code, count)| format!(", {count} refused ({code})")).collect();
        let Self { id, status, matched, changed, skipped, .. } = self;
        format!("job {id} {status}: {matched} matched, {changed} processed anew, {skipped} skipped{refused}")
    }
}
