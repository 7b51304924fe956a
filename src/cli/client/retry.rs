//! `gristmill retry`: stored events that are named are processed anew; the report is printed as a table or as it came.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::json;

use super::api_client::{ApiClient, exit_code};
use super::matching;
use crate::cli::args::client::RetryArgs;
use crate::cli::output::print;

/// Answers with a report.
const REPORTS: [u16; 4] = [200, 202, 207, 422];

#[derive(Deserialize)]
struct RetryReport {
    failed: u64,
    results: Vec<RetriedEvent>,
}

#[derive(Deserialize)]
struct RetriedEvent {
    event_id: Option<i64>,
    status: String,
    event_name: Option<String>,
    error: Option<String>,
}

pub(super) fn run(retry: &RetryArgs, client: &ApiClient) -> anyhow::Result<ExitCode> {
    if retry.ids.is_empty() {
        return matching::run(&retry.matching, retry.json, client);
    }
    let body = json!({ "event_ids": retry.ids }).to_string();
    let answer = client.post_once("/api/v1/events/process", &[], &body)?.understood(&REPORTS)?;
    let report: RetryReport = answer.json()?;
    if retry.json {
        print(answer.text.trim_end())?;
    } else {
        print(format_args!("{:>10}  {:<16}  {:<24}  ERROR", "ID", "STATUS", "NAME"))?;
        for outcome in &report.results {
            let id = outcome.event_id.map_or_else(String::new, |id| id.to_string());
            let name = outcome.event_name.as_deref().unwrap_or_default();
            print(format_args!(
                "{id:>10}  {:<16}  {name:<24}  {}",
                outcome.status,
                outcome.error.as_deref().unwrap_or_default()
            ))?;
        }
    }
    Ok(exit_code(report.failed == 0))
}
