//! Private PostgreSQL clusters: one for the run, and own ones for tests that break the server.
//!
//! They listen on a loopback port of their own, trust it, and are as durable as a real one
//! (fsync and synchronous_commit on), because crash tests rely on that.

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use super::machine::clock::Clock;
use super::run::{self, Ending, Guard, lock};
use super::wait::{SOON, wait_for};

const MISSING: &str = "PostgreSQL's server programs (initdb, postgres, psql) are neither in PATH nor in \
                       /usr/lib/postgresql/*/bin: run ./test, which installs them";

/// Owner of the databases, a superuser of the cluster.
const USER: &str = "gristmill";

const SETTINGS: [&str; 7] = [
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "shared_buffers=32MB",
    "max_connections=200",
    "max_wal_size=256MB",
    "logging_collector=off",
];

/// Below the ports that the kernel gives out, so that nobody takes it while the server is down.
const PORTS: std::ops::Range<u32> = 20_000..32_000;

/// A private cluster; stopped when dropped.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    /// Where the server listens, the first address for this process.
    addresses: Vec<IpAddr>,
    environment: Vec<(&'static str, String)>,
    server: Mutex<Option<(Child, Guard)>>,
}

/// A fresh database in the run's shared cluster: its URL.
pub fn fresh_database() -> String {
    Cluster::shared().fresh_database()
}

/// Checks every table and index of this database; the programs of the server bring the check along.
pub fn amcheck(url: &str) -> Result<(), String> {
    let mut check = Command::new(program("pg_amcheck"));
    let output = check.args(["--install-missing", "--heapallindexed", url]).output().expect("the program runs");
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}

impl Cluster {
    /// The run's cluster, started by whoever asks first; not to be stopped, other tests use it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a cluster for one test, which may stop or kill it.
    pub fn start() -> Self {
        Self::start_at(run::folder("postgres"), None, Vec::new())
    }

    /// Starts a cluster that lives by this clock.
    pub fn start_by(clock: &Clock) -> Self {
        Self::start_at(run::folder("postgres"), None, clock.environment().into())
    }

    /// Starts a cluster whose data lie in a folder of that name in `disk`, synced, as initdb would leave them.
    pub fn start_on_disk(disk: &Path) -> Self {
        let folder = disk.join("postgres");
        fs::create_dir(&folder).expect("the disk takes a new folder");
        let cluster = Self::start_at(folder, None, Vec::new());
        Command::new("sync").arg("-f").arg(disk).succeed();
        cluster
    }

    /// Starts a cluster that listens on this address, too, and trusts who comes from its network.
    pub fn start_listening_on(address: IpAddr) -> Self {
        Self::start_at(run::folder("postgres"), Some(address), Vec::new())
    }

