//! The real binary with its own data folder, on ports that the kernel picks.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::database::Database;
use super::http::Client;
use super::run::{self, Ending, Guard, lock};
use super::wait::{SOON, within};

/// Characters of the log that a failure shows.
const LOG_TAIL: usize = 6000;

/// Settings of the environment that a developer's shell may hold and a test must not see.
const FOREIGN: [&str; 4] = ["GRISTMILL", "EVENT_", "DATABASE_URL", "OTEL_"];

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Setup {
    program: PathBuf,
    wrapper: Vec<String>,
    data: PathBuf,
    database: Database,
    config: toml::Table,
    environment: Vec<(String, String)>,
}

/// A running, stopped or killed server; killed when dropped.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    process: Option<(Child, Guard)>,
    ports: Ports,
    log: Arc<Mutex<String>>,
    printed: Arc<Mutex<String>>,
    token: Option<String>,
}

/// Where the server listens now, also for threads that outlive a restart.
#[derive(Clone, Debug, Default)]
pub struct Ports(Arc<Mutex<Option<(SocketAddr, SocketAddr)>>>);

impl Ports {
    /// The API's address; `None` while the server is not ready.
    pub fn http(&self) -> Option<SocketAddr> {
        lock(&self.0).map(|(http, _)| http)
    }

    /// The dashboard's address; `None` while the server is not ready.
    pub fn dashboard(&self) -> Option<SocketAddr> {
        lock(&self.0).map(|(_, dashboard)| dashboard)
    }

    /// Announces the addresses of API and dashboard, or that nobody listens.
    pub fn set(&self, ports: Option<(SocketAddr, SocketAddr)>) {
        *lock(&self.0) = ports;
    }
}

impl Setup {
    /// The built binary on this database, with the default configuration.
    pub fn new(database: &Database) -> Self {
        let setup = Self {
            program: PathBuf::from(env!("CARGO_BIN_EXE_gristmill")),
            wrapper: Vec::new(),
            data: run::folder("data"),
            database: database.clone(),
            config: toml::Table::new(),
            environment: Vec::new(),
        };
        let base = format!(
            "data_dir = {:?}\nhttp.bind = \"127.0.0.1:0\"\ndashboard.bind = \"127.0.0.1:0\"\ndatabase.url = {:?}",
            setup.data,
            database.url()
        );
        setup.with_config(&base)
    }

    /// Lays a piece of config.toml over what is set so far.
    pub fn with_config(mut self, text: &str) -> Self {
        let table = text.parse().unwrap_or_else(|error| panic!("the test's configuration: {error}\n{text}"));
        overlay(&mut self.config, table);
        self
    }

    /// Sets a variable of the binary's environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another data folder, for a second server on the same database or in the same folder.
    pub fn with_data(mut self, data: PathBuf) -> Self {
        self.config.insert("data_dir".to_owned(), data.display().to_string().into());
        self.data = data;
        self
    }

    /// Another program in the binary's place.
    pub fn with_program(mut self, program: PathBuf) -> Self {
        self.program = program;
        self
    }

    /// Runs the binary through another program, with these arguments, that becomes the binary (`prlimit`, `ip netns exec`).
    pub fn with_wrapper(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.wrapper.extend(words.into_iter().map(Into::into));
        self
    }

    /// A command of the binary with this configuration, run to its end.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = self.gristmill(arguments);
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// A command of the binary with this configuration, not started yet.
    pub fn gristmill(&self, arguments: &[&str]) -> Command {
        let file = self.data.join("config.toml");
        fs::write(&file, self.config.to_string()).expect("the data folder is ours");
        let mut words = self.wrapper.iter().map(OsStr::new).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().expect("the program is a word"));
        command.args(words);
        for (name, _) in std::env::vars_os() {
            if FOREIGN.iter().any(|foreign| name.to_string_lossy().starts_with(foreign)) {
                command.env_remove(name);
            }
        }
        // A folder of its own: no stray config.toml, and what it drops here goes with the run.
        command
            .current_dir(&self.data)
            .stdin(Stdio::null())
            .arg("--config")
            .arg(file)
            .envs(self.environment.iter().cloned())
            .args(arguments);
        command
    }
}

/// Bytes of memory that the process has resident now; `None` if it has ended.
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib = line.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<u64>().ok());
    Some(kib.expect("the kernel writes `VmRSS: <number> kB`") * 1024)
}

impl From<&Database> for Setup {
    fn from(database: &Database) -> Self {
        Self::new(database)
    }
}

impl Server {
    /// Starts a server and returns when it is ready: `Server::start(&database)` with the default
    /// configuration, `Server::start(Setup::new(&database).with_config("…"))` with another.
    pub fn start(setup: impl Into<Setup>) -> Self {
        let mut server = Self::not_started(setup);
        server.restart();
        server
    }

    /// A server for `spawn`, when it is expected to refuse to start.
    pub fn not_started(setup: impl Into<Setup>) -> Self {
        let ports = Ports::default();
        Self { setup: setup.into(), process: None, ports, log: Arc::default(), printed: Arc::default(), token: None }
    }

    /// Starts again on the same data, and returns when it is ready; stops a running one first.
    pub fn restart(&mut self) {
        self.spawn();
        self.await_ports();
    }

    /// Waits until a server that was spawned listens.
    pub fn await_ports(&mut self) {
        let ports = within(SOON, || self.written_ports());
        let ports = ports.unwrap_or_else(|| panic!("the server is not ready after {SOON:?}\n{}", self.state()));
        self.ports.set(Some(ports));
    }

