//! Damaged bodies over HTTP to the real server: each gets an answer that is no 500, and what is acknowledged is what is stored.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;

use async_compression::Level;
use async_compression::tokio::bufread::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use bytes::Bytes;
use gristmill::domain::event::validate;
use gristmill::domain::payload::PayloadLimits;
use gristmill::domain::submission::Submission;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::support::dice::Dice;
use crate::support::events::{EVENTS as EVENTS_PATH, finished};
use crate::support::fuzz::{BATCHES, CLOUD_EVENTS, EVENTS, LINES, damaged, each, parts};
use crate::support::http::Answer;
use crate::support::server::Server;
use crate::support::wire::Connection;

/// Cases of the short form, on each database.
const CASES: u64 = 1_000;

/// One in so many accepted events is read back.
const READ_BACK: u64 = 8;

/// Memory that damaged bodies may cost in all: buffers, no more.
const GROWTH_BYTES_MAX: u64 = 96 << 20;

const BATCH: &str = "/api/v1/events/batch";
const DRY_RUN: &str = "/api/v1/events/validate";
const PROCESS: &str = "/api/v1/events/process";

const NDJSON: &str = "application/x-ndjson";
const MEDIA: [&str; 8] = [
    "application/json",
    "application/json; charset=utf-8",
    NDJSON,
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/x-www-form-urlencoded",
    "application/vnd.example+json",
    "text/plain",
];
const PREFER: [&str; 5] =
    ["return=minimal", "handling=strict", "wait=1", "handling=strict, return=minimal", "respond-async"];
const CODINGS: [&str; 4] = ["gzip", "br", "zstd", "deflate"];

/// A request by chance.
struct Request {
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    /// The body before it was packed, if it came through that whole.
    plain: Option<Vec<u8>>,
    body: Vec<u8>,
    is_chunked: bool,
}

