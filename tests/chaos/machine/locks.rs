//! Row 11: another process holds SQLite's file.

use std::fs;
use std::time::{Duration, Instant};

use super::super::kills::await_more;
use super::super::trial::Trial;
use super::probe::Probe;
use crate::support::http::Client;
use crate::support::load::{Load, Plan};
use crate::support::server::Server;
use crate::support::session::Session;
use crate::support::wait::{SOON, rest, wait_for};

/// Gives up on a write soon, so that the answers under a lock are seen soon.
const IMPATIENT: &str = "timeouts = { accept = \"2s\", flush = \"1s\" }";

/// Events per second beside a reader: what is written in ten minutes has to fit on any disk.
const READER_RATE: u32 = 400;

/// What the log of writes may grow to after a reader, beside what it grew to under that reader.
const WAL_SLACK_BYTES: u64 = 4 << 20;

/// A writer keeps the lock: writes end in 503, reads go on, and the service is whole again when the lock is gone.
pub fn by_a_writer(trial: &mut Trial) {
    let mut server = Server::start(trial.setup(&trial.fresh_database()).with_config(IMPATIENT));
    let database = server.database().clone();
    let token = server.token();
    let mut probe = Probe::new(server.client());
    let stored = probe.post().json()["event_id"].clone();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    await_more(&load, 50, &server);

    let writer = wait_for("the lock", SOON, || Session::try_begin(&database, "SELECT 1").ok(), || server.log_tail());
    let until = Instant::now() + trial.pick(Duration::from_secs(3), Duration::from_secs(30));
    let refusal = probe.await_status(503, &server);
    trial.expect(refusal.json()["retryable"] == true, || format!("under a lock a write gets {refusal:?}"));
    while Instant::now() < until {
        for (what, client) in [(format!("/api/v1/events/{stored}"), server.client()), live(&server)] {
            let answer = client.get(&what);
            trial.expect(answer.status == 200, || format!("under a lock {what} gets {answer:?}"));
        }
        rest(Duration::from_millis(200));
    }
    writer.commit();
    let began = Instant::now();
    await_more(&load, 50, &server);
    trial.recovered_in(began.elapsed());
    trial.judge(&database, &mut [&mut server], &probe.added_to(&load.stop()));
}

fn live(server: &Server) -> (String, Client) {
    ("/health/live".to_owned(), Client::new(server.address(), None))
}

/// A reader stays open: writes go on, and the log of writes that grows behind the reader is used again afterwards.
pub fn by_a_reader(trial: &mut Trial) {
    let mut server = Server::start(trial.setup(&trial.fresh_database()));
    let database = server.database().clone();
    let token = server.token();
    let wal = format!("{}-wal", database.url().trim_start_matches("sqlite://"));
    let wal_bytes = || fs::metadata(&wal).map_or(0, |file| file.len());
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2).at_rate(READER_RATE));
    await_more(&load, 50, &server);

    let reader = Session::read(&database, "SELECT COUNT(*) FROM events");
    let before = load.acknowledged();
    let length = Duration::from_secs(trial.pick(5, trial.dice.clone().one_of(&[15, 15, 60, 600])));
    rest(length);
    let written = load.acknowledged() - before;
    trial.expect(written > 0, || "nothing was written beside a reader".to_owned());
    let grown = wal_bytes();
    reader.commit();
    // As much again: a log that still grew would be twice as long.
    let again = || (load.acknowledged() >= before + 2 * written).then_some(());
    wait_for("as many events again", SOON + 4 * length, again, || server.log_tail());
    let after = wal_bytes();
    println!("{grown} bytes beside the reader, {after} in the end");
    trial.expect(after < grown + grown / 2 + WAL_SLACK_BYTES, || {
        format!("the log of writes grew to {grown} bytes beside a reader, and to {after} without")
    });
    trial.judge(&database, &mut [&mut server], &load.stop());
}
