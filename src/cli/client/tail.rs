//! `gristmill tail`: outcomes as they happen, a line of JSON each; goes on where it was when the connection breaks.
//!
//! Not guaranteed: that an outcome is printed only once. What may be missing is reported on standard error.

use std::io::BufRead;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;

use super::api_client::ApiClient;
use crate::cli::args::client::TailArgs;
use crate::cli::output::{OutputError, print, remark};

/// Waits between two connections.
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(15);

/// The position in the stream, and the item that is being read.
#[derive(Debug, Default, PartialEq)]
struct StreamPosition {
    id: Option<String>,
    /// The position behind what comes next: one that was cut off on its way is requested again.
    next: Option<String>,
    kind: String,
}

pub(super) fn run(tail: &TailArgs, client: &ApiClient) -> anyhow::Result<ExitCode> {
    let mut place = StreamPosition::default();
    let mut wait = WAIT_FIRST;
    let mut is_first = true;
    loop {
        let before = place.id.clone();
        let why = match follow(tail, client, &mut place) {
            // What is wrong from the start will not get better, nor will an output that takes nothing more.
            Err(error) if error.is::<OutputError>() || (is_first && place.id.is_none()) => return Err(error),
            Err(error) => format!("{error:#}"),
            Ok(()) => "the server ended the stream".to_owned(),
        };
        is_first = false;
        wait = if place.id == before { (wait * 2).min(WAIT_MAX) } else { WAIT_FIRST };
        remark(format_args!("gristmill: {why}; again in {} ms", wait.as_millis()));
        sleep(wait);
    }
}

/// Follows one connection to its end.
fn follow(tail: &TailArgs, client: &ApiClient, place: &mut StreamPosition) -> anyhow::Result<()> {
    let last: Vec<(&str, &str)> = place.id.iter().map(|id| ("Last-Event-ID", id.as_str())).collect();
    let mut lines = client.read("/api/v1/events/stream", &tail.filters.parameters(), &last)?;
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line).context("the stream broke off")? == 0 {
            return Ok(());
        }
        match place.take(line.trim_end()) {
            Some(("gap", data)) => remark(format_args!("gristmill: outcomes may be missing here: {data}")),
            Some((_, data)) => print(data)?,
            None => {}
        }
    }
}

impl StreamPosition {
    /// Takes a line of the stream; the kind and data of the item that it ends.
    fn take<'a>(&'a mut self, line: &'a str) -> Option<(&'a str, &'a str)> {
        match line.split_once(": ")? {
            ("id", id) => self.next = Some(id.to_owned()),
            ("event", kind) => kind.clone_into(&mut self.kind),
            ("data", data) => {
                self.id = self.next.take().or_else(|| self.id.take());
                return Some((&self.kind, data));
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_lines_carry_place_kind_and_data() {
        let mut place = StreamPosition::default();
        for line in [": alive", "", "id: 7.1", "event: outcome"] {
            assert_eq!(place.take(line), None, "{line}");
        }
        assert_eq!(place.id, None, "not before it was told");
        assert_eq!(place.take("data: {\"a\": 1}"), Some(("outcome", "{\"a\": 1}")));
        assert_eq!(place.id.as_deref(), Some("7.1"));
    }
}
