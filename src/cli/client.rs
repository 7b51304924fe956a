//! The commands that talk to a server over HTTP, this machine's or another's.

mod api_client;
mod export;
mod import;
mod matching;
mod pipeline;
mod retry;
mod send;
mod stats;
mod tail;
mod target;
mod top;

use std::process::ExitCode;

use anyhow::bail;

pub(super) use self::api_client::ApiClient;
pub(super) use self::pipeline::retry_parked;
use super::args::client::ClientCommand;
use super::args::server::ServerArgs;
use crate::config::Config;

/// A client of the server that the command line names.
pub(super) fn find_server(server: &ServerArgs) -> anyhow::Result<ApiClient> {
    target::find(server, || bail!("no server is named"))
}

/// Carries out a command; `load` gives the configuration, for what the command line leaves open.
pub(super) fn run(command: ClientCommand, load: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    match command {
        ClientCommand::Import(import) => {
            let client = target::find(&import.server, load)?;
            import::run(&import, client)
        }
        ClientCommand::Send(send) => send::run(&send, &target::find(&send.server, load)?),
        ClientCommand::Export(export) => export::run(&export, &target::find(&export.server, load)?),
        ClientCommand::Stats(stats) => stats::run(&stats, &target::find(&stats.server, load)?),
        ClientCommand::Pipeline(command) => pipeline::run(&command, load),
        ClientCommand::Tail(tail) => tail::run(&tail, &target::find(&tail.server, load)?),
        ClientCommand::Top(top) => top::run(&top, target::find_operations(&top.server.server(), load)?),
        ClientCommand::Retry(retry) => retry::run(&retry, &target::find(&retry.server, load)?),
    }
}
