//! Row 18: clients that send nothing, or slowly, or never read; the others are served meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::super::kills::await_more;
use super::super::trial::Trial;
use crate::support::load::{Load, Plan};
use crate::support::machine::network::Island;
use crate::support::server::Server;
use crate::support::wait::within;

/// What a slow client is cut off by, all shorter than the default so that the test is short.
const LIMITS: &str = "http = { header_timeout = \"2s\", body_timeout = \"2s\", request_timeout = \"4s\", \
                      answer_timeout = \"4s\", keep_alive = \"4s\" }";

/// When the last slow client has to be cut off: many times the longest limit, since the machine may be busy.
const CUT_WITHIN: Duration = Duration::from_secs(60);

/// Pause between two bytes of a client that drips.
const DRIP_EVERY: Duration = Duration::from_millis(500);

/// Requests that a client sends at once which never reads.
const UNREAD_REQUESTS: usize = 500;

/// How a client is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It connects, and that is all.
    Silent,
    /// Its headers come a byte at a time.
    DripsHeaders,
    /// Its body comes a byte at a time.
    DripsBody,
    /// It asks and asks, and reads no answer.
    NeverReads,
}

const MANNERS: [Manner; 4] = [Manner::Silent, Manner::DripsHeaders, Manner::DripsBody, Manner::NeverReads];

/// A connection of a slow client.
struct SlowClient {
    manner: Manner,
    stream: TcpStream,
    /// What is still to be sent, and how far that is.
    bytes: Vec<u8>,
    sent: usize,
    due: Instant,
    is_cut: bool,
}

/// Slow clients of all manners at once, over a network of the test's own, which has ports enough.
pub fn of_all_manners(trial: &mut Trial) {
    let island = Island::new();
    let bind = format!("http.bind = \"{0}:0\"\ndashboard.bind = \"{0}:0\"", island.inside());
    let setup = trial.setup(&trial.fresh_database()).with_config(LIMITS).with_config(&bind);
    let mut server = Server::start(setup.with_wrapper(island.wrapper()));
    let database = server.database().clone();
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    await_more(&load, 20, &server);
    let began = Instant::now();
    let mut clients = crowd(server.address(), &token, trial.pick(300, 9_000));
    await_more(&load, 20, &server);
    let all_cut = within(CUT_WITHIN, || {
        clients.iter_mut().for_each(SlowClient::go_on);
        clients.iter().all(|client| client.is_cut).then_some(())
    });
    for manner in MANNERS {
        let left = clients.iter().filter(|client| client.manner == manner && !client.is_cut).count();
        trial.expect(all_cut.is_some() || left == 0, || format!("{left} clients that are {manner:?} are not cut off"));
    }
    trial.recovered_in(began.elapsed());
    await_more(&load, 20, &server);
    trial.judge(&database, &mut [&mut server], &load.stop());
}

fn crowd(address: SocketAddr, token: &str, count: usize) -> Vec<SlowClient> {
    let connect = |place: usize| SlowClient::connect(address, token, MANNERS[place % MANNERS.len()]);
    (0..count).map(connect).collect()
}

impl SlowClient {
    fn connect(address: SocketAddr, token: &str, manner: Manner) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nonblocking(true).expect("a socket takes the option");
        let head = format!("POST /api/v1/events HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n");
        let body_head = format!("{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n");
        let (bytes, sent_at_once) = match manner {
            Manner::Silent => (String::new(), 0),
            Manner::DripsHeaders => (format!("{head}X-Long: {}", "x".repeat(1_000)), 0),
            Manner::DripsBody => (format!("{body_head}{}", " ".repeat(900)), body_head.len()),
            Manner::NeverReads => ("GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n".repeat(UNREAD_REQUESTS), 0),
        };
        let bytes = bytes.into_bytes();
        let due = Instant::now();
        let mut client = Self { manner, stream, bytes, sent: 0, due, is_cut: false };
        client.send_up_to(sent_at_once);
        client
    }

    /// Sends what is due, and looks whether the server has cut the connection.
    fn go_on(&mut self) {
        if self.is_cut || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + DRIP_EVERY;
        if self.manner == Manner::NeverReads {
            self.ask_on();
        } else {
            self.send_up_to((self.sent + 1).min(self.bytes.len()));
            self.listen();
        }
    }

    /// Asks until no more requests are taken: the answers fill all buffers on the way.
    fn ask_on(&mut self) {
        self.send_up_to(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.sent = 0;
        }
    }

    fn send_up_to(&mut self, end: usize) {
        while self.sent < end && !self.is_cut {
            match self.stream.write(&self.bytes[self.sent..end]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.is_cut = true,
            }
        }
    }

    /// An answer is read and thrown away; after it the server closes.
    fn listen(&mut self) {
        let mut answer = [0; 4096];
        loop {
            match self.stream.read(&mut answer) {
                Ok(0) => return self.is_cut = true,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.is_cut = true,
            }
        }
    }
}
