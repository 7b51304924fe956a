//! The server that is measured: one that is started for it and removed afterwards, or one that runs already.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::endpoint::Endpoint;
use super::interrupt::Interrupt;
use super::processes::{Processes, postmaster};
use super::scratch::ScratchDatabase;
use crate::cli::client::ApiClient;

/// Longest wait for a server to be ready, and for one to end.
const START_MAX: Duration = Duration::from_secs(60);
const END_MAX: Duration = Duration::from_secs(40);

/// How often both are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Bytes of its log that are shown if it does not start.
const LOG_TAIL: usize = 2_000;

/// A program to start, and how.
#[derive(Debug, Clone)]
pub(super) struct Build {
    pub(super) program: PathBuf,
    /// `--config` and `--set` of the command line, for the servers.
    pub(super) config: Option<PathBuf>,
    pub(super) settings: Vec<(String, String)>,
}

/// A server that answers.
pub(super) struct Server {
    pub(super) client: ApiClient,
    /// The same on its operations port.
    pub(super) operations: Option<ApiClient>,
    pub(super) processes: Processes,
    // In the order in which they are dropped: the process, its database, the folder.
    child: Option<ChildServer>,
    database: Option<ScratchDatabase>,
    _folder: Option<Folder>,
}

/// The process, which is ended when this is dropped.
struct ChildServer(Child);

/// A folder that is removed when this is dropped.
struct Folder(PathBuf);

#[derive(Deserialize)]
struct PortsFile {
    http: SocketAddr,
    dashboard: SocketAddr,
    pid: u32,
}

impl Server {
    /// One that runs already.
    pub(super) fn running(client: ApiClient, pid: Option<u32>) -> Self {
        let processes = Processes { server: pid.map(u32::cast_signed), postmaster: None };
        Self { client, operations: None, processes, child: None, database: None, _folder: None }
    }

    /// Starts one with a new database, in a new folder in `parent`; `postgres` is the database server to make it on.
    pub(super) fn start(
        build: &Build,
        parent: &Path,
        postgres: Option<&str>,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let folder = Folder::make(parent)?;
        let data = folder.0.join("data");
        let mut database = ScratchDatabase::make(postgres, &data)?;
        let log = folder.0.join("server.log");
        let mut child = ChildServer(build.serve(&data, &database, &log)?);
        let ports = child.wait_until_ready(&data, &log, interrupt)?;
        let token = fs::read_to_string(data.join("first-token")).context("the server made no first token")?;
        let client = |address: SocketAddr| ApiClient::new(format!("http://{address}"), token.trim(), None);
        let postmaster = database.backend()?.and_then(|(backend, name)| postmaster(backend, &name));
        Ok(Self {
            client: client(ports.http),
            operations: Some(client(ports.dashboard)),
            processes: Processes { server: Some(ports.pid.cast_signed()), postmaster },
            child: Some(child),
            database: Some(database),
            _folder: Some(folder),
        })
    }

    /// Where its events go.
    pub(super) fn endpoint(&self) -> anyhow::Result<Endpoint> {
        Endpoint::of(self.client.base(), self.client.authorization())
    }

    /// Ends a server that was started; its database stays until this is dropped.
    pub(super) fn end(&mut self) -> Option<&ScratchDatabase> {
        self.child = None;
        self.database.as_ref()
    }
}

impl Build {
    fn serve(&self, data: &Path, database: &ScratchDatabase, log: &Path) -> anyhow::Result<Child> {
        let mut command = Command::new(&self.program);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        let own = [
            ("data_dir", data.display().to_string()),
            ("http.bind", "127.0.0.1:0".to_owned()),
            ("dashboard.bind", "127.0.0.1:0".to_owned()),
            ("database.url", database.url().to_owned()),
            ("database.direct_url", String::new()),
        ];
        let given = self.settings.iter().map(|(key, value)| (key.as_str(), value.clone()));
        for (key, value) in given.chain(own) {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        // A group of its own: Ctrl-C in the terminal is for the bench, which then ends the server.
        command.arg("serve").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        command.spawn().with_context(|| format!("cannot start {}", self.program.display()))
    }
}

impl ChildServer {
    fn wait_until_ready(&mut self, data: &Path, log: &Path, interrupt: &Interrupt) -> anyhow::Result<PortsFile> {
        let began = Instant::now();
        let end_of_log = || {
            let text = fs::read_to_string(log).unwrap_or_default();
            text[text.ceil_char_boundary(text.len().saturating_sub(LOG_TAIL))..].to_owned()
        };
        while began.elapsed() < START_MAX {
            interrupt.check()?;
            if let Some(status) = self.0.try_wait()? {
                bail!("the server ended before it was ready, {status}:\n{}", end_of_log());
            }
            // The file appears whole.
            if let Ok(text) = fs::read_to_string(data.join("ports.json")) {
                let ports: PortsFile = serde_json::from_str(&text).context("the server's ports.json")?;
                return Ok(ports);
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("the server is not ready after {} s:\n{}", START_MAX.as_secs(), end_of_log())
    }

    fn end(&mut self) -> std::io::Result<()> {
        // The standard library sends no other signal than SIGKILL.
        let script = ["-c", "kill -TERM \"$0\"", &self.0.id().to_string()];
        let is_sent =
            Command::new("sh").args(script).stdin(Stdio::null()).status().is_ok_and(|status| status.success());
        let began = Instant::now();
        while is_sent && began.elapsed() < END_MAX {
            if self.0.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        self.0.kill()?;
        self.0.wait().map(drop)
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        // One that cannot be waited for has ended.
        let _ = self.end();
    }
}

impl Folder {
    /// A new one, with a name that no other process takes.
    fn make(parent: &Path) -> anyhow::Result<Self> {
        let parent = parent.canonicalize().with_context(|| format!("--folder {}", parent.display()))?;
        let path = parent.join(format!("gristmill-bench-{}-{:08x}", std::process::id(), getrandom::u32()?));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
