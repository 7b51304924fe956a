//! The command line: reads the arguments and the configuration, and carries out one command.

mod archive;
pub mod args;
mod bench;
mod client;
mod config;
mod database;
mod inspection;
mod output;
mod spool;
mod tokens;
mod users;

use std::io::stderr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;

use self::args::{Args, Command};
use self::output::OutputError;
use crate::app;
use crate::config::{Config, ConfigErrors, Sources};
use crate::telemetry::outlet::write_within;

/// The exit code for a wrong configuration or command line.
const MISCONFIGURED: u8 = 2;

/// Longest wait to report what went wrong: nothing is held up by a pipe that nobody reads.
const COMPLAINT_MAX: Duration = Duration::from_secs(1);

/// Carries out what the process was started with; reports what went wrong on standard error.
pub fn run() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => run_with(&args),
        // Help, or what is wrong with the command line.
        Err(usage) => match usage.print() {
            Err(error) if !usage.use_stderr() => end(Err(OutputError(error).into())),
            _ => ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(MISCONFIGURED)),
        },
    }
}

fn run_with(args: &Args) -> ExitCode {
    match args.command() {
        // Commands for a remote server need no configuration here.
        Command::Client(command) => end(client::run(command, || Ok(load(args)?))),
        command => match load(args) {
            Ok(config) => end(carry_out(command, args, config).map(|()| ExitCode::SUCCESS)),
            Err(errors) => {
                complain(&format!("the configuration is wrong\n{errors}"));
                ExitCode::from(MISCONFIGURED)
            }
        },
    }
}

fn end(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        if !error.downcast_ref().is_some_and(OutputError::is_closed) {
            complain(&story(&error));
        }
        ExitCode::FAILURE
    })
}

fn complain(text: &str) {
    // There is nowhere else to report it.
    let _ = write_within(COMPLAINT_MAX, stderr(), format!("gristmill: {text}\n"));
}

/// The error and its causes, without those that the text before them has named already.
fn story(error: &anyhow::Error) -> String {
    let mut story = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if story.is_empty() {
            story = cause;
        } else if !story.contains(&cause) {
            story = format!("{story}: {cause}");
        }
    }
    story
}

/// What `--json` prints.
fn as_json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string(value)?)
}

fn load(args: &Args) -> Result<Config, ConfigErrors> {
    Config::load(&Sources::of_process(args.config.as_deref(), &args.settings))
}

fn carry_out(command: Command, args: &Args, config: Config) -> anyhow::Result<()> {
    match command {
        Command::Serve => app::serve(config),
        Command::Migrate => database::migrate(&config),
        Command::Db(command) => inspection::run(&config, command),
        Command::Archive(command) => archive::run(&config, command),
        Command::User(command) => users::run(&config, command),
        Command::Token(command) => tokens::run(&config, command),
        Command::Spool(command) => spool::run(&config, command),
        Command::Config(command) => config::run(&config, command),
        // The servers that it starts read it again.
        Command::Bench(bench) => bench::run(&bench, args),
        Command::Client(command) => client::run(command, || Ok(config)).map(drop),
    }
}
