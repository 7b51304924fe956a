//! More than there is room for: what does not fit is refused at once, memory stays flat, and the rest goes on.

use std::io;
use std::time::Duration;

use serde_json::json;

use super::assert_undisturbed;
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, with_payload};
use crate::support::http::Answer;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};
use crate::support::wire::Connection;

/// Clients at once, and bytes of each one's payload: twenty times and more what there is room for.
const CLIENTS: usize = 200;
const PAYLOAD: usize = 900 << 10;

/// Room for eight of them.
const ROOM: &str = "pipeline.in_flight_bytes = \"8MiB\"\npipeline.flush_bytes = \"8MiB\"\n";

/// How much more memory an overload may take than the room that it has, allocator and buffers included.
const GROWTH_BYTES_MAX: u64 = 160 << 20;

/// The Persister does nothing for a while, twice.
const PAUSED: &str =
    "[[faults]]\nstage = \"persister\"\npoint = \"turn\"\naction = \"stall\"\nduration = \"3s\"\ntimes = 2\n";

fn head(token: &str, framing: &str) -> String {
    format!(
        "POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         {framing}\r\n\r\n"
    )
}

fn in_flight(server: &mut Server) -> u64 {
    let view = server.dashboard().get("/api/pipeline").json();
    view["in_flight"]["bytes"].as_u64().expect("a number")
}

fn is_overloaded(answer: &Answer) -> bool {
    answer.json()["code"] == "overloaded"
}

fn assert_refused_for_now(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let seconds = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(seconds.is_some_and(|seconds| seconds >= 1), "{answer:?}");
}

/// One post over a connection of its own; no answer may come if the server closes before it has read all.
fn post(server: &Server, request: &[u8]) -> io::Result<Answer> {
    let mut connection = Connection::open(server.address())?;
    let sent = connection.send(request);
    connection.answer().or_else(|error| sent.and(Err(error)))
}

#[test]
fn room_is_taken_for_a_body_as_it_comes() {
    let sizes = "limits.payload_bytes = \"64KiB\"\nlimits.body_bytes = \"64KiB\"\n[pipeline]\nin_flight_bytes = \"128KiB\"\n\
                 flush_bytes = \"64KiB\"";
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(sizes));
    let token = server.token();
    let client = server.client();
    let sent = 65_530;
    for framing in ["Content-Length: 65536", "Transfer-Encoding: chunked"] {
        let piece = "x".repeat(sent);
        let chunk = if framing.starts_with('T') { format!("{sent:x}\r\n{piece}\r\n") } else { piece };
        let mut bodies: Vec<Connection> = (0..2).map(|_| Connection::open(server.address()).expect("room")).collect();
        for body in &mut bodies {
            body.send(format!("{}{chunk}", head(&token, framing)).as_bytes()).expect("the server reads");
        }
        let is_taken = || (in_flight(&mut server) >= 130_000).then_some(());
        wait_for("the room to be taken", SOON, is_taken, || framing.to_owned());
        let refused = client.post_json(EVENTS, &with_payload(&json!({"page": "x".repeat(1_100)})));
        assert!(is_overloaded(&refused), "{refused:?}");
        assert_refused_for_now(&refused);
        drop(bodies);
        let is_free = || (in_flight(&mut server) == 0).then_some(());
        wait_for("the room to be given back", SOON, is_free, || framing.to_owned());
        let id = accepted(&client, &event("after"));
        assert_undisturbed(&client, &[id]);
    }
}

both_databases! {
    fn ten_times_the_capacity_with_the_persister_paused_is_refused_and_memory_stays_flat(database) {
        let setup = Setup::new(&database).with_config(ROOM).with_config("timeouts.accept = \"60s\"").with_config(PAUSED);
        let mut server = Server::start(setup);
        let token = server.token();
        let client = server.client();
        let body = json!({"event_name": "large", "event_type": "load", "payload": {"text": "x".repeat(PAYLOAD)}});
        let body = body.to_string();
        let request = format!("{}{body}", head(&token, &format!("Content-Length: {}", body.len())));
        let before = server.rss_bytes();
        let mut peak = before;
        let mut answers = Vec::new();
        std::thread::scope(|scope| {
            let mut threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| post(&server, request.as_bytes()))).collect();
            wait_for("every client to be told", Duration::from_secs(120), || {
                peak = peak.max(server.rss_bytes());
                let done = threads.extract_if(.., |thread| thread.is_finished());
                answers.extend(done.filter_map(|thread| thread.join().expect("clients do not panic").ok()));
                threads.is_empty().then_some(())
            }, || server.log());
        });
        let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 202);
        println!("{} taken, {} refused, memory from {before} to {peak} bytes", taken.len(), refused.len());
        assert!(!taken.is_empty() && refused.iter().any(|answer| is_overloaded(answer)));
        refused.into_iter().for_each(assert_refused_for_now);
        assert!(peak - before < GROWTH_BYTES_MAX, "memory grew from {before} to {peak} bytes");
        let stored = "SELECT CAST(id AS TEXT) FROM events WHERE event_name = 'large' AND status = 'processed'";
        assert!(server.database().texts(stored).len() >= taken.len());
        let is_free = || (in_flight(&mut server) == 0).then_some(());
        wait_for("the room to be free again", SOON, is_free, String::new);
        let id = accepted(&client, &event("after"));
        assert_undisturbed(&client, &[id]);
    }
}
