//! Sends a batch, and reads out of the answer what became of it.

use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::batch_queue::BatchQueue;
use super::batches::{Batch, BatchOutcome};
use crate::cli::client::api_client::{ApiClient, ServerAnswer};
use crate::domain::json::write_line;

const PATH: &str = "/api/v1/events/batch";

/// Answers that are worth the same request again, which the batch's key makes harmless.
const WORTH_A_RETRY: [u16; 7] = [408, 429, 500, 502, 503, 504, 507];

enum Sent {
    Taken { duplicates: u64, failures: Vec<FailedItem> },
    Again { after: Option<Duration>, why: String },
    Never(anyhow::Error),
}

#[derive(Deserialize)]
struct BatchReply {
    total_events: u64,
    duplicates: u64,
    results: Vec<FailedItem>,
}

#[derive(Deserialize)]
struct FailedItem {
    /// Among the events that were sent.
    index: usize,
    error: Option<String>,
    code: Option<String>,
}

#[derive(Deserialize)]
struct ProblemReply {
    retryable: bool,
}

#[derive(Serialize)]
struct Reject<'a> {
    line: u64,
    event: Shown<'a>,
    error: &'a str,
    code: &'a str,
}

/// The event as it stood in the file; a text if it was not JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

/// Sends batches until there are no more.
pub(super) fn deliver(queue: &BatchQueue, client: &ApiClient, identity: &str) {
    while let Some(batch) = queue.take() {
        match send(client, &batch, identity) {
            Sent::Taken { duplicates, failures } => queue.settle(outcome(&batch, duplicates, &failures)),
            Sent::Again { after, why } => queue.requeue(batch, after, why),
            Sent::Never(error) => queue.give_up(error),
        }
    }
}

fn send(client: &ApiClient, batch: &Batch, identity: &str) -> Sent {
    let events = batch.sendable().count();
    if events == 0 {
        return Sent::Taken { duplicates: 0, failures: Vec::new() };
    }
    let key = format!("import:{identity}:{}", batch.first);
    let headers = [("Idempotency-Key", key.as_str()), ("Prefer", "return=minimal")];
    match client.post(PATH, &headers, &batch.body()) {
        Err(error) => Sent::Again { after: None, why: format!("no answer from {}: {error}", client.base()) },
        Ok(answer) => judge(&answer, events),
    }
}

fn judge(answer: &ServerAnswer, events: usize) -> Sent {
    let again = |why| Sent::Again { after: answer.retry_after, why };
    let reply_text = || format!("the server answered {}: {}", answer.status, answer.reason());
    if let (200..=299 | 422, Ok(report)) = (answer.status, answer.json::<BatchReply>()) {
        return match report.results.iter().all(|failure| failure.code.is_some() && failure.index < events) {
            true if report.total_events == events as u64 => {
                Sent::Taken { duplicates: report.duplicates, failures: report.results }
            }
            // An outcome without a reason is one that nobody knows.
            _ => again("the server's report leaves events open".to_owned()),
        };
    }
    let is_retryable = answer.json::<ProblemReply>().is_ok_and(|problem| problem.retryable);
    match answer.status {
        status if WORTH_A_RETRY.contains(&status) || is_retryable => again(reply_text()),
        413 if events == 1 => {
            let failure =
                FailedItem { index: 0, error: Some(answer.reason()), code: Some("body_too_large".to_owned()) };
            Sent::Taken { duplicates: 0, failures: vec![failure] }
        }
        413 => Sent::Never(anyhow!("{}; a smaller --batch may fit", reply_text())),
        _ => Sent::Never(anyhow!(reply_text())),
    }
}

fn outcome(batch: &Batch, duplicates: u64, failures: &[FailedItem]) -> BatchOutcome {
    let mut index = 0;
    let mut rejects = Vec::new();
    for event in &batch.events {
        if let Some((code, error)) = &event.flaw {
            rejects.push(Reject { line: event.line, event: Shown::Text(&event.text), error, code }.line());
            continue;
        }
        if let Some(failure) = failures.iter().find(|failure| failure.index == index) {
            let shown = serde_json::from_str(&event.text).map_or(Shown::Text(&event.text), Shown::Json);
            let error = failure.error.as_deref().unwrap_or_default();
            let code = failure.code.as_deref().unwrap_or_default();
            rejects.push(Reject { line: event.line, event: shown, error, code }.line());
        }
        index += 1;
    }
    BatchOutcome { first: batch.first, end: batch.end(), duplicates, rejects }
}

impl Reject<'_> {
    /// One line, whatever the event's own line breaks.
    fn line(&self) -> String {
        let mut line = Vec::new();
        write_line(&mut line, self);
        String::from_utf8(line).expect("JSON is UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use super::super::events::InputEvent;
    use super::*;

    fn answer(status: u16, text: &str) -> ServerAnswer {
        ServerAnswer { status, retry_after: Some(Duration::from_secs(2)), text: text.to_owned(), advice: None }
    }

    #[test]
    fn an_answer_is_an_outcome_or_worth_a_retry_or_the_end() {
        let report = r#"{"total_events":2,"duplicates":1,"results":[{"index":1,"error":"e","code":"c"}]}"#;
        for status in [200, 202, 207, 422] {
            assert!(matches!(judge(&answer(status, report), 2), Sent::Taken { duplicates: 1, .. }), "{status}");
        }
        let open = report.replace(r#","code":"c""#, "");
        for (status, text) in [
            (200, ""),
            (207, open.as_str()),
            (429, "{}"),
            (503, ""),
            (504, "<html>"),
            (409, r#"{"retryable":true}"#),
            (200, r#"{"total_events":1,"duplicates":0,"results":[]}"#),
        ] {
            let sent = judge(&answer(status, text), 2);
            // A 200 without a report came from something else than the server.
            let is_again = matches!(sent, Sent::Again { after: Some(_), .. });
            assert_eq!(is_again, !(status == 200 && text.is_empty()), "{status} {text}");
        }
        for status in [400, 401, 403, 404, 413, 422] {
            assert!(matches!(judge(&answer(status, r#"{"retryable":false}"#), 2), Sent::Never(_)), "{status}");
        }
        assert!(matches!(judge(&answer(413, "{}"), 1), Sent::Taken { .. }), "one event that is too large");
    }

    #[test]
    fn rejects_are_found_by_their_place_among_those_sent() {
        let event = |line, text: &str| InputEvent { line, text: text.to_owned(), flaw: None };
        let broken = InputEvent { flaw: Some(("invalid_json", "why".to_owned())), ..event(2, "{\n") };
        let batch = Batch { first: 10, events: vec![event(1, "{}"), broken, event(3, "{\n\"a\":1}")] };
        assert_eq!(batch.body(), "[{},\n{\n\"a\":1}]");
        let failure = FailedItem { index: 1, error: Some("no".to_owned()), code: Some("bad".to_owned()) };
        let outcome = outcome(&batch, 0, &[failure]);
        assert_eq!((outcome.first, outcome.end), (10, 13));
        let expected = [
            "{\"line\":2,\"event\":\"{\\n\",\"error\":\"why\",\"code\":\"invalid_json\"}\n",
            "{\"line\":3,\"event\":{ \"a\":1},\"error\":\"no\",\"code\":\"bad\"}\n",
        ];
        assert_eq!(outcome.rejects, expected);
    }
}