    /// Starts a standby that streams from this cluster.
    pub fn start_standby(&self) -> Self {
        let folder = run::folder("standby");
        give_to_server(&folder);
        let mut copy = as_server(program("pg_basebackup"));
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "--checkpoint=fast", "--no-sync"]);
        copy.arg("--write-recovery-conf").arg("-D").arg(folder.join("data")).succeed();
        let addresses = vec![Ipv4Addr::LOCALHOST.into()];
        let standby = Self { folder, port: free_port(), addresses, environment: Vec::new(), server: Mutex::new(None) };
        standby.start_again();
        standby
    }

    fn start_at(folder: PathBuf, also: Option<IpAddr>, environment: Vec<(&'static str, String)>) -> Self {
        give_to_server(&folder);
        let data = folder.join("data");
        as_server("cp").arg("-R").arg(template()).arg(&data).succeed();
        if also.is_some() {
            let mut rules = File::options().append(true).open(data.join("pg_hba.conf")).expect("initdb made it");
            writeln!(rules, "host all all samenet trust").expect("the folder is ours");
        }
        let addresses = [Some(Ipv4Addr::LOCALHOST.into()), also].into_iter().flatten().collect();
        let cluster = Self { folder, port: free_port(), addresses, environment, server: Mutex::new(None) };
        cluster.start_again();
        cluster
    }

    /// Starts the server on its old port and data unless it runs, and returns when it takes connections.
    pub fn start_again(&self) {
        let mut server = lock(&self.server);
        // After a kill the dead server's children hold its memory for a moment: start until it stays.
        wait_for(
            "PostgreSQL to take connections",
            SOON,
            || {
                let (child, _) = server.get_or_insert_with(|| self.spawn());
                if child.try_wait().expect("a child can be waited for").is_some() {
                    *server = None;
                    return None;
                }
                self.is_ready(child.id()).then_some(())
            },
            || self.log(),
        );
    }

    /// Stops the server at once, as a power cut would look to its clients, but with its leave.
    pub fn stop_immediate(&self) {
        self.end("QUIT");
    }

    /// Kills the postmaster with SIGKILL; its children follow on their own.
    pub fn kill_postmaster(&self) {
        self.end("KILL");
    }

    /// Stops the postmaster and its children where they are (SIGSTOP).
    pub fn freeze(&self) {
        for pid in self.pids() {
            // A child may have ended since it was listed.
            run::try_signal(pid, "STOP");
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        for pid in self.pids() {
            run::try_signal(pid, "CONT");
        }
    }

    /// The postmaster, then its children.
    fn pids(&self) -> Vec<u32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        std::iter::once(pid).chain(children).collect()
    }

    /// The server's process id.
    pub fn pid(&self) -> u32 {
        let server = lock(&self.server);
        server.as_ref().map(|(child, _)| child.id()).expect("the cluster is running")
    }

    /// Makes an empty database with a name of its own and gives its URL.
    pub fn fresh_database(&self) -> String {
        self.fresh_database_with("")
    }

    /// The same, made with these options.
    pub fn fresh_database_with(&self, options: &str) -> String {
        let name = format!("test_{}", run::number());
        self.sql("postgres", &format!("CREATE DATABASE {name} {options}"));
        self.url(&name)
    }

    /// Makes an empty database whose tables and indexes lie in this folder, and gives its URL.
    pub fn fresh_database_on(&self, folder: &Path) -> String {
        let name = format!("test_{}", run::number());
        let place = folder.join("tablespace");
        fs::create_dir(&place).expect("the disk takes a new folder");
        give_to_server(&place);
        self.sql("postgres", &format!("CREATE TABLESPACE {name} LOCATION '{}'", place.display()));
        self.sql("postgres", &format!("CREATE DATABASE {name} TABLESPACE {name}"));
        self.url(&name)
    }

    /// The URL of a database of this cluster.
    pub fn url(&self, database: &str) -> String {
        self.url_at(self.addresses[0], database)
    }

    /// The URL of a database of this cluster at another of its addresses.
    pub fn url_at(&self, address: IpAddr, database: &str) -> String {
        format!("postgres://{USER}@{address}:{}/{database}", self.port)
    }

    /// Runs SQL through psql and gives its output, unaligned and without headings.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same, where the server may refuse.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        psql(&self.url(database), sql)
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// What the server wrote to its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn spawn(&self) -> (Child, Guard) {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).expect("the folder is ours");
        let mut postgres = as_server(program("postgres"));
        postgres.arg("-D").arg(self.folder.join("data")).args(["-p", &self.port.to_string()]);
        postgres.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let listen = format!("listen_addresses={}", addresses.join(","));
        for setting in SETTINGS.into_iter().chain([listen.as_str()]) {
            postgres.args(["-c", setting]);
        }
        let child = postgres.stdout(Stdio::null()).stderr(log).process_group(0).spawn().expect("postgres starts");
        let guard = Guard::new(&child, Ending::Quit);
        (child, guard)
    }

    /// The postmaster writes its state on the eighth line of its pid file, and its id on the first. A killed one leaves
    /// its file behind.
    fn is_ready(&self, pid: u32) -> bool {
        let text = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        let is_own = text.lines().next().is_some_and(|line| line.trim() == pid.to_string());
        is_own && text.lines().nth(7).is_some_and(|state| matches!(state.trim(), "ready" | "standby"))
    }

    fn end(&self, signal: &str) {
        self.thaw();
        let (mut child, _guard) = lock(&self.server).take().expect("the cluster is running");
        run::signal(child.id(), signal);
        child.wait().expect("a child can be waited for");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if lock(&self.server).is_some() {
            self.stop_immediate();
        }
    }
}

/// Runs SQL through psql at this URL; what it printed, or why it failed.
pub fn psql(url: &str, sql: &str) -> Result<String, String> {
    let mut psql = Command::new(program("psql"));
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(url);
    let output = psql.output().unwrap_or_else(|error| panic!("{psql:?}: {error}"));
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}

/// The data folder of a cluster that never ran; copying it is ten times faster than initdb.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = run::folder("postgres-template");
        give_to_server(&folder);
        let data = folder.join("data");
        let mut initdb = as_server(program("initdb"));
        initdb.args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-U", USER, "-D"]);
        initdb.arg(&data).succeed();
        data
    })
}

pub(super) fn give_to_server(folder: &Path) {
    if let Some((user, group)) = server_user() {
        chown(folder, Some(user), Some(group)).expect("root may give its folder away");
    }
}

/// A command that runs as the server's user, from a folder where that user may be.
pub(super) fn as_server(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").stdin(Stdio::null());
    if let Some((user, group)) = server_user() {
        command.uid(user).gid(group);
    }
    command
}

/// PostgreSQL refuses to run as root: then the user and group that run it, else nothing.
fn server_user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    let id = |arguments: &[&str]| -> u32 {
        let text = Command::new("id").args(arguments).succeed();
        text.trim().parse().expect("id prints a number")
    };
    *USER.get_or_init(|| (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"]))))
}

/// Finds a program of the newest server; in PATH it may be a wrapper, beside `initdb` never.
fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut installed: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
        installed.sort();
        folders.extend(installed.into_iter().rev());
        let initdb = folders.iter().find_map(|folder| fs::canonicalize(folder.join("initdb")).ok());
        let folder = initdb.as_deref().and_then(Path::parent).unwrap_or_else(|| panic!("{MISSING}"));
        folder.to_owned()
    });
    let program = folder.join(name);
    assert!(program.exists(), "{} is missing: {MISSING}", program.display());
    program
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let mut number = std::process::id();
    wait_for(
        "a free port",
        SOON,
        || {
            number = number.wrapping_add(run::number().wrapping_mul(97));
            let port = PORTS.start + number % (PORTS.end - PORTS.start);
            let port = u16::try_from(port).expect("the range ends below 65536");
            TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
        },
        || format!("{PORTS:?} are taken"),
    )
}

/// Commands that have to succeed.
pub trait Succeed {
    /// Runs to the end and gives the output; panics with the error text of a failed command.
    fn succeed(&mut self) -> String;
}

impl Succeed for Command {
    fn succeed(&mut self) -> String {
        let output = self.output().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{self:?}: {}\n{errors}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