impl Request {
    fn new(dice: &mut Dice) -> Self {
        let (path, media, bodies): (_, _, Vec<&[u8]>) = match dice.below(8) {
            0 | 1 => (EVENTS_PATH, "application/json", EVENTS.to_vec()),
            2 => (BATCH, "application/json", BATCHES.to_vec()),
            3 => (BATCH, NDJSON, LINES.to_vec()),
            4 => (DRY_RUN, NDJSON, [&LINES[..], &EVENTS].concat()),
            5 => (EVENTS_PATH, "application/cloudevents+json", CLOUD_EVENTS.to_vec()),
            6 => {
                (PROCESS, "application/json", vec![br#"{"event_ids":[1,2,999],"force":true}"#, br#"{"event_ids":[1]}"#])
            }
            _ => {
                let bodies = [&EVENTS[..], &BATCHES, &LINES, &CLOUD_EVENTS].concat();
                (dice.one_of(&[EVENTS_PATH, BATCH, DRY_RUN]), dice.one_of(&MEDIA), bodies)
            }
        };
        let mut headers = vec![("Content-Type", media.to_owned())];
        if path != DRY_RUN && dice.below(4) == 0 {
            headers.push(("Prefer", dice.one_of(&PREFER).to_owned()));
        }
        if dice.below(4) == 0 {
            headers.push(("Idempotency-Key", format!("key-{}", dice.below(20))));
        }
        if dice.below(10) == 0 {
            let names = ["ce-specversion", "ce-type", "ce-source", "ce-id", "ce-time", "ce-odd"];
            let values = ["1.0", "t", "%41%zz", "%ff", "\"a \\\" b\"", "2018-04-05T17:31:00Z", ""];
            headers.extend(names.map(|name| (name, dice.one_of(&values).to_owned())));
        }
        let plain = damaged(dice, &bodies);
        let is_chunked = dice.below(2) == 0;
        if dice.below(3) > 0 {
            let wants_lines = media == NDJSON && dice.below(4) > 0;
            headers.extend(wants_lines.then(|| ("Accept", NDJSON.to_owned())));
            return Self { path, headers, body: plain.clone(), plain: Some(plain), is_chunked };
        }
        let coding = dice.one_of(&CODINGS);
        headers.push(("Content-Encoding", coding.to_owned()));
        let whole = packed(coding, &plain);
        let body = if dice.below(2) == 0 { whole.clone() } else { damaged(dice, &[&whole]) };
        let plain = (body == whole).then_some(plain);
        Self { path, headers, plain, body, is_chunked }
    }

    /// The bytes of the request, in the parts in which they are sent.
    fn bytes(&self, token: &str, dice: &mut Dice) -> Vec<Vec<u8>> {
        let mut head = format!("POST {} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n", self.path);
        self.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        let length = format!("Content-Length: {}\r\n\r\n", self.body.len());
        head.push_str(if self.is_chunked { "Transfer-Encoding: chunked\r\n\r\n" } else { &length });
        let mut sent = vec![head.into_bytes()];
        for part in parts(dice, &self.body) {
            sent.push(if self.is_chunked {
                [format!("{:x}\r\n", part.len()).as_bytes(), &part, b"\r\n"].concat()
            } else {
                part
            });
        }
        if self.is_chunked {
            sent.push(b"0\r\n\r\n".to_vec());
        }
        // Many small parts in one packet, or each in its own.
        if dice.below(2) == 0 { vec![sent.concat()] } else { sent }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Whether each header is one that the model knows.
    fn is_usual(&self, media: &str) -> bool {
        self.header("Content-Type") == Some(media) && self.header("ce-specversion").is_none()
    }

    fn shown(&self) -> String {
        format!("{} {:?} {}", self.path, self.headers, self.body.escape_ascii())
    }
}

fn packed(coding: &str, plain: &[u8]) -> Vec<u8> {
    let reader: Box<dyn AsyncRead + Unpin + '_> = match coding {
        "gzip" => Box::new(GzipEncoder::with_quality(plain, Level::Fastest)),
        "br" => Box::new(BrotliEncoder::with_quality(plain, Level::Fastest)),
        "zstd" => Box::new(ZstdEncoder::with_quality(plain, Level::Fastest)),
        _ => Box::new(ZlibEncoder::with_quality(plain, Level::Fastest)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let mut reader = reader;
    let mut bytes = Vec::new();
    runtime.block_on(reader.read_to_end(&mut bytes)).expect("memory takes it");
    bytes
}

/// Whether the event in `text`, a part of `body`, is one that user 1, who is the only one, may post.
fn is_valid(body: &Bytes, text: &[u8]) -> bool {
    let limits = PayloadLimits { bytes_max: 1 << 20, depth_max: 10, number_chars_max: 1_000 };
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let submission = Submission::read_part(body, text);
    submission.is_ok_and(|event| validate(&event, &limits).is_ok() && event.user_id.is_none_or(|user| user == 1))
}

/// A connection that is kept as long as the server keeps it.
struct Wire {
    address: SocketAddr,
    token: String,
    connection: Option<Connection>,
}

impl Wire {
    /// Sends and reads one answer, whatever of the request was taken; in a new connection if the server closed the last.
    fn post(&mut self, request: &Request, dice: &mut Dice) -> Answer {
        let bytes = request.bytes(&self.token, dice);
        let answer = self.try_post(&bytes).or_else(|_| {
            self.connection = None;
            self.try_post(&bytes)
        });
        let answer = answer.unwrap_or_else(|error| panic!("no answer ({error}) to {}", request.shown()));
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) || answer.status >= 400
        {
            self.connection = None;
        }
        answer
    }

    fn try_post(&mut self, bytes: &[Vec<u8>]) -> io::Result<Answer> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(self.address)?,
        };
        let connection = self.connection.insert(connection);
        // The server may answer and close before all of it is sent: its answer counts.
        let sent = bytes.iter().try_for_each(|part| connection.send(part));
        connection.answer().map_err(|error| io::Error::other(format!("{error}, sent: {sent:?}")))
    }
}

/// The results of an answer, line by line or in a report, and whether they are complete.
fn results(answer: &Answer) -> Option<Vec<Value>> {
    if answer.header("content-type") == Some(NDJSON) {
        let lines = answer.body.lines().map(|line| serde_json::from_str(line).expect("a line of JSON"));
        let mut lines: Vec<Value> = lines.collect();
        let summary = lines.pop().expect("a last line");
        assert_eq!(summary["summary"]["total_events"], lines.len(), "{answer:?}");
        return Some(lines);
    }
    answer.json()["results"].as_array().cloned()
}

/// How many stored events an answer tells of without their ids.
fn unnamed(answer: &Answer) -> u64 {
    if answer.header("content-type") == Some(NDJSON) {
        return 0;
    }
    let report = answer.json();
    let Some(results) = report["results"].as_array() else { return 0 };
    let is_whole = report["total_events"] == results.len();
    let count = |name: &str| report[name].as_u64().unwrap_or_default();
    // Of lines only so many failures are told one by one.
    let failed = count("failed").saturating_sub(results.len() as u64);
    if is_whole { 0 } else { count("processed") + count("enqueued") + failed }
}

/// Asserts what holds for every answer; the ids that it tells.
fn judge(request: &Request, answer: &Answer) -> Vec<i64> {
    let shown = || format!("{answer:?} to {}", request.shown());
    assert!((200..500).contains(&answer.status), "{}", shown());
    let results = results(answer);
    if answer.status >= 400 && results.is_none() {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", shown());
        let problem = answer.json();
        assert_eq!(problem["status"], answer.status, "{}", shown());
        let is_whole =
            problem["code"].is_string() && problem["detail"].is_string() && problem["request_id"].is_string();
        assert!(is_whole && problem["retryable"].is_boolean(), "{}", shown());
    }
    let single = if results.is_none() { answer.json()["event_id"].as_i64() } else { None };
    results.into_iter().flatten().filter_map(|result| result["event_id"].as_i64()).chain(single).collect()
}

/// Asserts that a single event and lines are judged as the parsers in this process judge them.
fn compare(request: &Request, answer: &Answer) {
    let Some(plain) = request.plain.as_ref().map(|plain| Bytes::copy_from_slice(plain)) else { return };
    let shown = || format!("{answer:?} to {}", request.shown());
    if request.path == EVENTS_PATH && request.is_usual("application/json") {
        let is_taken = matches!(answer.status, 200 | 202);
        assert!(answer.status == 409 || is_taken == is_valid(&plain, &plain), "{}", shown());
    }
    if request.path == DRY_RUN && request.is_usual(NDJSON) && request.header("Accept").is_some() {
        let lines = plain.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let expected: Vec<bool> = lines.map(|line| is_valid(&plain, line)).collect();
        if expected.is_empty() {
            assert_eq!(answer.json()["code"], "batch_empty", "{}", shown());
            return;
        }
        let told: Vec<bool> =
            results(answer).expect("lines").iter().map(|result| result["status"] == "valid").collect();
        assert_eq!(told, expected, "{}", shown());
    }
}

/// Whether the values are the same; a database may write a number in another way.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has_same = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| is_same(value, other));
            one.len() == other.len() && one.iter().all(has_same)
        }
        _ => one == other,
    }
}

