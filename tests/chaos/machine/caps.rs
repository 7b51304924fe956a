//! Row 17: too little memory, too few file handles, too few threads.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::kills::await_more;
use super::super::trial::Trial;
use super::is_beyond_us;
use super::probe::Probe;
use crate::support::ledger::{Entry, Ledger, State};
use crate::support::load::{Load, Plan, exchange, note};
use crate::support::machine::limits::{Cage, file_handles};
use crate::support::run;
use crate::support::server::Server;
use crate::support::wait::{SOON, rest, wait_for, within};
use crate::support::wire::Connection;

/// The cap, which has to hold the service and what it has in flight.
const MEMORY: u64 = 256 << 20;

/// A share of the cap, as an operator would set it.
const IN_FLIGHT: &str = "pipeline.in_flight_bytes = \"64MiB\"";

/// A payload near the limit.
const LARGE_BYTES: usize = 1_000_000;

/// Handles of files and sockets, all together.
const HANDLES: u32 = 256;

/// How long it is watched whether a service without handles spins.
const WATCHED: Duration = Duration::from_secs(3);

/// Large events under a memory cap: the service stays, or was killed and loses nothing.
pub fn of_memory(trial: &mut Trial) {
    if is_beyond_us(trial, &[Cage::lacks()]) {
        return;
    }
    let cage = Cage::of_memory(MEMORY);
    let setup = trial.setup(&trial.fresh_database()).with_config(IN_FLIGHT).with_wrapper(cage.wrapper());
    let mut server = Server::start(setup);
    let database = server.database().clone();
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    let large =
        large_events(&mut server, trial.pick(16, 32), trial.pick(Duration::from_secs(3), Duration::from_secs(20)));
    if !server.is_running() {
        println!("killed under its cap, which was reached {} times", cage.times_full());
        server.restart();
    }
    await_more(&load, 50, &server);
    let ledger = load.stop();
    let all = ledger.entries().iter().cloned().chain(large).collect();
    trial.judge(&database, &mut [&mut server], &Ledger::new(all));
}

/// Posts large events over so many connections for this long.
fn large_events(server: &mut Server, connections: usize, length: Duration) -> Vec<Entry> {
    let address = server.address();
    let token = server.token();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let post = || {
            let mut entries = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let mut entry = Entry::sent(format!("load-large-{}", run::number()), false);
                let Ok(mut connection) = Connection::open(address) else { break };
                match exchange(&mut connection, &large_body(&entry.key), &token) {
                    Ok(answer) => note(&mut entry, &answer),
                    Err(_) => entry.state = State::Unknown,
                }
                entries.push(entry);
            }
            entries
        };
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(post)).collect();
        rest(length);
        is_over.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().expect("a client thread ran through")).collect()
    })
}

fn large_body(mark: &str) -> String {
    let filler = "x".repeat(LARGE_BYTES);
    format!(
        r#"{{"event_name":"page_view","event_type":"engagement","payload":{{"page":"/{mark}","duration":45.5,"filler":"{filler}"}}}}"#
    )
}

/// More connections than handles: the service neither ends nor spins, and takes events again when they are gone.
pub fn of_file_handles(trial: &mut Trial) {
    let setup = trial.setup(&trial.fresh_database()).with_wrapper(file_handles(HANDLES));
    let mut server = Server::start(setup);
    let database = server.database().clone();
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2).with_deadline(Duration::from_secs(10)));
    await_more(&load, 50, &server);
    let before = load.stop();
    let crowd: Vec<TcpStream> = (0..2 * HANDLES).filter_map(|_| TcpStream::connect(server.address()).ok()).collect();
    let used = within(SOON, || Some(handles_of(&server)).filter(|used| *used + 8 >= HANDLES as usize));
    trial.expect(used.is_some(), || format!("only {} handles are used", handles_of(&server)));
    let cpu = cpu_seconds(&server);
    let began = Instant::now();
    rest(WATCHED);
    let share = (cpu_seconds(&server) - cpu) / began.elapsed().as_secs_f64();
    trial.expect(share < 0.5, || format!("without handles the service spins: {share:.2} of a processor"));
    trial.expect(server.is_running(), || "the service has ended".to_owned());
    drop(crowd);
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    let began = Instant::now();
    await_more(&load, 50, &server);
    trial.recovered_in(began.elapsed());
    let after = load.stop();
    let all = before.entries().iter().chain(after.entries()).cloned().collect();
    trial.judge(&database, &mut [&mut server], &Ledger::new(all));
}

/// An actor dies while no thread is to be had: the service loses nothing, and is whole when there are threads again.
pub fn of_threads(trial: &mut Trial) {
    if is_beyond_us(trial, &[Cage::lacks()]) {
        return;
    }
    let cage = Cage::of_threads(1_000);
    let fault = "[[faults]]\nstage = \"normalizer\"\naction = \"crash\"\ntimes = 2";
    let setup = trial.setup(&trial.fresh_database()).with_config(fault).with_wrapper(cage.wrapper());
    let mut server = Server::start(setup);
    let database = server.database().clone();
    await_all_threads(&cage);
    // Fewer than there are: an actor that dies frees one.
    cage.limit_threads(1);
    let mut probe = Probe::new(server.client());
    let token = server.token();
    let load = Load::of(Plan::new(server.ports(), &token, 4).keyless(2));
    let refused = within(SOON, || (cage.refused_threads() > 0).then_some(()));
    trial.expect(refused.is_some(), || "no thread was asked for".to_owned());
    rest(trial.pick(Duration::from_secs(1), Duration::from_secs(10)));
    cage.limit_threads(1_000);
    let ended = within(Duration::from_secs(3), || (!server.is_running()).then_some(()));
    if ended.is_some() {
        println!("ended for lack of threads: {:?}", server.log().lines().last());
        server.restart();
        probe.follow(server.client());
    }
    probe.await_status(202, &server);
    await_more(&load, 50, &server);
    trial.judge(&database, &mut [&mut server], &probe.added_to(&load.stop()));
}

/// A server listens before its last worker has its thread.
fn await_all_threads(cage: &Cage) {
    let steady = || {
        let before = cage.threads();
        rest(Duration::from_millis(500));
        (cage.threads() == before).then_some(())
    };
    wait_for("the number of threads to be steady", SOON, steady, String::new);
}

fn handles_of(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).map_or(0, Iterator::count)
}

/// Processor time used so far.
fn cpu_seconds(server: &Server) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("the server runs, on Linux");
    // The name stands in brackets and may hold spaces; user and system time are the 12th and 13th word behind it.
    let words = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = words.skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum();
    ticks / ticks_per_second()
}

fn ticks_per_second() -> f64 {
    let output = Command::new("getconf").arg("CLK_TCK").output().expect("the getconf command runs");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("getconf prints a number")
}