    /// Starts again without waiting until it is ready, for a server that is expected to refuse.
    pub fn spawn(&mut self) {
        self.kill9();
        let mut command = self.setup.gristmill(&["serve"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        collect(child.stderr.take().expect("it was asked for"), Arc::clone(&self.log));
        collect(child.stdout.take().expect("it was asked for"), Arc::clone(&self.printed));
        let guard = Guard::new(&child, Ending::Kill);
        self.process = Some((child, guard));
    }

    /// Kills the server with SIGKILL, if it runs.
    pub fn kill9(&mut self) {
        self.ports.set(None);
        if let Some((mut child, _guard)) = self.process.take() {
            child.kill().expect("a child that was not waited for takes a signal");
            child.wait().expect("a child can be waited for");
        }
    }

    /// Asks the server to stop (SIGTERM).
    pub fn terminate(&self) {
        run::signal(self.pid(), "TERM");
    }

    /// Waits until the server has ended by itself and gives its exit status.
    pub fn wait_exit(&mut self, deadline: Duration) -> ExitStatus {
        let (child, _) = self.process.as_mut().expect("the server was started");
        let status = within(deadline, || child.try_wait().expect("a child can be waited for"));
        let status = status.unwrap_or_else(|| panic!("the server still runs after {deadline:?}\n{}", self.state()));
        self.process = None;
        self.ports.set(None);
        status
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map(|(child, _)| child.id()).expect("the server runs")
    }

    /// Whether the process has not ended.
    pub fn is_running(&mut self) -> bool {
        let child = self.process.as_mut().map(|(child, _)| child);
        child.is_some_and(|child| child.try_wait().expect("a child can be waited for").is_none())
    }

    /// Memory that is resident now.
    pub fn rss_bytes(&self) -> u64 {
        resident(self.pid()).expect("the server runs, on Linux")
    }

    /// How many threads there are now whose names begin so.
    pub fn threads(&self, prefix: &str) -> usize {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the server runs, on Linux");
        // A thread may end while we look.
        let names = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with(prefix)).count()
    }

    /// The admin token that the first start left in its file.
    pub fn token(&mut self) -> String {
        let token = self.known_token();
        self.token.insert(token).clone()
    }

    fn known_token(&self) -> String {
        let file = self.setup.data.join("first-token");
        let read = || {
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}\n{}", file.display(), self.state()))
        };
        self.token.clone().unwrap_or_else(|| read().trim().to_owned())
    }

    /// Takes the token of another server on the same database.
    pub fn share_token(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    /// A client of the API with the first token, good until the next restart (the port changes).
    pub fn client(&mut self) -> Client {
        let token = self.token();
        Client::new(self.address(), Some(&token))
    }

    /// A client of the API with this token.
    pub fn client_with(&self, token: &str) -> Client {
        Client::new(self.address(), Some(token))
    }

    /// A client of the dashboard's port with the first token.
    pub fn dashboard(&self) -> Client {
        Client::new(self.dashboard_address(), Some(&self.known_token()))
    }

    /// The address of the dashboard.
    pub fn dashboard_address(&self) -> SocketAddr {
        self.ports.dashboard().unwrap_or_else(|| panic!("the server is not ready\n{}", self.state()))
    }

    /// The address of the API.
    pub fn address(&self) -> SocketAddr {
        self.ports.http().unwrap_or_else(|| panic!("the server is not ready\n{}", self.state()))
    }

    /// The URL of a path of the API.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// Where the server listens, for threads that outlive a restart.
    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }

    /// Events that wait in the spool of the data folder.
    pub fn spooled(&self) -> u64 {
        let file = self.setup.data.join("spool.db");
        if !file.exists() {
            return 0;
        }
        let sql = "SELECT CAST(COALESCE(SUM(events), 0) AS TEXT) FROM units WHERE parked IS NULL";
        let events = Database::sqlite_at(&file).texts(sql);
        events[0].parse().unwrap_or_else(|error| panic!("{events:?}: {error}"))
    }

    /// What the server was started with.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The data folder.
    pub fn data(&self) -> &std::path::Path {
        &self.setup.data
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.setup.database
    }

    /// What the server wrote to its standard error, over all starts.
    pub fn log(&self) -> String {
        lock(&self.log).clone()
    }

    /// The end of the log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        log[log.ceil_char_boundary(log.len().saturating_sub(LOG_TAIL))..].to_owned()
    }

    /// Writes the log to a file that outlives the run, and gives its name.
    pub fn keep_log(&self) -> String {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/chaos");
        let file = folder.join(format!("{}-{}.log", std::process::id(), run::number()));
        fs::create_dir_all(&folder).and_then(|()| fs::write(&file, self.log())).expect("the target folder is ours");
        file.display().to_string()
    }

    /// What the server wrote to its standard output, over all starts.
    pub fn printed(&self) -> String {
        lock(&self.printed).clone()
    }

    /// What `ports.json` says, once the running process has written it.
    fn written_ports(&mut self) -> Option<(SocketAddr, SocketAddr)> {
        let (child, _) = self.process.as_mut().expect("the server was started");
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            panic!("the server ended before it was ready: {status}\n{}", self.state());
        }
        let text = fs::read_to_string(self.setup.data.join("ports.json")).ok()?;
        let ports: serde_json::Value = serde_json::from_str(&text).expect("ports.json appears whole");
        let address = |key: &str| ports[key].as_str().and_then(|text| text.parse().ok()).expect("an address");
        // The file of an earlier start has an earlier pid.
        (ports["pid"] == self.pid()).then(|| (address("http"), address("dashboard")))
    }

    fn state(&self) -> String {
        format!("data: {}\nlog:\n{}", self.setup.data.display(), self.log_tail())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Reads to the end in a thread, so that the server never blocks on its output.
fn collect(output: impl Read + Send + 'static, log: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            lock(&log).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
}

/// Puts the values of `over` into `table`, section by section.
fn overlay(table: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => overlay(below, above),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}
