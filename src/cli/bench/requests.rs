//! What is sent: requests as bytes that are made once. Each event carries its number as text of a fixed length, which is
//! written over in place, so that every row can be told from every other one afterwards.

use memchr::memmem;
use serde_json::{Value, json};

use super::endpoint::Endpoint;
use crate::cli::args::bench::{BenchArgs, Mode, PayloadSize};

/// Digits of an event's number.
const DIGITS: usize = 10;

/// Stands for a number before it is known.
const PLACE: &[u8] = b"##########";

/// Events of a request, unless the command line says otherwise.
const BATCH: u32 = 100;
const LINES: u32 = 10_000;

/// Lines of a request among others.
const LINES_AMONG_OTHERS: u32 = 1_000;

/// Most events of a batch that a server takes by default.
pub(super) const BATCH_MAX: u32 = 1_000;

/// Lines that are kept as bytes; longer requests repeat them.
const BLOCK_LINES_MAX: u32 = 100;

/// Members of a large payload beside those of a small one, about 153 bytes each.
const LARGE_ITEMS: usize = 104;

/// The kinds of requests, in the order of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Batch,
    Lines,
    /// A route that does nothing.
    Empty,
}

/// A request: its head, and a block of events that is sent once or several times, with new numbers each time.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) kind: Kind,
    /// Sent once, unless the block has it.
    pub(super) head: Vec<u8>,
    block: Vec<u8>,
    /// The places of the numbers in the block.
    places: Vec<usize>,
    pub(super) blocks: u32,
}

/// The requests of one run, and which of them comes when.
#[derive(Debug, Clone)]
pub(super) struct Requests {
    all: Vec<Request>,
    turns: fn(usize) -> usize,
}

/// What makes the events of one run.
pub(super) struct Events<'a> {
    /// Their `event_name`, which no other run has.
    pub(super) name: &'a str,
    pub(super) size: PayloadSize,
}

impl Requests {
    /// Those of the command line.
    pub(super) fn of(args: &BenchArgs, endpoint: &Endpoint, events: &Events<'_>) -> Self {
        let of = |kind, per_request| Request::of_events(kind, per_request, endpoint, events);
        let batch = || of(Kind::Batch, args.per_request.unwrap_or(BATCH));
        // Where every tenth payload is large, single events are of ten requests.
        let singles = || match events.size {
            PayloadSize::Mix => (0..10).map(|place| Request::single(is_large(place), endpoint, events)).collect(),
            size => vec![Request::single(size == PayloadSize::Large, endpoint, events)],
        };
        let (all, turns): (Vec<Request>, fn(usize) -> usize) = match args.mode {
            Mode::Single if events.size == PayloadSize::Mix => (singles(), |turn| turn % 10),
            Mode::Single => (singles(), |_| 0),
            Mode::Batch => (vec![batch()], |_| 0),
            Mode::Lines => (vec![of(Kind::Lines, args.per_request.unwrap_or(LINES))], |_| 0),
            Mode::Mixed => {
                let many = vec![of(Kind::Lines, LINES_AMONG_OTHERS), batch()];
                let all: Vec<Request> = many.into_iter().chain(singles()).collect();
                if events.size == PayloadSize::Mix {
                    (all, |turn| mixed(turn, 10))
                } else {
                    (all, |turn| mixed(turn, 1))
                }
            }
        };
        Self { all, turns }
    }

    /// Requests of a route that does nothing.
    pub(super) fn empty(endpoint: &Endpoint) -> Self {
        let block = endpoint.head("GET", "/health/live", None).into_bytes();
        let request = Request { kind: Kind::Empty, head: Vec::new(), block, places: Vec::new(), blocks: 1 };
        Self { all: vec![request], turns: |_| 0 }
    }

    /// The request of this turn.
    pub(super) fn at(&mut self, turn: usize) -> &mut Request {
        &mut self.all[(self.turns)(turn)]
    }
}

/// Of 100 requests one of lines, ten batches; the others are one of the `singles`.
fn mixed(turn: usize, singles: usize) -> usize {
    match turn % 100 {
        0 => 0,
        place if place % 10 == 5 => 1,
        _ => 2 + turn / 10 % singles,
    }
}

/// Whether this one of ten payloads is the large one.
fn is_large(place: u32) -> bool {
    place % 10 == 9
}

impl Request {
    fn single(is_large: bool, endpoint: &Endpoint, events: &Events<'_>) -> Self {
        Self::with_body(Kind::Single, endpoint, events.one(is_large))
    }

    fn of_events(kind: Kind, per_request: u32, endpoint: &Endpoint, events: &Events<'_>) -> Self {
        let some = |number: u32| (0..number).map(|place| events.at(place)).collect::<Vec<_>>();
        if kind == Kind::Batch {
            return Self::with_body(kind, endpoint, format!("[{}]", some(per_request).join(",")));
        }
        // Blocks of equal size, so the number of lines may be a little less than was named.
        let blocks = per_request.div_ceil(BLOCK_LINES_MAX);
        let block = some(per_request / blocks).join("\n") + "\n";
        let length = block.len() * blocks as usize;
        let head = endpoint.head("POST", "/api/v1/events/batch", Some(("application/x-ndjson", length)));
        let places = places(block.as_bytes());
        Self { kind, head: head.into_bytes(), block: block.into_bytes(), places, blocks }
    }

