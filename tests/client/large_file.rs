//! A large file, and `kill -9` of the server and of the client while it is imported: each event once, in memory that does
//! not grow with the file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{ended, rows, server_with_pace, started};
use crate::support::run::lock;
use crate::support::server::{Server, resident};
use crate::support::wait::{rest_until, wait_for};

/// The variable that gives the number of events: `GRISTMILL_IMPORT_EVENTS=1000000 ./test large_file`.
const EVENTS: &str = "GRISTMILL_IMPORT_EVENTS";
const EVENTS_SHORT: u64 = 20_000;

/// So few events in a batch, and so few requests in a second, make the short form long enough for two deaths.
const REQUESTS_SHORT: u32 = 200;
const UNBOUNDED: u32 = 1_000_000;
const SHORT: [&str; 6] = ["import", "a.ndjson", "--batch", "20", "--connections", "2"];
const LONG: [&str; 2] = ["import", "a.ndjson"];

/// Parts of the file after which the server dies, and the client.
const SERVER_DIES_AT: u64 = 8;
const CLIENT_DIES_AT: u64 = 4;

/// How long each part may take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The most memory in the second half may be that of the first and a quarter, and some buffers.
const GROWTH: (u64, u64) = (5, 4);
const BUFFERS_BYTES: u64 = 16 << 20;

/// A process whose memory is looked at, under the id that it has at the time.
#[derive(Default)]
struct Watched {
    pid: Mutex<Option<u32>>,
    seen: Mutex<Vec<u64>>,
}

impl Watched {
    fn is(&self, pid: Option<u32>) {
        *lock(&self.pid) = pid;
    }

    fn look(&self) {
        let pid = *lock(&self.pid);
        // It may have ended a moment ago.
        lock(&self.seen).extend(pid.and_then(resident));
    }

    /// The most memory in the first half of the looks, and in the second.
    fn halves(&self) -> (u64, u64) {
        let seen = lock(&self.seen);
        let (first, second) = seen.split_at(seen.len() / 2);
        let most = |half: &[u64]| half.iter().max().copied().unwrap_or_default();
        (most(first), most(second))
    }
}

fn write(server: &Server, events: u64) {
    let file = File::create(server.data().join("a.ndjson")).expect("the folder is ours");
    let mut file = BufWriter::new(file);
    for number in 0..events {
        writeln!(
            file,
            r#"{{"event_name":"n{number}","event_type":"engagement","payload":{{"page":"/pages/{number}","duration":45.5,"text":"{:0200}"}}}}"#,
            number
        )
        .expect("the disk takes it");
    }
    file.flush().expect("the disk takes it");
}

/// Waits until so many events are known to be stored.
fn await_done(server: &Server, events: u64) {
    let path = server.data().join("a.ndjson.gristmill-import");
    let done = || {
        let state: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).ok()?).ok()?;
        state["done"].as_u64().filter(|done| *done >= events)
    };
    let state = || format!("{:?}\n{}", std::fs::read_to_string(&path), server.log_tail());
    wait_for(&format!("{events} events to be done"), PATIENCE, done, state);
}

both_databases! {
    fn each_event_of_a_large_file_is_stored_once_though_server_and_client_are_killed(database) {
        let given = std::env::var(EVENTS).ok().map(|text| text.parse().expect("a number of events"));
        let events = given.unwrap_or(EVENTS_SHORT);
        let command = if given.is_some() { &LONG[..] } else { &SHORT };
        let mut server = server_with_pace(&database, if given.is_some() { UNBOUNDED } else { REQUESTS_SHORT });
        write(&server, events);
        let of_server = Watched::default();
        let of_client = Watched::default();
        let is_over = AtomicBool::new(false);
        let began = Instant::now();
        std::thread::scope(|scope| {
            // Set also if the test fails in between: the thread would be waited for without end.
            let _over = Over(&is_over);
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    of_server.look();
                    of_client.look();
                    rest_until(Instant::now() + LOOK_EVERY, &is_over);
                }
            });
            of_server.is(Some(server.pid()));
            let (mut client, guard) = started(server.setup(), command);
            of_client.is(Some(client.id()));
            await_done(&server, events / SERVER_DIES_AT);
            of_server.is(None);
            server.kill9();
            server.restart();
            of_server.is(Some(server.pid()));
            await_done(&server, events / CLIENT_DIES_AT);
            assert_eq!(client.try_wait().expect("a child can be waited for"), None, "it ended too soon");
            of_client.is(None);
            client.kill().expect("a child takes a signal");
            client.wait().expect("a child can be waited for");
            drop(guard);
            let (client, _guard) = started(server.setup(), command);
            of_client.is(Some(client.id()));
            let said = ended(&client.wait_with_output().expect("a child can be waited for"), 0);
            of_client.is(None);
            assert!(said.err.contains("going on behind the first"), "{}", said.err);
            assert!(said.out.contains(&format!("{events} stored")), "{}", said.out);
        });
        let seconds = began.elapsed().as_secs_f64();
        let expected = usize::try_from(events).expect("it fits");
        assert_eq!(rows(&server, "processed"), expected);
        let counts = "SELECT CAST(COUNT(*) AS TEXT) || ' ' || CAST(COUNT(DISTINCT event_name) AS TEXT) FROM events";
        assert_eq!(server.database().texts(counts), [format!("{events} {events}")], "none is missing, none is there twice");
        assert!(!server.data().join("a.ndjson.gristmill-import").exists(), "the state is removed");
        for (name, watched) in [("server", of_server), ("client", of_client)] {
            let (first, second) = watched.halves();
            println!("{:?}, {events} events, {seconds:.1} s: {name} at most {first} bytes, then {second}", database.kind());
            assert!(first > 0 && second <= first / GROWTH.1 * GROWTH.0 + BUFFERS_BYTES, "{name}: {first} bytes, then {second}");
        }
    }
}

/// Sets a sign when dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
