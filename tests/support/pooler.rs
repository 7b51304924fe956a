//! PgBouncer in front of a private PostgreSQL.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::postgres::{as_server, free_port, give_to_server};
use super::run::{self, Ending, Guard};
use super::wait::{SOON, wait_for};

/// Where `./test` puts versions of it; each has a program of its own.
const FETCHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/pgbouncer");

/// A running pooler; killed when dropped.
#[derive(Debug)]
pub struct Pooler {
    folder: PathBuf,
    port: u16,
    process: (Child, Guard),
}

/// The programs that can be tried, by version.
pub fn programs() -> Vec<PathBuf> {
    let found = fs::read_dir(FETCHED).into_iter().flatten().flatten().map(|version| version.path().join("pgbouncer"));
    let mut found: Vec<PathBuf> = found.filter(|program| program.exists()).collect();
    found.sort();
    found
}

impl Pooler {
    /// Starts `program` in front of the server of this `postgres://user@host:port/name`, with further settings, one a line.
    pub fn start(program: &Path, url: &str, settings: &str) -> Self {
        let (user, rest) = url.trim_start_matches("postgres://").split_once('@').expect("the URL names a user");
        let (server, _) = rest.split_once('/').expect("the URL names a database");
        let (host, server_port) = server.split_once(':').expect("the URL names a port");
        let folder = run::folder("pgbouncer");
        let port = free_port();
        let users = folder.join("users");
        let config = folder.join("config");
        fs::write(&users, format!("{user:?} \"\"\n")).expect("the folder is ours");
        let text = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             auth_type = trust\nauth_file = {}\nunix_socket_dir =\nserver_login_retry = 1\n{settings}\n",
            users.display(),
        );
        fs::write(&config, text).expect("the folder is ours");
        give_to_server(&folder);
        let log = fs::File::create(folder.join("log")).expect("the folder is ours");
        let mut pgbouncer = as_server(program);
        let child = pgbouncer.arg(&config).stdout(Stdio::null()).stderr(log).spawn().expect("pgbouncer starts");
        let guard = Guard::new(&child, Ending::Kill);
        let pooler = Self { folder, port, process: (child, guard) };
        let listens = || TcpStream::connect(("127.0.0.1", port)).ok().map(drop);
        wait_for("the pooler to listen", SOON, listens, || pooler.log());
        pooler
    }

    /// This URL, through the pooler.
    pub fn url(&self, url: &str) -> String {
        let (head, rest) = url.split_once('@').expect("the URL names a user");
        let (_, name) = rest.split_once('/').expect("the URL names a database");
        format!("{head}@127.0.0.1:{}/{name}", self.port)
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let (child, _) = &mut self.process;
        // It may have ended by itself.
        let _ = child.kill().and_then(|()| child.wait());
    }
}
