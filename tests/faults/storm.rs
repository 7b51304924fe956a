//! A storm of panics: one attempt in ten panics, somewhere in the line, and every event has one final state.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::support::database::Database;
use crate::support::events::EVENTS;
use crate::support::server::{Ports, Server, Setup};
use crate::support::wait::{wait_for, within};
use crate::support::wire::{Answer, Connection};

/// Connections that post at once, and the requests that each has under way.
const CONNECTIONS: usize = 64;
const PIPELINED: usize = 16;

/// Rest of a client that was refused for lack of room.
const REFUSED: Duration = Duration::from_millis(50);

/// One attempt in ten panics: the drawn share grows from stage to stage, since who panics goes no further.
const PANICS: &str = "\
[[faults]]
stage = \"validator\"
action = \"panic\"
share = 0.03
[[faults]]
stage = \"normalizer\"
action = \"panic\"
share = 0.07
[[faults]]
stage = \"persister\"
action = \"panic\"
share = 0.1
";

/// What became of the events of a storm.
#[derive(Debug)]
pub struct Storm {
    /// Events that were acknowledged; all that were posted.
    pub acknowledged: usize,
    /// Those that ended as processed.
    pub processed: usize,
    /// Those whose every attempt panicked.
    pub poison: usize,
    /// Attempts that panicked.
    pub panics: usize,
    /// From the first post to the last final state.
    pub took: Duration,
}

/// Posts `events` events through the storm; panics unless each one is stored once, in one final state that fits its
/// attempts. The short form takes seconds; a million takes minutes.
pub fn run(database: &Database, events: usize) -> Storm {
    let quick = "retry.delay = \"100ms\"\nretry.jitter = 0.0\nlease.poll = \"100ms\"\ntimeouts.accept = \"60s\"";
    // A panic writes three lines; a million events would fill the harness with them.
    let setup = Setup::new(database).with_config(quick).with_config("log.level = \"off\"").with_config(PANICS);
    let mut server = Server::start(setup);
    let token = server.token();
    let began = Instant::now();
    let ids = post_all(&server.ports(), &token, events);
    let open = "SELECT CAST(id AS TEXT) FROM events WHERE status = 'pending' LIMIT 10";
    let patience = Duration::from_secs(60 + events as u64 / 500);
    wait_for(
        "nothing to be pending",
        patience,
        || server.database().texts(open).is_empty().then_some(()),
        || format!("{:?}", server.database().texts(open)),
    );
    let took = began.elapsed();
    assert_eq!(server.client().get("/health/ready").status, 200);
    judge(database, &ids, took)
}

/// Compares the acknowledged ids with the rows, and the rows with the attempts, in bulk.
fn judge(database: &Database, ids: &[i64], took: Duration) -> Storm {
    let acknowledged: BTreeSet<i64> = ids.iter().copied().collect();
    assert_eq!(acknowledged.len(), ids.len(), "an id was given twice");
    let rows = database.texts("SELECT CAST(id AS TEXT) FROM events");
    let stored: BTreeSet<i64> = rows.iter().map(|id| id.parse().expect("a number")).collect();
    assert_eq!(stored.len(), rows.len(), "an event has two rows");
    let lost: Vec<_> = acknowledged.difference(&stored).take(10).collect();
    let unasked: Vec<_> = stored.difference(&acknowledged).take(10).collect();
    assert!(lost.is_empty() && unasked.is_empty(), "lost: {lost:?}, stored beyond that: {unasked:?}");

    let count =
        |sql: &str| database.texts(&format!("SELECT CAST(COUNT(*) AS TEXT) FROM {sql}"))[0].parse().expect("a number");
    let (processed, poison): (usize, usize) = (
        count("events WHERE status = 'processed' AND attempts BETWEEN 1 AND 4"),
        count("events WHERE status = 'failed' AND error_code = 'poison' AND attempts = 4"),
    );
    assert_eq!(processed + poison, ids.len(), "{processed} processed, {poison} poison");
    let panics: usize = count("attempts WHERE error_code = 'stage_panic'");
    assert_eq!(panics, count("attempts"), "nothing else went wrong");
    let written_down = "events e WHERE attempts - (CASE status WHEN 'processed' THEN 1 ELSE 0 END) \
                        <> (SELECT COUNT(*) FROM attempts a WHERE a.event_id = e.id)";
    assert_eq!(count(written_down), 0_usize, "events whose attempts are not all written down");
    Storm { acknowledged: ids.len(), processed, poison, panics, took }
}

/// Posts all events over several connections; gives their ids.
fn post_all(ports: &Ports, token: &str, events: usize) -> Vec<i64> {
    std::thread::scope(|scope| {
        let share = |connection: usize| events / CONNECTIONS + usize::from(connection < events % CONNECTIONS);
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|connection| scope.spawn(move || post_share(ports, token, connection, share(connection))))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a client ran through")).collect()
    })
}

fn post_share(ports: &Ports, token: &str, client: usize, events: usize) -> Vec<i64> {
    let mut ids = Vec::with_capacity(events);
    let mut connection = connect(ports);
    while ids.len() < events {
        let batch = PIPELINED.min(events - ids.len());
        connection.send(requests(token, client, ids.len(), batch).as_bytes()).expect("the server reads");
        let answers: Vec<Answer> = (0..batch).map(|_| connection.answer().expect("an answer per request")).collect();
        let before = ids.len();
        ids.extend(answers.iter().filter_map(acknowledged));
        if ids.len() - before < batch {
            // Certainly not stored: the number that is missing is posted again.
            within(REFUSED, || None::<()>);
            connection = connect(ports);
        }
    }
    ids
}

fn connect(ports: &Ports) -> Connection {
    Connection::open(ports.http().expect("the server is ready")).expect("the server takes connections")
}

fn acknowledged(answer: &Answer) -> Option<i64> {
    assert!(matches!(answer.status, 202 | 503), "{answer:?}");
    (answer.status == 202).then(|| answer.json()["event_id"].as_i64().expect("an id"))
}

fn requests(token: &str, client: usize, first: usize, count: usize) -> String {
    let mut text = String::new();
    for n in first..first + count {
        let body = format!(
            "{{\"event_name\":\"storm\",\"event_type\":\"load\",\"payload\":{{\"page\":\"/{client}\",\"n\":{n}}}}}"
        );
        write!(
            text,
            "POST {EVENTS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("a string takes text");
    }
    text
}

both_databases! {
    fn three_thousand_events_through_ten_percent_panics_have_one_final_state_each(database) {
        let storm = run(&database, 3_000);
        println!("{storm:?}, {:.0} events a second", storm.acknowledged as f64 / storm.took.as_secs_f64());
        assert_eq!((storm.acknowledged, storm.processed + storm.poison), (3_000, 3_000), "{storm:?}");
        assert!((150..600).contains(&storm.panics), "one attempt in ten was to panic: {storm:?}");
    }
}
