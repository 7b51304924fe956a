//! What can be typed: commands, options and their help. The commands themselves are carried out by other modules.

pub mod bench;
pub mod client;
pub mod pipeline;
pub mod server;
pub mod top;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand};

use self::bench::{BENCH_HELP, BenchArgs};
use self::client::ClientCommand;
use self::values::{Expiry, parse_day, parse_expiry, parse_span};

/// The scopes that a token can have.
pub const SCOPES: [&str; 6] = ["write", "read", "read:all", "write:all", "operate", "admin"];

const LONG_ABOUT: &str = "\
Takes JSON events over HTTP, validates and normalises them, and stores each once,
durably, in SQLite (embedded, the default) or PostgreSQL.

Without a command it serves: the API on http.bind, the dashboard and health on
dashboard.bind. The first start on an empty database creates a user and a first
token and prints a curl line to try.";

const AFTER_HELP: &str = "\
Examples:
  gristmill                                        serve with ./config.toml or the defaults
  gristmill --config /etc/gristmill.toml serve     serve with a file
  gristmill --set http.bind=0.0.0.0:8000           change one key
  gristmill user create ana@example.org
  gristmill token create --user ana@example.org --scopes write,read --expires 30d
  gristmill spool status                           what waits on this node's disk for the database
  gristmill config show                            what is in effect, and where each value comes from
  gristmill import events.ndjson.gz                send a file to a server; repeat the line after an interruption
  gristmill pipeline pause persisters              on every node, until it is resumed
  gristmill top                                    figures, actors and failures, live in the terminal
  gristmill bench --mode batch                     how fast this machine stores events
  gristmill send --name page_view --type engagement --payload '{\"page\": \"/home\"}' --wait 5

Environment variables (weaker than --set, stronger than the file):
  GRISTMILL_CONFIG            the configuration file, when --config is not given
  GRISTMILL__SECTION__KEY     any key, as GRISTMILL__HTTP__BIND or GRISTMILL__DATA_DIR
  DATABASE_URL                database.url
  EVENT_MAX_RETRIES           retry.max_retries
  EVENT_RETRY_DELAY           retry.delay, in seconds or as \"2s\"
  EVENT_PROCESSING_TIMEOUT    timeouts.processing, in seconds or as \"5m\"
  GRISTMILL_URL               --url of import, send and retry
  GRISTMILL_OPERATIONS_URL    --url of pipeline and top
  GRISTMILL_TOKEN             their --token

Exit codes:
  0  done, or served and stopped as asked
  1  failed
  2  the configuration or the command line is wrong
  3  import, send, retry: the server refused some of it";

/// The command line.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(name = "gristmill", version, about = "An event-ingestion pipeline service", long_about = LONG_ABOUT)]
#[command(after_long_help = AFTER_HELP, after_help = "`--help` has examples, environment variables and exit codes.")]
#[command(propagate_version = true)]
pub struct Args {
    /// Configuration file; else GRISTMILL_CONFIG, else ./config.toml if it exists
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Set one key, as http.bind=127.0.0.1:9000; before the command, may be repeated, the last one wins
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = parse_setting)]
    pub settings: Vec<(String, String)>,
    #[command(subcommand)]
    command: Option<Command>,
}

impl Args {
    /// The command that was given; `serve` when none was.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Serve)
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Serve the API and the operations port (the default)
    ///
    /// Stops on SIGTERM, SIGINT, SIGQUIT or SIGHUP: answers the requests in flight, drains the line, ends with exit code 0.
    Serve,
    /// Bring the database's schema up to date and end
    ///
    /// `serve` does the same at its start; several nodes may start at once.
    Migrate,
    /// Look at the database: what takes how much, and whether all is well
    #[command(subcommand)]
    Db(DbCommand),
    /// List or check what retention has written into the archive, or bring a day back
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Create, list, disable or enable users
    #[command(subcommand)]
    User(UserCommand),
    /// Create, list, rotate or revoke API tokens
    ///
    /// A running server sees a change within a second.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look after the events that wait on this node's disk for the database
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Measure throughput, latencies and processor time, and verify every row
    #[command(after_long_help = BENCH_HELP)]
    Bench(Box<BenchArgs>),
    /// Send a request to a server
    #[command(flatten)]
    Client(ClientCommand),
}

