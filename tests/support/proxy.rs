//! A TCP proxy in front of PostgreSQL that loses, delays, swallows and resets what a test tells it to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;

use super::run::lock;
use super::wait::rest;

/// What the client sends last in a transaction; a NUL ends it, and no text that it stores holds one.
const COMMIT: &[u8] = b"COMMIT\0";

/// What becomes of the answer to one COMMIT, which the server has carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The connection is cut; the next one works.
    Cut,
    /// The connection stays open and silent.
    Silence,
    /// The connection is cut, and so is every other from now on, until [`Proxy::restore`].
    CutForGood,
}

/// What the proxy does with what it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// It passes.
    #[default]
    Pass,
    /// It passes later, each way.
    Delay(Duration),
    /// It is taken and forwarded to nobody: a half-open connection. What was swallowed is lost, so a connection that
    /// swallowed something stays silent for good.
    Swallow,
    /// New connections are closed at once.
    Refuse,
}

/// A running proxy. Connections pass until a test says otherwise.
#[derive(Clone, Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Where new connections lead to, `host:port`.
    server: String,
    way: Way,
    /// The answer that is to be lost.
    awaited: Option<Awaited>,
    lost: usize,
    passing: Vec<Passing>,
}

/// A transaction, known by a text in it, and what is to become of the answer that tells its end.
#[derive(Debug)]
struct Awaited {
    text: String,
    /// Whether the text stands in a statement that is a transaction of its own.
    is_statement: bool,
    loss: Loss,
}

/// One client's connection: what it sent since its last COMMIT, and whether the next answer is lost.
#[derive(Debug, Default)]
struct Lane {
    sent: Vec<u8>,
    loss: Option<Loss>,
    /// Whether some of it was swallowed.
    is_mute: bool,
    /// Whether it is to end in a reset: then nobody may say goodbye.
    is_reset: bool,
}

/// A connection that passes.
#[derive(Debug)]
struct Passing {
    streams: [TcpStream; 2],
    lane: Arc<Mutex<Lane>>,
}

