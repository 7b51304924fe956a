//! `gristmill bench`: measures a server under load, and verifies every row that it stored.
//!
//! A run is: a server and an empty database of its own, the load, a route that does nothing over the same connections,
//! all rows read back, the end of the server, the bare INSERT of its rows. Nothing of it is left behind, whatever ends
//! the run, except for `kill -9` of this process.

mod connection;
mod endpoint;
mod interrupt;
mod latencies;
mod load;
mod processes;
mod progress;
mod record;
mod report;
mod requests;
mod schedule;
mod scratch;
mod server;
mod transactions;
mod turns;
mod verification;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use procfs::process::Process;

use self::interrupt::Interrupt;
use self::load::{Load, LoadPlan};
use self::progress::Progress;
use self::report::{EmptyRoute, Errors, InsertLimit, Limits, MemoryUse, Percentiles, ProcessorUse, Report};
use self::requests::{BATCH_MAX, Events, Requests};
use self::server::{Build, Server};
use self::transactions::Transactions;
use self::turns::Comparison;
use self::verification::Verification;
use super::args::Args;
use super::args::bench::{BenchArgs, Mode, PayloadSize};
use super::args::server::ServerArgs;
use super::as_json;
use super::client::find_server;
use super::output::print;

/// Connections, unless the command line says otherwise.
const CONNECTIONS: u16 = 64;
const CONNECTIONS_OF_LINES: u16 = 4;

/// How long the empty route is measured, after a warm-up.
const EMPTY_ROUTE: Duration = Duration::from_secs(2);
const EMPTY_ROUTE_WARM_UP: Duration = Duration::from_millis(300);

/// Rows that the bare INSERT repeats: some 20 MB.
const SAMPLE_SMALL: usize = 20_000;
const SAMPLE_LARGE: usize = 1_000;

/// What is measured.
enum Subject {
    /// A program that is started for each run.
    Build(Build),
    /// A server that runs.
    Running(ServerArgs, Option<u32>),
}

/// One command.
struct Bench<'a> {
    args: &'a BenchArgs,
    interrupt: Interrupt,
    progress: Progress,
}

pub(super) fn run(bench: &BenchArgs, all: &Args) -> anyhow::Result<()> {
    let first = match &bench.url {
        Some(url) => Subject::running(url, bench),
        None => Subject::Build(Build { program: std::env::current_exe()?, ..Build::of(all) }),
    };
    let second = match bench.against.as_deref() {
        Some(url) if url.contains("://") => {
            ensure!(bench.yes, "events stay in the database of {url}: --yes permits that");
            Some(Subject::running(url, bench))
        }
        Some(program) => Some(Subject::Build(Build { program: program.into(), ..Build::of(all) })),
        None => None,
    };
    let has_batches = matches!(bench.mode, Mode::Batch | Mode::Mixed);
    let is_batch = bench.per_request.is_none_or(|events| events <= BATCH_MAX);
    ensure!(!has_batches || is_batch, "--per-request: a batch has at most {BATCH_MAX} events");
    let runner = Bench { args: bench, interrupt: Interrupt::listen()?, progress: Progress::new() };
    let (text, is_verified) = match second {
        Some(second) => {
            let comparison = runner.by_turns([&first, &second])?;
            (if bench.json { as_json(&comparison)? } else { comparison.to_string() }, comparison.is_verified())
        }
        None => {
            let report = runner.measure(&first)?;
            (if bench.json { as_json(&report)? } else { report.to_string() }, report.verified)
        }
    };
    drop(runner);
    print(text)?;
    ensure!(is_verified, "rows are missing, stored twice or wrong");
    Ok(())
}

impl Subject {
    fn running(url: &str, bench: &BenchArgs) -> Self {
        let token_file = bench.token_file.clone();
        let token = bench.token.clone();
        Self::Running(ServerArgs { url: Some(url.to_owned()), token_file, token }, bench.pid)
    }

    fn server(&self, bench: &Bench<'_>) -> anyhow::Result<Server> {
        match self {
            Self::Build(build) => {
                Server::start(build, &bench.args.folder, bench.args.database.as_deref(), &bench.interrupt)
            }
            Self::Running(server, pid) => {
                Ok(Server::running(find_server(server)?, pid.filter(|_| server.url == bench.args.url)))
            }
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Build(build) => build.program.display().to_string(),
            Self::Running(server, _) => server.url.clone().unwrap_or_default(),
        }
    }
}

impl Build {
    /// The servers' configuration; the program is to be named.
    fn of(args: &Args) -> Self {
        Self { program: Default::default(), config: args.config.clone(), settings: args.settings.clone() }
    }
}

