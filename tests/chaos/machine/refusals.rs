//! Row 28: wrong configurations, ports in use, databases that are not there.

use std::net::TcpListener;
use std::time::Duration;

use super::super::trial::Trial;
use crate::support::database::Kind;
use crate::support::http::try_get;
use crate::support::postgres::Cluster;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, rest, wait_for, within};

/// Mistakes of a configuration, and the key that the refusal has to name.
const MISTAKES: [(&str, &str); 16] = [
    ("colour = 1", "colour"),
    ("retry.max_retrys = 3", "retry.max_retrys"),
    ("actors.validators = 0", "actors.validators"),
    ("actors.persisters = \"two\"", "actors.persisters"),
    ("actors.mailbox = -1", "actors.mailbox"),
    ("timeouts.flush = \"soon\"", "timeouts.flush"),
    ("timeouts.flush = \"1h\"", "timeouts.flush"),
    ("timeouts.shutdown = 30", "timeouts.shutdown"),
    ("lease = { duration = \"1s\", poll = \"2s\" }", "lease.poll"),
    ("lease.duration = \"0s\"", "lease.duration"),
    ("http.bind = \"localhost\"", "http.bind"),
    ("http.connections = 0", "http.connections"),
    ("database.pool = 0", "database.pool"),
    ("database.url = \"mysql://localhost/events\"", "database.url"),
    ("pipeline.in_flight_bytes = \"many\"", "pipeline.in_flight_bytes"),
    ("log.level = \"loud\"", "log.level"),
];

/// How many of them at once.
const AT_ONCE: usize = 3;

/// A start with mistakes in its configuration ends, with a line for each of them that names its key.
pub fn of_mistakes(trial: &mut Trial) {
    let database = trial.fresh_database();
    for (text, key) in MISTAKES {
        expect_refusal(trial, Setup::new(&database).with_config(text), &[key]);
    }
    for _ in 0..trial.pick(4, 20) {
        let mistakes: Vec<_> = (0..AT_ONCE).map(|_| trial.dice.one_of(&MISTAKES)).collect();
        let setup = mistakes.iter().fold(Setup::new(&database), |setup, (text, _)| setup.with_config(text));
        // A later mistake in the same key, or in the key's section, takes the earlier one's place.
        let keys = keys_that_stand(&mistakes);
        expect_refusal(trial, setup, &keys);
    }
}

/// Ports that are taken, folders that cannot be made, and databases that are not there or are closed to us.
pub fn of_what_is_not_there(trial: &mut Trial) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = listener.local_addr().expect("it is bound");
    let setup = |trial: &Trial, text: &str| Setup::new(&trial.fresh_database()).with_config(text);
    for key in ["http.bind", "dashboard.bind"] {
        let setup = setup(trial, &format!("{key} = \"{taken}\""));
        expect_refusal(trial, setup, &[key]);
    }
    let no_folder = setup(trial, "data_dir = \"/proc/gristmill\"");
    expect_refusal(trial, no_folder, &["data_dir"]);
    for url in urls_of_nothing(trial) {
        let nothing = setup(trial, &format!("database.url = {url:?}"));
        expect_refusal(trial, nothing, &["database.url"]);
    }
}

fn urls_of_nothing(trial: &Trial) -> [String; 2] {
    match trial.kind {
        Kind::Sqlite => ["sqlite:///proc/gristmill.db".to_owned(), "sqlite:///proc".to_owned()],
        Kind::Postgres => {
            let url = trial.fresh_database().url().to_owned();
            let (server, name) = url.rsplit_once('/').expect("a URL ends in a name");
            let host = server.rsplit('@').next().expect("a URL names a host");
            [format!("{server}/nowhere"), format!("postgres://nobody:wrong@{host}/{name}")]
        }
    }
}

/// A start while PostgreSQL cannot be reached keeps trying, says that it is not ready, and becomes ready.
pub fn of_an_unreachable_database(trial: &mut Trial) {
    let cluster = Cluster::start();
    let database = trial.fresh_database_in(&cluster);
    let mut server = Server::start(trial.setup(&database));
    server.terminate();
    server.wait_exit(SOON);
    cluster.stop_immediate();
    server.spawn();
    server.await_ports();
    let address = server.ports().dashboard().expect("it listens");
    let readiness = || try_get(address, "/health/ready").map(|answer| answer.status);
    let not_ready = || (readiness() == Some(503)).then_some(());
    wait_for("the server to be not ready", SOON, not_ready, || server.log_tail());
    rest(trial.pick(Duration::from_secs(2), Duration::from_secs(20)));
    trial.expect(server.is_running(), || format!("the server gave up: {}", server.log_tail()));
    cluster.start_again();
    let ready = || (readiness() == Some(200)).then_some(());
    wait_for("the server to be ready", SOON, ready, || server.log_tail());
}

/// The keys of the mistakes that no later one lies over.
fn keys_that_stand<'a>(mistakes: &[(&str, &'a str)]) -> Vec<&'a str> {
    let section = |key: &str| key.split('.').next().unwrap_or_default().to_owned();
    let is_last =
        |place: usize, key: &str| !mistakes[place + 1..].iter().any(|(_, later)| section(later) == section(key));
    let standing = mistakes.iter().enumerate().filter(|(place, (_, key))| is_last(*place, key));
    standing.map(|(_, (_, key))| *key).collect()
}

fn expect_refusal(trial: &mut Trial, setup: Setup, names: &[&str]) {
    let mut server = Server::not_started(setup);
    server.spawn();
    let status = server.wait_exit(SOON);
    let told = || names.iter().all(|name| server.log().lines().any(|line| line.contains(name))).then_some(());
    // The pipe is read by a thread of its own, which may be behind the process's end.
    let is_told = within(Duration::from_secs(2), told).is_some();
    trial.expect(!status.success(), || format!("{names:?}: {status}"));
    trial.expect(is_told, || format!("no line names {names:?}: {}", server.log_tail()));
}
