//! `gristmill pipeline`: shows the line and controls it, over the operations port.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;

use super::api_client::{ApiClient, exit_code};
use super::target;
use crate::cli::args::pipeline::{PipelineCommand, Which};
use crate::cli::args::server::ServerArgs;
use crate::cli::output::print;
use crate::config::Config;

const PATH: &str = "/api/pipeline";

/// The line as a table shows it.
#[derive(Deserialize)]
struct PipelineReply {
    node: NodeName,
    control_generation: i64,
    state: Setting<String>,
    pools: Vec<PoolReply>,
    /// Of a server that shows other nodes, if it is one of those.
    snapshot: Option<SnapshotAge>,
    nodes: Option<Vec<NodeReply>>,
}

#[derive(Deserialize)]
struct NodeName {
    name: String,
    boot_id: String,
}

#[derive(Deserialize)]
struct SnapshotAge {
    age_ms: u64,
    is_old: bool,
}

#[derive(Deserialize)]
struct PoolReply {
    name: String,
    state: Option<Setting<String>>,
    size: Option<Setting<u64>>,
    held: u64,
    actors: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Setting<T> {
    value: T,
    source: String,
}

#[derive(Deserialize)]
struct NodeReply {
    name: String,
    boot_id: String,
    state: String,
    control_generation: i64,
}

pub(super) fn run(
    command: &PipelineCommand,
    load: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<ExitCode> {
    let client = target::find_operations(&command.server().server(), load)?;
    match command {
        PipelineCommand::Show { node, json, .. } => show(node.as_deref(), *json, &client),
        PipelineCommand::Pause(which) => post_and_print(&client, &path_of(which, "pause"), "{}"),
        PipelineCommand::Resume(which) => post_and_print(&client, &path_of(which, "resume"), "{}"),
        PipelineCommand::Restart { pool, .. } => post_and_print(&client, &format!("{PATH}/pools/{pool}/restart"), "{}"),
        PipelineCommand::Size { pool, size, .. } => {
            post_and_print(&client, &format!("{PATH}/pools/{pool}"), &json!({"size": size.0}).to_string())
        }
    }
}

fn path_of(which: &Which, verb: &str) -> String {
    which.pool.as_ref().map_or_else(|| format!("{PATH}/{verb}"), |pool| format!("{PATH}/pools/{pool}/{verb}"))
}

/// Prints what was stored, as it came.
fn post_and_print(client: &ApiClient, path: &str, body: &str) -> anyhow::Result<ExitCode> {
    let answer = client.post_once(path, &[], body)?.understood(&[200])?;
    print(answer.text.trim_end())?;
    Ok(exit_code(true))
}

/// Has the server of the data folder try what is parked in its spool.
pub(in crate::cli) fn retry_parked(config: &Config, gives_up: bool) -> anyhow::Result<()> {
    let client = target::find_operations(&ServerArgs::default(), || Ok(config.clone()))?;
    post_and_print(&client, "/api/spool/retry", &json!({ "give_up": gives_up }).to_string()).map(drop)
}

fn show(node: Option<&str>, as_it_came: bool, client: &ApiClient) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let query: Vec<(&str, &str)> = node.map(|node| ("node", node)).into_iter().collect();
    client.read(PATH, &query, &[])?.read_to_string(&mut text).context("the answer broke off")?;
    if as_it_came {
        print(text.trim_end())?;
        return Ok(exit_code(true));
    }
    let line: PipelineReply = serde_json::from_str(&text).context("the answer is not JSON of a pipeline")?;
    if let Some(words) = line.snapshot_note() {
        print(words)?;
    }
    print(format_args!(
        "the line is {} ({}), generation {}\n",
        line.state.value, line.state.source, line.control_generation
    ))?;
    print(format_args!("{:<12}  {:<20}  {:<12}  {:>6}  {:>6}", "POOL", "STATE", "SIZE", "ACTORS", "HELD"))?;
    for pool in &line.pools {
        let state = pool.state.as_ref().map_or_else(String::new, |state| format!("{} ({})", state.value, state.source));
        let size = pool.size.as_ref().map_or_else(String::new, |size| format!("{} ({})", size.value, size.source));
        print(format_args!("{:<12}  {state:<20}  {size:<12}  {:>6}  {:>6}", pool.name, pool.actors.len(), pool.held))?;
    }
    print(format_args!("\n{:<24}  {:<8}  {:>10}", "NODE", "STATE", "GENERATION"))?;
    for node in line.nodes.unwrap_or_default() {
        print(format_args!("{:<24}  {:<8}  {:>10}", node.name, node.state, node.control_generation))?;
    }
    Ok(exit_code(true))
}

impl PipelineReply {
    /// Which node's line it is and of when, unless it is that of the node that answers.
    fn snapshot_note(&self) -> Option<String> {
        let SnapshotAge { age_ms, is_old } = self.snapshot.as_ref()?;
        let mut nodes = self.nodes.iter().flatten();
        let state = nodes.find(|node| node.boot_id == self.node.boot_id).map_or("unknown", |node| node.state.as_str());
        let old = if *is_old { ", which is old" } else { "" };
        Some(format!("node {} ({state}), as it was {:.1} s ago{old}:", self.node.name, *age_ms as f64 / 1_000.0))
    }
}