both_databases! {
    fn a_damaged_body_gets_an_answer_and_what_is_acknowledged_is_what_is_stored(database) {
        let mut server = Server::start(&database);
        let client = server.client();
        let mut wire = Wire { address: server.address(), token: server.token(), connection: None };
        let mut acknowledged = BTreeSet::new();
        let mut nameless = 0;
        let mut memory = None;
        let name = format!("bodies over HTTP on {:?}", database.kind());
        each(&name, CASES, |dice| {
            let request = Request::new(dice);
            let answer = wire.post(&request, dice);
            let ids = judge(&request, &answer);
            compare(&request, &answer);
            if request.path != DRY_RUN && request.path != PROCESS {
                acknowledged.extend(&ids);
                nameless += unnamed(&answer);
            }
            let sent = request.plain.as_deref().and_then(|plain| serde_json::from_slice::<Value>(plain).ok());
            let is_single = request.path == EVENTS_PATH && request.is_usual("application/json") && answer.status == 202;
            if let Some(sent) = sent.filter(|_| is_single && dice.below(READ_BACK) == 0) {
                let event = finished(&client, ids[0]);
                let is_same = is_same(&event["payload"], &sent["payload"]) && event["event_name"] == sent["event_name"];
                assert!(is_same, "{event} for {}", request.shown());
            }
            memory.get_or_insert_with(|| server.rss_bytes());
        });
        let grown = server.rss_bytes().saturating_sub(memory.unwrap_or_default());
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more");
        assert_eq!(client.get("/health/live").status, 200);
        assert!(!server.log().contains("panicked"), "{}", server.log_tail());
        let rows = server.database().texts("SELECT CAST(id AS TEXT) FROM events");
        let rows: BTreeSet<i64> = rows.iter().map(|id| id.parse().expect("a number")).collect();
        assert_eq!(acknowledged.difference(&rows).collect::<Vec<_>>(), [&0_i64; 0], "told, and not stored");
        let untold = rows.difference(&acknowledged).count() as u64;
        assert!(untold <= nameless, "{untold} are stored and were not told, at most {nameless} can be");
        let balance = client.get("/api/v1/stats").json()["balance"].clone();
        let of = |name: &str| balance[name].as_i64().unwrap_or_else(|| panic!("{name} in {balance}"));
        let ends = ["processed", "validation_error", "failed", "cancelled", "pending"].map(of);
        assert_eq!(ends.iter().sum::<i64>(), i64::try_from(rows.len()).expect("few"), "{balance}");
        assert_eq!(of("received"), ends.iter().sum::<i64>() + of("duplicate"), "{balance}");
        assert_eq!((of("failed"), of("pending")), (0, 0), "{balance}");
    }
}
