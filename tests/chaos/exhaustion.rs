//! Out of connections: a small pool with many clients, and a PostgreSQL that has none left.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::disturbance::SESSIONS;
use super::scene::Scene;
use super::trial::Trial;
use crate::support::postgres::Cluster;
use crate::support::wait::{rest, within};

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
    let mut hogs = take_all(&scene.cluster);
    let terminate = format!("SELECT COUNT(pg_terminate_backend(pid)) FROM ({SESSIONS}) AS sessions");
    // A way in for this, which is then taken as well.
    drop(hogs.pop());
    let terminated = within(Duration::from_secs(2), || scene.cluster.try_sql("postgres", &terminate).ok());
    trial.expect(terminated.is_some(), || "no session of the service could be ended".to_owned());
    hogs.extend(take_all(&scene.cluster));
    rest(Duration::from_secs(trial.pick(3, 20)));
    hogs.extend(take_all(&scene.cluster));
    drop(hogs);
    scene.recover(trial);
    scene.judge(trial);
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
