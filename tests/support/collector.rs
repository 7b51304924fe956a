//! A collector: takes spans as OTLP has them, in protobuf over HTTP, and remembers them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{Span as Sent, span::SpanKind, status::StatusCode};
use prost::Message;

use super::run::lock;
use super::wait::wait_for;

/// How long spans may take to come.
const COME: Duration = Duration::from_secs(30);

/// A span as it came, its ids in hexadecimal digits.
#[derive(Clone, Debug)]
pub struct Span {
    pub trace_id: String,
    pub id: String,
    /// Empty for a root.
    pub parent: String,
    pub state: String,
    pub name: String,
    pub kind: SpanKind,
    pub is_error: bool,
    /// Nanoseconds since 1970.
    pub times: (u64, u64),
    /// Trace and span of each link.
    pub links: Vec<(String, String)>,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
}

impl Span {
    /// An attribute as text; empty if there is none.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// An attribute of the resource as text; empty if there is none.
    pub fn resource(&self, name: &str) -> &str {
        self.resource.get(name).map_or("", String::as_str)
    }
}

/// How a collector answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// With this status; only 200 takes the spans.
    Status(u16),
    /// Not at all.
    Silent,
}

/// Listens for as long as the test run lasts.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    manner: Manner,
    requests: usize,
    heads: String,
    bodies: Vec<Vec<u8>>,
    spans: Vec<Span>,
}

impl Collector {
    /// A collector that takes everything.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"))
    }

    /// The same at an address that nobody listens at.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let seen = Seen {
            manner: Manner::Status(200),
            requests: 0,
            heads: String::new(),
            bodies: Vec::new(),
            spans: Vec::new(),
        };
        let collector = Self { address: listener.local_addr().expect("it is bound"), seen: Arc::new(Mutex::new(seen)) };
        let taking = listener;
        let seen = collector.seen.clone();
        std::thread::spawn(move || {
            for stream in taking.incoming().flatten() {
                let seen = seen.clone();
                std::thread::spawn(move || serve(&stream, &seen));
            }
        });
        collector
    }

    /// The configuration that has a server export to it.
    pub fn config(&self) -> String {
        format!("tracing.endpoint = \"http://{}\"\n", self.address)
    }

    /// From now on it answers like that.
    pub fn answer(&self, manner: Manner) {
        lock(&self.seen).manner = manner;
    }

    /// How many requests came.
    pub fn requests(&self) -> usize {
        lock(&self.seen).requests
    }

    /// The heads of all requests.
    pub fn heads(&self) -> String {
        lock(&self.seen).heads.clone()
    }

    /// All that came, as text.
    pub fn text(&self) -> String {
        lock(&self.seen).bodies.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
    }

    /// The spans of a trace that were taken so far.
    pub fn spans(&self, trace_id: &str) -> Vec<Span> {
        lock(&self.seen).spans.iter().filter(|span| span.trace_id == trace_id).cloned().collect()
    }

    /// The spans of a trace, once there are so many that `is_there` likes them.
    #[track_caller]
    pub fn await_spans(&self, trace_id: &str, is_there: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let spans = || Some(self.spans(trace_id)).filter(|spans| is_there(spans));
        wait_for(&format!("the spans of {trace_id}"), COME, spans, || format!("{:#?}", self.spans(trace_id)))
    }
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, seen: &Mutex<Seen>) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some((head, body)) = request(&mut reader) {
        let manner = {
            let mut seen = lock(seen);
            seen.requests += 1;
            seen.heads.push_str(&head);
            if seen.manner == Manner::Status(200) {
                assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
                assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
                let spans = spans_of(&body);
                seen.spans.extend(spans);
                seen.bodies.push(body);
            }
            seen.manner
        };
        let Manner::Status(status) = manner else {
            // Until the client has had enough.
            let _ = reader.read(&mut [0]);
            return;
        };
        let answer =
            format!("HTTP/1.1 {status} Answer\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n");
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Head and body of the next request.
fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

fn spans_of(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).expect("the body is OTLP");
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = of_resource.resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
        for of_scope in of_resource.scope_spans {
            assert_eq!(of_scope.scope.expect("a scope").name, "gristmill");
            spans.extend(of_scope.spans.iter().map(|sent| span(sent, &resource)));
        }
    }
    spans
}

fn span(sent: &Sent, resource: &BTreeMap<String, String>) -> Span {
    Span {
        trace_id: hex::encode(&sent.trace_id),
        id: hex::encode(&sent.span_id),
        parent: hex::encode(&sent.parent_span_id),
        state: sent.trace_state.clone(),
        name: sent.name.clone(),
        kind: sent.kind(),
        is_error: sent.status.as_ref().is_some_and(|status| status.code() == StatusCode::Error),
        times: (sent.start_time_unix_nano, sent.end_time_unix_nano),
        links: sent.links.iter().map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id))).collect(),
        attributes: attributes(&sent.attributes),
        resource: resource.clone(),
    }
}

fn attributes(sent: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        other => panic!("an attribute of another type: {other:?}"),
    };
    sent.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}
