//! `gristmill stats`: the figures of the server, indented or as they came.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context;

use super::api_client::ApiClient;
use crate::cli::args::client::StatsArgs;
use crate::cli::output::print;

pub(super) fn run(stats: &StatsArgs, client: &ApiClient) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    client.read("/api/v1/stats", &[], &[])?.read_to_string(&mut text).context("the answer broke off")?;
    if !stats.json {
        let figures: serde_json::Value = serde_json::from_str(&text).context("the answer is not JSON")?;
        text = serde_json::to_string_pretty(&figures)?;
    }
    print(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
