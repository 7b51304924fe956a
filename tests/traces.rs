//! Traces: the context of an event, wherever it goes, and the spans that are told of it.

mod carried;
mod outages;
mod settings;
mod spans;
#[cfg(feature = "fault-injection")]
mod survival;

use serde_json::Value;

use crate::support::collector::Span;
use crate::support::events::EVENTS;
use crate::support::http::{Answer, Client};
use crate::support::server::Server;

/// The trace of a caller, and the span in it that calls.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// Another trace.
const OTHER: &str = "0af7651916cd43dd8448eb211c80319c";

/// `traceparent` of a span of `TRACE` that is sampled.
fn parent() -> String {
    format!("00-{TRACE}-{CALLER}-01")
}

/// Posts an event with these headers beside its media type.
fn post(client: &Client, event: &Value, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    client.call("POST", EVENTS, &headers, Some(event.to_string().as_bytes()))
}

/// Posts an event as a part of `TRACE`.
fn post_traced(client: &Client, event: &Value) -> Answer {
    post(client, event, &[("traceparent", &parent())])
}

/// The spans of this name, in the order of their beginning.
fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    let mut named: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    named.sort_by_key(|span| span.times);
    named
}

/// The only span of this name.
#[track_caller]
fn only<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let [span] = named(spans, name)[..] else { panic!("not one span {name:?}: {spans:#?}") };
    span
}

/// A sample of the server's metrics.
fn metric(server: &Server, sample: &str) -> u64 {
    let page = server.dashboard().get("/metrics").body;
    let value = page.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {sample} in\n{page}"))
}
