//! Row 10: disks run full under load, and are freed again.

use std::time::Instant;

use super::super::kills::await_more;
use super::super::trial::Trial;
use super::probe::Probe;
use crate::support::database::{Database, Kind};
use crate::support::http::Client;
use crate::support::load::{Load, Plan, is_spooled};
use crate::support::machine::disk::SmallDisk;
use crate::support::postgres::Cluster;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// Gives up on a write soon, so that the answers of a full disk are seen soon.
const IMPATIENT: &str = "timeouts = { accept = \"2s\", flush = \"1s\" }";

/// The disk of the data: SQLite's file with its log, or a tablespace of PostgreSQL.
pub fn of_data(trial: &mut Trial) {
    let disk = SmallDisk::new("96M");
    let cluster = (trial.kind == Kind::Postgres).then(Cluster::start);
    let database = match &cluster {
        Some(cluster) => Database::at(cluster.fresh_database_on(disk.path())),
        None => Database::sqlite_in(disk.path()),
    };
    let mut server = Server::start(trial.setup(&database).with_config(IMPATIENT));
    fill_and_free(trial, &mut server, &disk, || ());
}

/// The disk of PostgreSQL's cluster, write-ahead log and all: PostgreSQL may stop, and is started again when there is
/// room.
pub fn of_the_write_ahead_log(trial: &mut Trial) {
    let disk = SmallDisk::new("192M");
    let cluster = Cluster::start_on_disk(disk.path());
    let database = trial.fresh_database_in(&cluster);
    let mut server = Server::start(trial.setup(&database).with_config(IMPATIENT));
    fill_and_free(trial, &mut server, &disk, || cluster.start_again());
}

/// The disk of the spool, while the database is away: nothing more is promised until there is room, and what was
/// promised stays.
pub fn of_the_spool(trial: &mut Trial) {
    let disk = SmallDisk::new("32M");
    let data = disk.path().join("data");
    std::fs::create_dir(&data).expect("the disk is ours");
    let cluster = Cluster::start();
    let database = trial.fresh_database_in(&cluster);
    let mut server = Server::start(trial.setup(&database).with_config(IMPATIENT).with_data(data));
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    await_more(&load, 50, &server);
    cluster.stop_immediate();
    let mut probe = Probe::new(server.client());
    probe.await_answer(&server, is_spooled);
    disk.fill();
    let answer = probe.await_answer(&server, |answer| answer.status == 503);
    trial.expect(answer.json()["retryable"] == true, || format!("a full disk gets {answer:?}"));
    disk.free();
    let began = Instant::now();
    probe.await_answer(&server, is_spooled);
    trial.recovered_in(began.elapsed());
    cluster.start_again();
    await_more(&load, 50, &server);
    trial.judge(&database, &mut [&mut server], &probe.added_to(&load.stop()));
}

/// The disk of the service's own log: nothing else may notice.
pub fn of_the_log(trial: &mut Trial) {
    let disk = SmallDisk::new("4M");
    let log = disk.path().join("log");
    let database = trial.fresh_database();
    let redirect = format!("exec \"$@\" 2>>'{}' >&2", log.display());
    let setup = trial.setup(&database).with_wrapper(["sh", "-c", redirect.as_str(), "sh"]);
    let mut server = Server::start(setup);
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    await_more(&load, 50, &server);
    disk.fill();
    let length = || std::fs::metadata(&log).expect("the log is there").len();
    let full = length();
    await_more(&load, 200, &server);
    trial.expect(length() < full + 4096, || "the log grew on a full disk".to_owned());
    disk.free();
    await_more(&load, 50, &server);
    let ledger = load.stop();
    let refused = ledger.counts().1;
    trial.expect(refused == 0, || format!("{refused} events were refused because the log could not be written"));
    trial.judge(&database, &mut [&mut server], &ledger);
}

/// Fills the disk under load until the service refuses or falls back on its spool, frees it, and expects that the service goes on by itself.
fn fill_and_free(trial: &mut Trial, server: &mut Server, disk: &SmallDisk, freed: impl FnOnce()) {
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    await_more(&load, 50, server);
    let pid = server.pid();
    disk.fill();
    let mut probe = Probe::new(server.client());
    let answer = probe.await_answer(server, |answer| answer.status == 503 || is_spooled(answer));
    let is_clear = is_spooled(&answer) || answer.json()["retryable"] == true;
    trial.expect(is_clear, || format!("a full disk gets {answer:?}"));
    let nobody = Client::new(server.address(), None);
    let live = nobody.get("/health/live").status;
    trial.expect(live == 200, || format!("on a full disk /health/live is {live}"));
    if trial.kind == Kind::Sqlite {
        // PostgreSQL can still note a heartbeat, which takes no room.
        let not_ready = || (nobody.get("/health/ready").status == 503).then_some(());
        wait_for("a full disk to be told", SOON, not_ready, || server.log_tail());
    }
    disk.free();
    freed();
    let began = Instant::now();
    await_more(&load, 50, server);
    trial.recovered_in(began.elapsed());
    trial.expect(server.pid() == pid, || "the service was restarted".to_owned());
    let database = server.database().clone();
    trial.judge(&database, &mut [server], &probe.added_to(&load.stop()));
}
