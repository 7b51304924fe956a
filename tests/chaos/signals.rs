//! SIGTERM: once, twice, and with a client that never takes its answer.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::kills::await_more;
use super::trial::Trial;
use crate::support::http::Client;
use crate::support::load::{Load, Plan};
use crate::support::server::Server;
use crate::support::wait::{SOON, rest, wait_for, within};
use crate::support::wire::Connection;

/// Short enough for a client that is stuck to be waited out.
const CONFIG: &str = "timeouts.shutdown = \"3s\"";

/// Beyond `timeouts.shutdown`, on a busy machine.
const STOPPED: Duration = Duration::from_secs(15);

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Once,
    Twice,
    WithStuckClient,
}

/// Row 2: stops under load, one after the other.
pub fn stops(trial: &mut Trial) {
    let database = trial.fresh_database();
    let mut server = Server::start(trial.setup(&database).with_config(CONFIG));
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 8).keyless(2));
    let all = [Stop::Once, Stop::Twice, Stop::WithStuckClient];
    for round in 0..trial.pick(3, 9) {
        await_more(&load, usize::try_from(trial.dice.between(20, 200)).expect("small"), &server);
        stop(trial, &mut server, all[round % all.len()]);
        let claimed = database.texts("SELECT CAST(id AS TEXT) FROM events WHERE lease_boot IS NOT NULL");
        trial.expect(claimed.is_empty(), || format!("a stopped server still claims {claimed:?}"));
        let began = Instant::now();
        server.restart();
        trial.recovered_in(began.elapsed());
    }
    await_more(&load, 1, &server);
    trial.judge(&database, &mut [&mut server], &load.stop());
}

fn stop(trial: &mut Trial, server: &mut Server, how: Stop) {
    let stuck = (how == Stop::WithStuckClient).then(|| stuck_client(server));
    let dashboard = server.dashboard();
    let began = Instant::now();
    server.terminate();
    if stuck.is_some() {
        // It is the client that keeps the server up for so long that its readiness can be seen.
        await_not_ready(&dashboard, server);
    }
    if how == Stop::Twice {
        rest(Duration::from_millis(trial.dice.below(50)));
        // The first one may have been enough.
        crate::support::run::try_signal(server.pid(), "TERM");
    }
    let status = server.wait_exit(SOON);
    let took = began.elapsed();
    trial.expect(took < STOPPED, || format!("stopped {how:?} after {took:?}"));
    trial.expect(status.success(), || format!("stopped {how:?} with {status}\n{}", server.log_tail()));
}

/// Not ready, before it stops; a server that is gone would refuse.
fn await_not_ready(dashboard: &Client, server: &Server) {
    let address = dashboard.base().trim_start_matches("http://").parse().expect("an address");
    let look = || {
        let mut connection = Connection::open_within(address, SOON).ok()?;
        connection.send(b"GET /health/ready HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
        connection.answer().ok().map(|answer| answer.status)
    };
    wait_for("a server that is not ready", SOON, || (look() == Some(503)).then_some(()), || server.log_tail());
}

/// A client that has sent a part of its request and says nothing more.
fn stuck_client(server: &mut Server) -> TcpStream {
    use std::io::Write;
    let token = server.token();
    let connect = || TcpStream::connect(server.address()).ok();
    let mut stream = within(SOON, connect).expect("the server takes connections");
    let head = format!(
        "POST /api/v1/events HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).expect("the server reads");
    stream
}
