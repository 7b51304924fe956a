//! A service whose standard output and error are full, closed, or read by nobody.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event};
use crate::support::http::Client;
use crate::support::postgres::Succeed;
use crate::support::run;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// So that every event has its lines.
const TALKATIVE: &str = "log.event_lines_per_second = 1000000";

/// `O_NONBLOCK` of Linux.
const NONBLOCKING: i32 = 0o4000;

/// A named pipe that its writer holds open at both ends: what nobody reads stays in it.
struct Fifo(PathBuf);

impl Fifo {
    fn new() -> Self {
        let path = run::folder("fifo").join("pipe");
        Command::new("mkfifo").arg(&path).succeed();
        Self(path)
    }

    /// How a shell leads an output into the pipe.
    fn target(&self) -> String {
        format!("<>'{}'", self.0.display())
    }

    fn open(&self) -> File {
        File::options().read(true).write(true).custom_flags(NONBLOCKING).open(&self.0).expect("the pipe is ours")
    }

    /// Writes until it takes nothing more.
    fn fill(&self) -> File {
        let mut pipe = self.open();
        loop {
            match pipe.write(&[b'\n'; 4096]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return pipe,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads in a thread, until the test is over.
    fn read(&self) -> Receiver<String> {
        let (sender, told) = channel();
        let mut pipe = File::open(&self.0).expect("the pipe is ours");
        std::thread::spawn(move || {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(read) = pipe.read(&mut bytes) {
                if sender.send(String::from_utf8_lossy(&bytes[..read]).into_owned()).is_err() {
                    return;
                }
            }
        });
        told
    }
}

/// The server writes these of its outputs (`1`, `2`) there.
fn redirected(setup: Setup, outputs: &[u8], to: &str) -> Setup {
    let redirects: String = outputs.iter().map(|output| format!(" {output}{to}")).collect();
    setup.with_wrapper(["sh".to_owned(), "-c".to_owned(), format!("exec \"$@\"{redirects}"), "sh".to_owned()])
}

fn post_thousands(client: &Client) {
    let batch = Value::Array((0..1_000).map(|_| event("page_view")).collect());
    for _ in 0..4 {
        let answer = client.post_json(&format!("{EVENTS}/batch"), &batch);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

fn dropped_lines(server: &mut Server) -> u64 {
    let page = server.dashboard().get("/metrics").body;
    let line = page.lines().find_map(|line| line.strip_prefix("gristmill_log_lines_dropped_total "));
    line.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no such metric: {page}"))
}

both_databases! {
    fn a_log_that_nobody_reads_costs_lines_and_neither_events_nor_the_stop(database) {
        let fifo = Fifo::new();
        let mut server = Server::start(redirected(Setup::new(&database).with_config(TALKATIVE), &[2], &fifo.target()));
        let client = server.client();
        post_thousands(&client);
        assert!(dropped_lines(&mut server) > 0);
        assert_eq!(client.get("/health/ready").status, 200);
        server.terminate();
        assert_eq!(server.wait_exit(SOON).code(), Some(0));
    }
}

#[test]
fn a_log_that_is_read_again_says_how_many_lines_are_missing() {
    let fifo = Fifo::new();
    let mut server =
        Server::start(redirected(Setup::new(&Database::sqlite()).with_config(TALKATIVE), &[2], &fifo.target()));
    let client = server.client();
    post_thousands(&client);
    let dropped = dropped_lines(&mut server);
    let told = fifo.read();
    let mut log = String::new();
    wait_for(
        "the line that counts",
        SOON,
        || {
            log.extend(told.try_iter());
            log.contains("log lines were dropped").then_some(())
        },
        || format!("{dropped} lines were dropped"),
    );
    let counted = log.lines().find(|line| line.contains("log lines were dropped")).expect("found above");
    assert!(counted.contains(" WARN ") && counted.contains(&format!("dropped={dropped}")), "{counted}");
    let id = accepted(&client, &event("page_view"));
    wait_for(
        "lines as before",
        SOON,
        || {
            log.extend(told.try_iter());
            log.contains(&format!("[Event {id}] Processing completed")).then_some(())
        },
        || "the log is silent".to_owned(),
    );
}

#[test]
fn the_service_starts_works_and_stops_whatever_takes_what_it_says() {
    let fifo = Fifo::new();
    let _full = fifo.fill();
    for target in [fifo.target().as_str(), ">/dev/full"] {
        for outputs in [&[1][..], &[2], &[1, 2]] {
            let mut server = Server::start(redirected(Setup::new(&Database::sqlite()), outputs, target));
            accepted(&server.client(), &event("page_view"));
            server.terminate();
            assert_eq!(server.wait_exit(SOON).code(), Some(0), "{outputs:?}: {}", server.log());
            assert!(!server.log().contains("panic"), "{}", server.log());
        }
    }
}

#[test]
fn the_service_outlives_the_readers_of_its_outputs() {
    let (out, log) = (run::folder("out").join("out"), run::folder("out").join("log"));
    Command::new("mkfifo").args([&out, &log]).succeed();
    let redirects = format!("exec \"$@\" 1>'{}' 2>'{}'", out.display(), log.display());
    let wrapper = ["sh".to_owned(), "-c".to_owned(), redirects, "sh".to_owned()];
    for gone_before in [true, false] {
        let mut server = Server::not_started(Setup::new(&Database::sqlite()).with_wrapper(wrapper.clone()));
        server.spawn();
        let readers = [&out, &log].map(|path| File::open(path).expect("the server opens it as well"));
        if gone_before {
            drop(readers);
            server.await_ports();
        } else {
            server.await_ports();
            drop(readers);
        }
        accepted(&server.client(), &event("page_view"));
        server.terminate();
        assert_eq!(server.wait_exit(SOON).code(), Some(0));
    }
}

#[test]
fn a_service_that_fails_says_so_within_a_moment_or_not_at_all() {
    let fifo = Fifo::new();
    let _full = fifo.fill();
    let broken = Setup::new(&Database::sqlite()).with_config("dashboard.bind = \"192.0.2.1:5\"");
    let mut server = Server::not_started(redirected(broken, &[1, 2], &fifo.target()));
    server.spawn();
    assert_eq!(server.wait_exit(SOON).code(), Some(1));
}