/// What to look at in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum DbCommand {
    /// Show rows and bytes of every table and index; also beside a running server
    Size {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare statistics with rows, look for orphans, ids and damage; exit code 1 if something is wrong
    ///
    /// Reads whole tables, in one transaction; also beside a running server.
    Check {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

/// What to do about the archive.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ArchiveCommand {
    /// List its files: day, table, type, rows and bytes, and whether each is in the folder
    List {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Read every file and compare it with what was written; exit code 1 if one is missing or differs
    Verify {
        /// Only the files of this day
        #[arg(value_name = "DAY", value_parser = parse_day)]
        day: Option<String>,
    },
    /// Bring the events of a day back under their ids; also beside a running server
    ///
    /// Events come with their failed attempts and the notes of their replays. A file is checked before its rows are used,
    /// and renamed to …restored once all of them are in the database. After an interruption the same command goes on
    /// behind the last row. Events that are there already stay as they are.
    ///
    /// Retention removes them again with its next walk along the ids, within about seven days: set its age higher, or
    /// export what you need before.
    Restore {
        /// The day, by UTC, on which the events were received
        #[arg(value_name = "DAY", value_parser = parse_day)]
        day: String,
        /// Only events of this type
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
    },
}

/// What to do about users.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum UserCommand {
    /// Create a user
    Create {
        /// Email of the user, unique
        email: String,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// List all users
    List {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a user's tokens and events; nothing is deleted
    Disable {
        /// Email of the user
        email: String,
    },
    /// Let a disabled user in again
    Enable {
        /// Email of the user
        email: String,
    },
}

/// What to do about tokens.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it, this once
    Create(TokenCreate),
    /// List tokens: prefixes and scopes, never secrets
    List {
        /// Only this user's tokens
        #[arg(long, value_name = "EMAIL")]
        user: Option<String>,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a token from now on
    Revoke {
        /// First characters of the token as listed, or its id
        #[arg(value_name = "PREFIX_OR_ID")]
        token: String,
    },
    /// Create a token like an old one and let the old one run out
    Rotate {
        /// First characters of the old token as listed, or its id
        #[arg(value_name = "PREFIX_OR_ID")]
        token: String,
        /// How long the old token still works; 0s ends it at once
        #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = parse_span)]
        overlap: Duration,
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
}

/// The token to create.
#[derive(Debug, Clone, PartialEq, ClapArgs)]
pub struct TokenCreate {
    /// Email of the user it belongs to
    #[arg(long, value_name = "EMAIL")]
    pub user: String,
    /// What it allows, separated by commas
    #[arg(long, required = true, value_name = "SCOPES", value_delimiter = ',', value_parser = SCOPES)]
    pub scopes: Vec<String>,
    /// A name to know it by in lists
    #[arg(long, default_value = "")]
    pub name: String,
    /// When it ends: after a duration, as 30d, or at a time, as 2027-01-01T00:00:00Z; never without it
    #[arg(long, value_name = "DURATION|TIME", value_parser = parse_expiry)]
    pub expires: Option<Expiry>,
    /// Answer in JSON: {"token": …}
    #[arg(long)]
    pub json: bool,
}

/// What to do about the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum SpoolCommand {
    /// Show how much waits, since when, and what is parked; also beside a running server
    Status {
        /// Answer in JSON
        #[arg(long)]
        json: bool,
    },
    /// Read every event; exit code 1 if one cannot be read; also beside a running server
    Verify,
    /// Bring everything into the database and end, parked events too; no server may run in the data folder
    Drain,
    /// Have parked events tried at once, by the server that runs in the data folder, or by the next one
    Retry {
        /// What the database still refuses ends as failed, without what it refuses
        #[arg(long)]
        give_up: bool,
    },
}

/// What to do about the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Print the configuration in effect and where each value comes from; passwords are hidden
    Show,
    /// Report every mistake; exit code 2 if there is any
    Check,
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("allowed: KEY=VALUE, as http.bind=127.0.0.1:9000".to_owned()),
    }
}

#[cfg(test)]
mod tests;
