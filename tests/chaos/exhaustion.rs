//! Out of connections: a small pool with many clients, and a PostgreSQL that has none left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::disturbance::Disturbance;
use super::scene::Scene;
use super::trial::Trial;
use crate::support::ledger::{Entry, State};
use crate::support::postgres::Cluster;
use crate::support::wait::{SOON, rest, wait_for};

/// Row 9: the smallest pool, and more clients than it could ever serve at once.
pub fn small_pool(trial: &mut Trial) {
    let clients = trial.pick(150, 500);
    let config = "database.pool = 2";
    let mut scene = Scene::start_with(trial, config, |plan| plan.with_connections(clients));
    rest(Duration::from_secs(trial.pick(3, 15)));
    scene.recover(trial);
    scene.judge(trial);
}

/// Row 9b: somebody else takes every connection that PostgreSQL has, those of the service too.
pub fn no_connection_left(trial: &mut Trial) {
    let mut scene = Scene::start(trial);
    let mut hogs = push_out(&mut scene);
    let began = scene.load().elapsed();
    rest(Duration::from_secs(trial.pick(3, 20)));
    let ended = scene.load().elapsed();
    hogs.clear();
    scene.recover(trial);
    let ledger = scene.judge_with(trial, Duration::ZERO);
    let meanwhile = |entry: &&Entry| entry.sent_after > began && entry.sent_after + entry.took < ended;
    let is_stored = |entry: &&Entry| matches!(entry.state, State::Acknowledged(_)) && !entry.is_spooled;
    let stored = ledger.entries().iter().filter(meanwhile).filter(is_stored).count();
    trial.expect(stored == 0, || format!("{stored} events were stored without a connection"));
}

/// Takes the places of the service's sessions, and every other one, while it is cut off.
fn push_out(scene: &mut Scene) -> Vec<TcpStream> {
    Disturbance::Cut.begin(scene);
    let mut hogs = Vec::new();
    let mut in_vain = 0;
    // Sessions that were cut end in their own time.
    let all_taken = || {
        let found = take_all(&scene.cluster);
        in_vain = if found.is_empty() { in_vain + 1 } else { 0 };
        hogs.extend(found);
        (in_vain >= 20).then_some(())
    };
    wait_for("PostgreSQL to have no connection left", SOON, all_taken, || scene.cluster.log());
    Disturbance::Cut.end(scene);
    hogs
}

/// Takes connections until PostgreSQL refuses one.
fn take_all(cluster: &Cluster) -> Vec<TcpStream> {
    std::iter::from_fn(|| hog(cluster)).collect()
}

/// A session that does nothing; `None` when there is none left.
fn hog(cluster: &Cluster) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(cluster.address()).ok()?;
    // The protocol's version 3.0, then names and values, each ended by a NUL.
    let parameters = b"\0\x03\0\0user\0gristmill\0database\0postgres\0\0";
    let length = u32::try_from(parameters.len() + 4).expect("short").to_be_bytes();
    stream.write_all(&[&length[..], parameters].concat()).ok()?;
    let mut kind = [0];
    stream.read_exact(&mut kind).ok()?;
    // `R` asks for or grants authentication, `E` is an error.
    (kind == *b"R").then_some(stream)
}