impl Bench<'_> {
    fn by_turns(&self, subjects: [&Subject; 2]) -> anyhow::Result<Comparison> {
        let mut rounds = Vec::new();
        for round in 1..=self.args.rounds {
            let turn = |subject: &Subject| {
                self.progress.phase(format!("round {round} of {}: {}", self.args.rounds, subject.name()));
                self.measure(subject).with_context(|| subject.name())
            };
            rounds.push([turn(subjects[0])?, turn(subjects[1])?]);
        }
        let [first, second] = subjects.map(Subject::name);
        Ok(Comparison::of(first, second, rounds))
    }

    /// One run.
    fn measure(&self, subject: &Subject) -> anyhow::Result<Report> {
        self.progress.phase("starting the server");
        let mut server = subject.server(self)?;
        let name = format!("bench-{:016x}", getrandom::u64()?);
        let events = Events { name: &name, size: self.args.payload };
        let requests = Requests::of(self.args, &server.endpoint()?, &events);
        let before = Transactions::of(&server)?;
        self.progress.phase("load");
        let load = self.load(&server, requests)?;
        let transactions = Transactions::of(&server)?;
        let per_transaction = transactions.zip(before).and_then(|(after, before)| after.events_each_since(before));
        let empty_route = if self.args.no_limits { None } else { Some(self.empty_route(&server)?) };
        self.progress.phase("reading every row back");
        let rows = Verification::of(&server.client, &name, &load.record.fates, &self.interrupt, &self.progress);
        let rows =
            rows.with_context(|| format!("the rows cannot be read; errors of the load: {}", Errors::of(&load)))?;
        let mut report = self.report(&load, rows, self.place(subject, &server), per_transaction);
        ensure!(load.record.stored() > 0, "no event was stored: {}", report.errors);
        let database = server.end();
        if let Some(empty_route) = empty_route {
            let bare_insert = match (database, per_transaction) {
                (Some(database), Some(events)) => {
                    self.interrupt.check()?;
                    self.progress.phase("bare INSERT of the rows");
                    let sample = if self.args.payload == PayloadSize::Small { SAMPLE_SMALL } else { SAMPLE_LARGE };
                    let inserted = database.bare_insert(sample, (events.round() as usize).max(1))?;
                    Some(InsertLimit::of(inserted, report.events_per_second))
                }
                _ => None,
            };
            report.limits = Some(Limits { empty_route, bare_insert });
        }
        Ok(report)
    }

    fn load(&self, server: &Server, requests: Requests) -> anyhow::Result<Load> {
        let plan = LoadPlan {
            endpoint: server.endpoint()?,
            requests,
            connections: self.connections(),
            rate: self.args.rate,
            warm_up: self.args.warm_up,
            measured: Duration::from_secs(self.args.seconds.into()),
        };
        plan.run(&server.processes, &self.interrupt, &self.progress)
    }

    fn connections(&self) -> u16 {
        let by_default = if self.args.mode == Mode::Lines { CONNECTIONS_OF_LINES } else { CONNECTIONS };
        self.args.connections.unwrap_or(by_default)
    }

    fn empty_route(&self, server: &Server) -> anyhow::Result<EmptyRoute> {
        self.progress.phase("empty route");
        let endpoint = server.endpoint()?;
        let requests = Requests::empty(&endpoint);
        let connections = self.connections();
        let warm_up = EMPTY_ROUTE_WARM_UP;
        let plan = LoadPlan { endpoint, requests, connections, rate: None, warm_up, measured: EMPTY_ROUTE };
        let load = plan.run(&server.processes, &self.interrupt, &self.progress)?;
        let requests = load.record.requests;
        Ok(EmptyRoute {
            requests_per_second: requests / load.seconds,
            latency_ms: Percentiles::of(&load.record.all()),
            processor_us_per_request: ProcessorUse::of(&load, requests),
        })
    }

    fn report(&self, load: &Load, rows: Verification, server: String, per_transaction: Option<f64>) -> Report {
        let record = &load.record;
        Report {
            load: self.description(),
            mode: self.args.mode,
            payload: self.args.payload,
            connections: self.connections(),
            rate: self.args.rate,
            server,
            seconds: load.seconds,
            events_per_second: record.events / load.seconds,
            requests_per_second: record.requests / load.seconds,
            latency_ms: Percentiles::of(&record.all()),
            latency_ms_of: report::by_kind(load),
            errors: Errors::of(load),
            processor_us_per_event: ProcessorUse::of(load, record.events),
            memory_bytes: load.memory.map(|memory| MemoryUse { end: memory.now, peak: memory.peak }),
            events_per_transaction: per_transaction,
            limits: None,
            verified: rows.is_clean(),
            rows,
        }
    }

    /// What is measured, and where its rows go.
    fn place(&self, subject: &Subject, server: &Server) -> String {
        let database = match (subject, &self.args.database) {
            (Subject::Running(..), _) => "its database".to_owned(),
            (_, Some(_)) if server.processes.postmaster.is_some() => "PostgreSQL on this machine".to_owned(),
            (_, Some(_)) => "PostgreSQL, whose processor time is unknown here".to_owned(),
            (_, None) => format!("SQLite in {}", place_of(&self.args.folder)),
        };
        format!("{}, {database}", subject.name())
    }

    fn description(&self) -> String {
        let BenchArgs { seconds, warm_up, .. } = self.args;
        let connections = self.connections();
        let sent = match self.args.mode {
            Mode::Single => "single events",
            Mode::Batch => "batches",
            Mode::Lines => "lines",
            Mode::Mixed => "single events, batches and lines",
        };
        let payload = match self.args.payload {
            PayloadSize::Small => "small",
            PayloadSize::Large => "large",
            PayloadSize::Mix => "small and large",
        };
        let schedule = match self.args.rate {
            Some(rate) => format!("open loop of {rate} requests/s: latencies count from when a request is due"),
            None => "closed loop: latencies hold for that many connections".to_owned(),
        };
        let warm_up = warm_up.as_secs_f64();
        format!(
            "{sent}, {payload} payloads, {connections} connections, {seconds} s after {warm_up} s of warm-up; {schedule}"
        )
    }
}

/// A folder and the kind of its file system.
fn place_of(folder: &Path) -> String {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let mounts = Process::myself().and_then(|process| process.mountinfo()).map(|mounts| mounts.0).unwrap_or_default();
    let around = mounts.into_iter().filter(|mount| path.starts_with(&mount.mount_point));
    // Of two on the same place the later one is seen.
    let kind = around.max_by_key(|mount| mount.mount_point.as_os_str().len()).map(|mount| mount.fs_type);
    format!("{} ({})", path.display(), kind.unwrap_or_else(|| "unknown file system".to_owned()))
}
