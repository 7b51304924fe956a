//! The command that measures the service.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};
use serde::Serialize;

use super::values::parse_span;

/// What follows the help.
pub const BENCH_HELP: &str = "\
Without --url it starts a server of its own, on free ports and a database of its own, with --config and --set as
given before the command, and removes all of it at the end. Afterwards every row is read back and compared with what
was sent and answered. docs/performance.md says what each figure is.

Without --rate the loop is closed: each connection sends when its last request is answered. With --rate it is open:
requests are due at fixed times, and latencies count from there, also for requests that could only be sent later.

Examples:
  gristmill bench                                              single events on SQLite, at full speed
  gristmill bench --mode batch --payload mix --seconds 30
  gristmill bench --rate 5000 --json                           latencies at 5,000 requests per second
  gristmill bench --database postgres://me@localhost/postgres  in a database of its own on that server
  gristmill bench --against ../old/gristmill --rounds 5        two builds by turns, and their ratios
  gristmill --set pipeline.flush_events=200 bench              another configuration

Exit codes:
  0  measured, and every row verified
  1  failed, interrupted, or a row is missing, too many or wrong
  2  the command line is wrong";

/// What to measure, and how.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct BenchArgs {
    /// What is sent
    #[arg(long, value_enum, default_value_t = Mode::Single)]
    pub mode: Mode,
    /// Events of a batch [default: 100], lines of a request [default: 10000]
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub per_request: Option<u32>,
    /// How large the payloads are
    #[arg(long, value_enum, default_value_t = PayloadSize::Small)]
    pub payload: PayloadSize,
    /// Connections, each with one request at a time [default: 64, of lines 4]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: Option<u16>,
    /// Requests per second that are due, whatever the answers take; without it as many as are answered
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// How long to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Load before that, which is not measured
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_span)]
    pub warm_up: Duration,
    /// A PostgreSQL server; each run makes a database there and drops it at the end [default: SQLite in --folder]
    #[arg(long, value_name = "URL", conflicts_with = "url")]
    pub database: Option<String>,
    /// Where the folders of servers are made; name one on the disk that is to be measured
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// A running server instead; the events stay in its database, which --yes permits
    #[arg(long, value_name = "URL", requires = "yes")]
    pub url: Option<String>,
    /// Process id of the server at --url on this machine, for processor time and memory
    #[arg(long, value_name = "PID", requires = "url")]
    pub pid: Option<u32>,
    /// Write events into the databases of running servers
    #[arg(long)]
    pub yes: bool,
    /// A file with the token for running servers, of the scopes write and read
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The token itself; every user of the machine can see it here, prefer the file or the variable
    #[arg(long, env = "GRISTMILL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Another build, or a running server, to measure by turns with the first
    #[arg(long, value_name = "URL|BINARY")]
    pub against: Option<String>,
    /// Turns of each
    #[arg(long, value_name = "NUMBER", default_value_t = 3, requires = "against", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub rounds: u16,
    /// Do not measure the limits: the empty route, the bare INSERT
    #[arg(long)]
    pub no_limits: bool,
    /// Print the report in JSON
    #[arg(long)]
    pub json: bool,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// An event per request
    Single,
    /// Batches
    Batch,
    /// Events as lines
    Lines,
    /// Of 100 requests 89 single events, 10 batches and one of 1,000 lines
    Mixed,
}

/// How large the payloads are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum PayloadSize {
    /// About 0.3 KB
    Small,
    /// About 16 KB
    Large,
    /// Every tenth is large
    Mix,
}
