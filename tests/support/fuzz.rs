//! Good bodies, damaged by chance: what no person would think of sending. Also for the tests inside the crate.
//!
//! A test has a fixed number of cases; with `GRISTMILL_FUZZ_SECONDS`, which `./test --fuzz` sets, as many as it can do in
//! that time. A failure prints the seed with which its case is the first one.

use std::time::{Duration, Instant};

use super::dice::{self, Dice};

/// The variable that says how long each test goes on.
const SECONDS: &str = "GRISTMILL_FUZZ_SECONDS";

/// Damages of one body, and bytes of it in the end.
const DAMAGES_MAX: u64 = 6;
const BYTES_MAX: usize = 64 << 10;

/// Times that a part is repeated.
const REPEATS_MAX: u64 = 300;

/// What parsers stumble over.
const TOKENS: [&[u8]; 44] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"\0",
    b"\x0c",
    b"\xff",
    b"\xc0\xa0",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"\xf0\x9f\x98\x80",
    b"\\u0000",
    b"\\ud800",
    b"\\ud83d\\ude00",
    b"\\u0065",
    b"null",
    b"true",
    b"-0",
    b"1e999",
    b"1e-400",
    b"1.10",
    b"01",
    b"9007199254740993",
    b"-9223372036854775809",
    b"NaN",
    b"''",
    b"\"events\":",
    b"\"payload\":",
    b"\"event_name\":",
    b"\"event_uid\":\"\"",
    b"\"user_id\":2",
    b"\"data\":",
    b"{}",
    b"[]",
    b"\"ce_attributes\":{}",
    b"\"timestamp\":\"2016-12-31T23:59:60Z\"",
];

/// Good events.
pub const EVENTS: [&[u8]; 6] = [
    br#"{"event_name":"page_view","event_type":"engagement","payload":{"page":"/home","duration":45}}"#,
    br#" {"event_name": "a", "event_type": "b", "payload": null, "user_id": 1, "event_uid": "u-1", "timestamp": "2025-12-18T10:30:00+01:00"} "#,
    br#"{"event_name":"x\u00e9\ud83d\ude00","event_type":"t","payload":{"a":[1,2.5,-3e10,{"b":[[],{}]}],"page":" \t/x ","":null,"big":123456789012345678901234567890}}"#,
    br#"{"event_type":"b","payload":{"scroll_depth":"80","referrer":["x"],"original":{"normalized_at":1}},"extra":{"deep":[[[[1]]]]}}"#,
    br#"{"event_name":"d","event_type":"e","payload":{"1":{"2":{"3":{"4":{"5":{"6":{"7":{"8":{"9":{}}}}}}}}}}}"#,
    br#"{"event_name":"","event_type":"engagement","payload":[]}"#,
];

/// Good batches.
pub const BATCHES: [&[u8]; 4] = [
    br#"{"events":[{"event_name":"a","event_type":"b","payload":{}},{"event_name":"c","event_type":"d","event_uid":"k"}]}"#,
    br#"[{"event_name":"a","event_type":"b"}, 7, "x", null, {"event_name":"c","event_type":"d","payload":{"page":"/"}}]"#,
    br#" {"other":{"events":[1]},"events":[{"event_name":"a,]}","event_type":"\"b\\"}],"more":[]} "#,
    br#"[[],{},{"events":[]}]"#,
];

/// Good lines.
pub const LINES: [&[u8]; 3] = [
    b"{\"event_name\":\"a\",\"event_type\":\"b\"}\n{\"event_name\":\"c\",\"event_type\":\"d\",\"payload\":{\"page\":\"/\"}}\n",
    b"\n\r\n{\"event_name\":\"a\",\"event_type\":\"b\",\"event_uid\":\"l\"}\r\n \n7\n{\"event_name\":\n{}",
    b"{\"event_name\":\"x\",\"event_type\":\"y\",\"payload\":{\"text\":\"\\n\\u2028\"}}",
];

/// Good CloudEvents in their JSON format.
pub const CLOUD_EVENTS: [&[u8]; 4] = [
    br#"{"specversion":"1.0","type":"com.example.someevent","source":"/mycontext","id":"A234","time":"2018-04-05T17:31:00Z","comexampleothervalue":5,"data":{"a":1.10}}"#,
    br#"{"specversion":"1.0","type":"t","source":"s","id":"1","data_base64":"AAE=","subject":null,"datacontenttype":"image/png"}"#,
    br#"{"specversion":"1.0","type":"t","source":"s","id":"2","data":"I'm just a string"}"#,
    br#"{"specversion":"1.0","type":"t","source":"s","id":"3","data":[1,{"data":2}],"traceparent":"00-0af7-b7ad-01"}"#,
];

/// Runs `case` with dice of its own each time: so many times, or for as long as `GRISTMILL_FUZZ_SECONDS` says.
pub fn each(name: &str, cases: u64, mut case: impl FnMut(&mut Dice)) {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = dice::seed();
    let mut done = 0;
    while end.map_or(done < cases, |end| Instant::now() < end) {
        let told = Told { name, seed: seed.wrapping_add(done) };
        case(&mut Dice::new(told.seed));
        done += 1;
    }
    println!("{name}: {done} cases, seed {seed}");
}

/// Says how the case is repeated, if it fails.
struct Told<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}: {}={} begins with this case", self.name, dice::SEED, self.seed);
        }
    }
}

/// One of the bodies with some damage, or none.
pub fn damaged(dice: &mut Dice, bodies: &[&[u8]]) -> Vec<u8> {
    let mut body = dice.one_of(bodies).to_vec();
    for _ in 0..dice.below(DAMAGES_MAX) {
        damage(dice, &mut body, bodies);
    }
    body.truncate(BYTES_MAX);
    body
}

/// The body cut into parts at places of chance.
pub fn parts(dice: &mut Dice, body: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = body;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let most = if dice.below(2) == 0 { 8 } else { rest.len() as u64 };
        let (part, after) = rest.split_at(place(dice, most.min(rest.len() as u64)).max(1));
        parts.push(part.to_vec());
        rest = after;
    }
    parts
}

fn damage(dice: &mut Dice, body: &mut Vec<u8>, bodies: &[&[u8]]) {
    let (from, to) = range(dice, body.len());
    let part = body[from..to].to_vec();
    match dice.below(9) {
        0 => body.truncate(from),
        1 => drop(body.drain(from..to)),
        2 => insert(body, from, dice.one_of(&TOKENS)),
        3 => drop(body.splice(from..to, dice.one_of(&TOKENS).iter().copied())),
        4 => insert(body, to, &part),
        5 => {
            let times = place(dice, REPEATS_MAX).min(BYTES_MAX / part.len().max(1));
            insert(body, to, &part.repeat(times));
        }
        6 => {
            let other = dice.one_of(bodies);
            let (start, end) = range(dice, other.len());
            insert(body, from, &other[start..end]);
        }
        7 if from < body.len() => body[from] ^= 1 << dice.below(8),
        _ if from < body.len() => body[from] = u8::try_from(dice.between(0, 255)).expect("a byte"),
        _ => {}
    }
}

fn insert(body: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    body.splice(at..at, bytes.iter().copied());
}

/// Two places in so many bytes, often near each other.
fn range(dice: &mut Dice, length: usize) -> (usize, usize) {
    let from = place(dice, length as u64);
    let most = if dice.below(2) == 0 { 4 } else { length };
    (from, from + place(dice, most.min(length - from) as u64))
}

fn place(dice: &mut Dice, most: u64) -> usize {
    usize::try_from(dice.below(most + 1)).expect("a place in memory")
}