impl Proxy {
    /// Starts a proxy in front of `server` (`host:port`).
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = State { server: server.to_owned(), ..State::default() };
        let proxy = Self { address, state: Arc::new(Mutex::new(state)) };
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                accepting.connect(client);
            }
        });
        proxy
    }

    /// A proxy in front of the server of this `postgres://user@host:port/name`, and the URL that leads through it.
    pub fn in_front_of(url: &str) -> (Self, String) {
        let (head, rest) = url.split_once('@').expect("the URL names a user");
        let (server, name) = rest.split_once('/').expect("the URL names a database");
        let proxy = Self::start(server);
        let through = format!("{head}@{}/{name}", proxy.address);
        (proxy, through)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses the answer to the next COMMIT of a transaction whose statements carry `text`.
    pub fn lose_answer_to_commit_of(&self, text: &str, loss: Loss) {
        lock(&self.state).awaited = Some(Awaited { text: text.to_owned(), is_statement: false, loss });
    }

    /// Loses the answer to the next statement that carries `text` and is a transaction of its own.
    pub fn lose_answer_to_statement_of(&self, text: &str, loss: Loss) {
        lock(&self.state).awaited = Some(Awaited { text: text.to_owned(), is_statement: true, loss });
    }

    /// How many answers were lost.
    pub fn lost(&self) -> usize {
        lock(&self.state).lost
    }

    /// Leads new connections to another server; those that are open stay where they are.
    pub fn switch_to(&self, server: SocketAddr) {
        lock(&self.state).server = server.to_string();
    }

    /// Cuts every connection and refuses new ones.
    pub fn refuse(&self) {
        self.set(Way::Refuse);
        self.cut();
    }

    /// Lets connections pass again.
    pub fn restore(&self) {
        self.set(Way::Pass);
    }

    /// Does this with everything from now on.
    pub fn set(&self, way: Way) {
        lock(&self.state).way = way;
    }

    /// Closes every connection.
    pub fn cut(&self) {
        for Passing { streams: [client, server], .. } in self.take_passing() {
            close(&client, &server);
        }
    }

    /// Resets every connection, both ways.
    pub fn reset(&self) {
        for Passing { streams, lane } in self.take_passing() {
            lock(&lane).is_reset = true;
            for stream in streams {
                // Without a linger the last close is a reset; whoever reads is woken for it. It may be closed already.
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                let _ = stream.shutdown(Shutdown::Read);
            }
        }
    }

    /// The connections, without the lock of the state: a lane's lock is taken before it, never after.
    fn take_passing(&self) -> Vec<Passing> {
        std::mem::take(&mut lock(&self.state).passing)
    }

    fn connect(&self, client: TcpStream) {
        let (way, server) = {
            let state = lock(&self.state);
            (state.way, state.server.clone())
        };
        if way == Way::Refuse {
            return;
        }
        let Ok(server) = TcpStream::connect(server) else {
            return;
        };
        let lane = Arc::new(Mutex::new(Lane::default()));
        let mut state = lock(&self.state);
        // A server that is not at work lets the caller wait, and the way may have changed meanwhile.
        if state.way == Way::Refuse {
            return;
        }
        state.passing.push(Passing { streams: both_of(&client, &server), lane: Arc::clone(&lane) });
        drop(state);
        // The driver sends small messages one by one and waits for each. A client may be gone already.
        let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
        let requests = self.clone();
        let answers = self.clone();
        let [client_too, server_too] = both_of(&client, &server);
        let lane_too = Arc::clone(&lane);
        std::thread::spawn(move || requests.forward_requests(client, server, &lane));
        std::thread::spawn(move || answers.forward_answers(server_too, client_too, &lane_too));
    }

    fn forward_requests(&self, mut client: TcpStream, mut server: TcpStream, lane: &Mutex<Lane>) {
        let mut buffer = vec![0; 64 << 10];
        while let Some(read) = client.read(&mut buffer).ok().filter(|read| *read > 0) {
            self.watch(&buffer[..read], &mut lock(lane));
            if self.lets_pass(lane) && server.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        end(&client, &server, lane);
    }

    fn forward_answers(&self, mut server: TcpStream, mut client: TcpStream, lane: &Mutex<Lane>) {
        let mut buffer = vec![0; 64 << 10];
        while let Some(read) = server.read(&mut buffer).ok().filter(|read| *read > 0) {
            if !self.lets_pass(lane) {
                continue;
            }
            let loss = lock(lane).loss;
            match loss {
                None if client.write_all(&buffer[..read]).is_ok() => {}
                Some(Loss::Silence) => self.note_lost(),
                Some(Loss::CutForGood) => {
                    self.note_lost();
                    self.refuse();
                }
                Some(Loss::Cut) => {
                    self.note_lost();
                    break;
                }
                None => break,
            }
        }
        end(&client, &server, lane);
    }

    /// Whether what was read now is forwarded; it may have to wait first.
    fn lets_pass(&self, lane: &Mutex<Lane>) -> bool {
        let way = lock(&self.state).way;
        if let Way::Delay(time) = way {
            rest(time);
        }
        let mut lane = lock(lane);
        lane.is_mute |= way == Way::Swallow;
        !lane.is_mute
    }

    /// Notes whether the answer to what was sent now is to be lost.
    fn watch(&self, bytes: &[u8], lane: &mut Lane) {
        if lock(&self.state).awaited.is_none() {
            return lane.sent.clear();
        }
        lane.sent.extend_from_slice(bytes);
        let is_commit = contains(&lane.sent, COMMIT);
        let is_meant = |awaited: &mut Awaited| {
            (is_commit || awaited.is_statement) && contains(&lane.sent, awaited.text.as_bytes())
        };
        if let Some(awaited) = lock(&self.state).awaited.take_if(is_meant) {
            lane.loss = Some(awaited.loss);
        }
        if is_commit {
            lane.sent.clear();
        }
    }

    fn note_lost(&self) {
        lock(&self.state).lost += 1;
    }
}

fn both_of(client: &TcpStream, server: &TcpStream) -> [TcpStream; 2] {
    [client, server].map(|stream| stream.try_clone().expect("a socket can be shared"))
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Ends a connection of which one side is gone.
fn end(client: &TcpStream, server: &TcpStream, lane: &Mutex<Lane>) {
    if !lock(lane).is_reset {
        close(client, server);
    }
}

fn close(client: &TcpStream, server: &TcpStream) {
    for stream in [client, server] {
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