    fn with_body(kind: Kind, endpoint: &Endpoint, body: String) -> Self {
        let path = if kind == Kind::Single { "/api/v1/events" } else { "/api/v1/events/batch" };
        let block = endpoint.head("POST", path, Some(("application/json", body.len()))) + &body;
        Self { kind, head: Vec::new(), places: places(block.as_bytes()), block: block.into_bytes(), blocks: 1 }
    }

    /// How many events it has.
    pub(super) fn events(&self) -> usize {
        self.places.len() * self.blocks as usize
    }

    /// A block whose events have the numbers from the one of the `block`th on, if the request begins with `first`.
    pub(super) fn numbered(&mut self, first: usize, block: u32) -> &[u8] {
        let first = first + self.places.len() * block as usize;
        for (place, number) in self.places.iter().zip(first..) {
            write_number(&mut self.block[*place..place + DIGITS], number);
        }
        &self.block
    }
}

fn places(block: &[u8]) -> Vec<usize> {
    memmem::find_iter(block, PLACE).collect()
}

fn write_number(digits: &mut [u8], mut number: usize) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl Events<'_> {
    fn at(&self, place: u32) -> String {
        self.one(self.size == PayloadSize::Large || (self.size == PayloadSize::Mix && is_large(place)))
    }

    fn one(&self, is_large: bool) -> String {
        let payload = payload(is_large, str::from_utf8(PLACE).unwrap_or_default());
        json!({ "event_name": self.name, "event_type": "bench", "payload": payload }).to_string()
    }
}

/// The payload of the event with this number.
pub(super) fn payload(is_large: bool, number: &str) -> Value {
    let mut payload = json!({
        "number": number,
        "page": "/products/running-shoes",
        "referrer": "https://www.example.org/search?q=running+shoes",
        "duration": 45.25,
        "scroll_depth": 0.75,
        "session": "6f1d2f0e-5f0b-4f55-9f55-0c3a1f6e2b10",
        "agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0",
        "viewport": { "width": 1440, "height": 900 },
    });
    if is_large {
        let item = |place: usize| {
            json!({
                "sku": format!("SKU-{place:05}"), "title": "Running shoes for road and trail, waterproof",
                "price": 129.95, "quantity": place % 3 + 1, "tags": ["shoes", "running", "sale"], "in_stock": true,
            })
        };
        payload["items"] = (0..LARGE_ITEMS).map(item).collect();
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(size: PayloadSize) -> Events<'static> {
        Events { name: "bench-1", size }
    }

    fn body(request: &mut Request, first: usize) -> String {
        let blocks = request.blocks;
        let text: String = (0..blocks)
            .map(|block| String::from_utf8(request.numbered(first, block).to_vec()).expect("text"))
            .collect();
        let all = String::from_utf8(request.head.clone()).expect("text") + &text;
        let (head, body) = all.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        body.to_owned()
    }

    fn numbers(lines: &str) -> Vec<String> {
        let number = |line: &str| {
            let event: Value = serde_json::from_str(line).expect("JSON");
            event["payload"]["number"].as_str().expect("a text").to_owned()
        };
        lines.lines().map(number).collect()
    }

    #[test]
    fn each_event_of_a_request_has_a_number_of_its_own() {
        let endpoint = Endpoint::test();
        let mut lines = Request::of_events(Kind::Lines, 250, &endpoint, &events(PayloadSize::Small));
        assert_eq!(lines.events(), 249, "three blocks of equal size");
        let expected: Vec<String> = (7..256).map(|number| format!("{number:010}")).collect();
        assert_eq!(numbers(&body(&mut lines, 7)), expected);
        let mut batch = Request::of_events(Kind::Batch, 3, &endpoint, &events(PayloadSize::Small));
        let array: Vec<Value> = serde_json::from_str(&body(&mut batch, 1_234_567_890)).expect("JSON");
        assert_eq!(array[2]["payload"], payload(false, "1234567892"));
    }

    #[test]
    fn every_tenth_of_a_mix_is_large_and_sizes_are_as_documented() {
        let mut batch = Request::of_events(Kind::Batch, 20, &Endpoint::test(), &events(PayloadSize::Mix));
        let array: Vec<Value> = serde_json::from_str(&body(&mut batch, 0)).expect("JSON");
        let large: Vec<usize> = (0..20).filter(|place| array[*place]["payload"].get("items").is_some()).collect();
        assert_eq!(large, [9, 19]);
        let bytes = [false, true].map(|is_large| payload(is_large, "0000000000").to_string().len());
        assert!((270..330).contains(&bytes[0]) && (15_500..16_900).contains(&bytes[1]), "{bytes:?}");
    }

    #[test]
    fn of_100_mixed_requests_one_has_lines_and_ten_are_batches() {
        let of = |wanted| (0..100).filter(|turn| mixed(*turn, 1) == wanted).count();
        assert_eq!([of(0), of(1), of(2)], [1, 10, 89]);
        assert_eq!((0..1_000).map(|turn| mixed(turn, 10)).max(), Some(11));
    }
}
