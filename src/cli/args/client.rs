//! The commands that talk to a server over HTTP.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::pipeline::PipelineCommand;
use super::server::ServerArgs;
use super::top::{TOP_HELP, TopArgs};
use super::values::parse_span;

const IMPORT_HELP: &str = "\
The whole file is sent in batches under keys made from its beginning, so a batch that is sent again stores nothing
twice. What is known to be stored is kept in FILE.gristmill-import: a run that was interrupted is simply repeated, and
goes on from there. Waits while the server is away, full or answers 429.

Exit codes:
  0  all events are stored
  1  failed or interrupted; the same command goes on
  2  the command line is wrong
  3  the file was sent, some events were refused: see --rejects";

const SEND_HELP: &str = "\
Exit codes:
  0  accepted
  1  not sent, or nobody knows
  2  the command line is wrong
  3  refused";

/// What to ask of a server.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum ClientCommand {
    /// Send the events of a file: a JSON array, NDJSON or CSV, also packed as .gz or .zst
    #[command(after_long_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Send one event and print the answer
    #[command(after_long_help = SEND_HELP)]
    Send(SendArgs),
    /// Have stored events processed anew: those named, or all that match
    Retry(RetryArgs),
    /// Write the stored events as NDJSON; exit code 1 if it breaks off
    Export(ExportArgs),
    /// Print the server's figures
    Stats(StatsArgs),
    /// Show the pipeline; pause, resume, restart or resize its pools, on every node
    #[command(subcommand)]
    Pipeline(PipelineCommand),
    /// Print outcomes as they happen, a line of JSON each, until it is interrupted
    Tail(TailArgs),
    /// Show figures, percentiles, actors, nodes and failures, live in the terminal
    #[command(after_long_help = TOP_HELP)]
    Top(TopArgs),
}

/// The file to import.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct ImportArgs {
    /// The file; - for standard input, which cannot be resumed
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
    /// Its format, if the ending of its name does not say
    #[arg(long)]
    pub format: Option<Format>,
    /// Events of a batch; a run that goes on needs the same number
    #[arg(long, value_name = "EVENTS", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub batch: u16,
    /// Most requests at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: u16,
    /// Where progress is kept [default: FILE.gristmill-import]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Where refused events go, a line each [default: FILE.rejects.ndjson]
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// How long to wait for a server that takes nothing
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = parse_span)]
    pub patience: Duration,
    /// The server and the token
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How the events stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One array of objects
    Json,
    /// An object per line
    Ndjson,
    /// A header line; columns that are no field of an event go into the payload
    Csv,
}

/// The event to send.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct SendArgs {
    /// The event as JSON; - for standard input
    #[arg(value_name = "JSON|-", required_unless_present = "name", conflicts_with_all = ["name", "event_type", "payload"])]
    pub event: Option<String>,
    /// Its event_name
    #[arg(long, requires = "event_type")]
    pub name: Option<String>,
    /// Its event_type
    #[arg(long = "type", value_name = "TYPE", id = "event_type", requires = "name")]
    pub event_type: Option<String>,
    /// Its payload, a JSON object
    #[arg(long, value_name = "JSON", requires = "name")]
    pub payload: Option<String>,
    /// Wait this many seconds for the event's end
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u8).range(0..=60))]
    pub wait: Option<u8>,
    /// The server and the token
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The events to process anew.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct RetryArgs {
    /// Ids of events
    #[arg(value_name = "ID", required_unless_present_any = CHOOSING, conflicts_with_all = MATCHING)]
    pub ids: Vec<i64>,
    /// Or which of all
    #[command(flatten)]
    pub matching: MatchingArgs,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
    /// The server and the token
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The arguments that choose events, and those that only make sense beside one of them.
const CHOOSING: [&str; 5] = ["status", "name", "event_type", "error_code", "after"];
const MATCHING: [&str; 9] =
    ["status", "name", "event_type", "error_code", "after", "before", "patch", "force", "dry_run"];

/// All events that match, in a job of the server that is followed to its end.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct MatchingArgs {
    /// Which of them
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Only events with this error_code
    #[arg(long, value_name = "CODE")]
    pub error_code: Option<String>,
    /// Only events received after this time
    #[arg(long, value_name = "TIME")]
    pub after: Option<String>,
    /// Only events received before this time
    #[arg(long, value_name = "TIME")]
    pub before: Option<String>,
    /// A JSON merge patch (RFC 7396) for their payloads
    #[arg(long, value_name = "JSON")]
    pub patch: Option<String>,
    /// Processed ones as well
    #[arg(long)]
    pub force: bool,
    /// Only print how many there are
    #[arg(long)]
    pub dry_run: bool,
}

/// What events are chosen by.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct FilterArgs {
    /// Only events with this status
    #[arg(long)]
    pub status: Option<String>,
    /// Only events with this event_name
    #[arg(long)]
    pub name: Option<String>,
    /// Only events with this event_type
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
}

impl FilterArgs {
    /// The parameters of a query.
    pub fn parameters(&self) -> Vec<(&'static str, &str)> {
        given([("status", &self.status), ("event_name", &self.name), ("event_type", &self.event_type)])
    }
}

/// Those parameters that have a value.
pub fn given<'a, const N: usize>(parameters: [(&'static str, &'a Option<String>); N]) -> Vec<(&'static str, &'a str)> {
    parameters.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
}

/// The events to export.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct ExportArgs {
    /// Which of them
    #[command(flatten)]
    pub filters: FilterArgs,
    /// Only events received after this time
    #[arg(long, value_name = "TIME")]
    pub after: Option<String>,
    /// Only events received before this time
    #[arg(long, value_name = "TIME")]
    pub before: Option<String>,
    /// Where they go; the file appears when it is whole [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The server and the token
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The figures to print.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct StatsArgs {
    /// Print the answer as it came
    #[arg(long)]
    pub json: bool,
    /// The server and the token
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The outcomes to follow.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct TailArgs {
    /// Which of them
    #[command(flatten)]
    pub filters: FilterArgs,
    /// The server and the token
    #[command(flatten)]
    pub server: ServerArgs,
}
