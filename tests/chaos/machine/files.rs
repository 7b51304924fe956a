//! Row 12: SQLite's file is taken away, made read-only, or damaged.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::super::kills::await_more;
use super::super::trial::Trial;
use super::probe::Probe;
use crate::support::database::Database;
use crate::support::http::Client;
use crate::support::load::{Load, Plan};
use crate::support::machine::disk::SmallDisk;
use crate::support::run;
use crate::support::server::Server;
use crate::support::wait::{SOON, wait_for};

/// Gives up on a write soon, so that the answers without a file are seen soon.
const IMPATIENT: &str = "timeouts = { accept = \"2s\", flush = \"1s\" }";

/// The parts of a database: its file, the log of writes and that log's index.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];

/// Bytes of the file without which it cannot be read: in the magic words, the page size, the format, the first
/// page's own header, and the number of its cells.
const VITAL: [u64; 5] = [3, 16, 19, 100, 104];

/// The file is moved away under load: nothing is acknowledged, no other file is made, and no start goes through until
/// it is back.
pub fn removed(trial: &mut Trial) {
    let mut server = Server::start(trial.setup(&trial.fresh_database()).with_config(IMPATIENT));
    let database = server.database().clone();
    let file = path_of(&database);
    let away = run::folder("away").join("gristmill.db");
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    await_more(&load, 50, &server);
    let mut probe = Probe::new(server.client());
    move_parts(&file, &away);
    probe.await_status(503, &server);
    await_not_ready(&server, "gristmill.db");
    server.kill9();
    let text = refusal(&mut server);
    trial.expect(text.contains("is missing"), || format!("without its file a start says {text}"));
    trial.expect(!file.exists(), || "an empty database was made over data".to_owned());
    move_parts(&away, &file);
    server.restart();
    await_more(&load, 50, &server);
    trial.judge(&database, &mut [&mut server], &probe.added_to(&load.stop()));
}

/// The file's disk becomes read-only under load, and a start comes upon it.
pub fn read_only(trial: &mut Trial) {
    let disk = SmallDisk::new("64M");
    let database = Database::sqlite_in(disk.path());
    let mut server = Server::start(trial.setup(&database).with_config(IMPATIENT));
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    await_more(&load, 50, &server);
    let mut probe = Probe::new(server.client());
    server.kill9();
    disk.set_read_only(true);
    let text = refusal(&mut server);
    trial.expect(text.contains("gristmill.db"), || format!("on a read-only disk a start says {text}"));
    disk.set_read_only(false);
    server.restart();
    probe.follow(server.client());
    probe.await_status(202, &server);
    await_more(&load, 50, &server);
    trial.judge(&database, &mut [&mut server], &probe.added_to(&load.stop()));
}

/// A vital byte is flipped: the start is refused with a text that names the file, and the file is left as it is.
pub fn damaged(trial: &mut Trial) {
    let mut server = Server::start(trial.setup(&trial.fresh_database()));
    let database = server.database().clone();
    let file = path_of(&database);
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    await_more(&load, 100, &server);
    let ledger = load.stop();
    // An orderly end writes the log of writes into the file, where the bytes are to be flipped.
    server.terminate();
    server.wait_exit(SOON);
    trial.expect(!fs::exists(with_suffix(&file, "-wal")).is_ok_and(|there| there), || "the log is left".to_owned());
    for place in VITAL {
        let whole = fs::read(&file).expect("the file is there");
        flip(&file, place);
        let hurt = fs::read(&file).expect("the file is there");
        server.spawn();
        let text = refusal_of_started(&mut server);
        trial.expect(text.contains("gristmill.db"), || format!("with byte {place} flipped a start says {text}"));
        trial.expect(fs::read(&file).is_ok_and(|now| now == hurt), || format!("byte {place}: the file was changed"));
        fs::write(&file, whole).expect("the folder is ours");
        remove_leftovers(&file);
    }
    server.restart();
    trial.judge(&database, &mut [&mut server], &ledger);
}

fn path_of(database: &Database) -> PathBuf {
    database.url().trim_start_matches("sqlite://").into()
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", file.display()).into()
}

fn move_parts(from: &Path, to: &Path) {
    for part in PARTS.map(|suffix| (with_suffix(from, suffix), with_suffix(to, suffix))) {
        if part.0.exists() {
            fs::rename(part.0, part.1).expect("both folders are ours");
        }
    }
}

fn remove_leftovers(file: &Path) {
    for part in &PARTS[1..] {
        // Only a start that came so far has made them.
        let _ = fs::remove_file(with_suffix(file, part));
    }
}

fn flip(file: &Path, place: u64) {
    let file = File::options().read(true).write(true).open(file).expect("the file is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).expect("the file is long enough");
    file.write_all_at(&[!byte[0]], place).expect("the folder is ours");
}

fn await_not_ready(server: &Server, reason: &str) {
    let client = Client::new(server.address(), None);
    let ready = || client.get("/health/ready");
    let told = || Some(ready()).filter(|answer| answer.status == 503 && answer.body.contains(reason));
    wait_for("the server to be not ready", SOON, told, || format!("{:?}\n{}", ready(), server.log_tail()));
}

/// What a start says that has to end by itself.
fn refusal(server: &mut Server) -> String {
    server.spawn();
    refusal_of_started(server)
}

fn refusal_of_started(server: &mut Server) -> String {
    let before = server.log().len();
    let status = server.wait_exit(SOON);
    assert!(!status.success(), "{status}: {}", server.log_tail());
    wait_for("a reason", SOON, || (server.log().len() > before).then_some(()), || status.to_string());
    server.log()[before..].to_owned()
}
