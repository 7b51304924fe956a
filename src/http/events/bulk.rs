//! `application/x-ndjson`: any number of events on one connection. Each piece of the body is a unit of its own, a bad
//! line is one bad result, and the results are streamed when the client requests lines as well.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, HeaderMap};
use actix_web::web::Data;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::{Peekable, unfold};
use futures_util::{Stream, StreamExt};
use schemars::JsonSchema;
use serde::Serialize;

use super::intake::{Intake, TakenEvents};
use super::lines::{Lines, Piece, ROOM_WAIT};
use super::report::{ItemResult, Tally};
use crate::domain::json::write_line;
use crate::http::caller::Caller;
use crate::http::encoding::Unpacked;
use crate::http::error::ApiError;
use crate::http::headers::weighed;
use crate::http::problems::Problem;
use crate::http::respond::{self, json};
use crate::http::state::AppState;
use crate::http::trace::RequestTrace;
use crate::pipeline::{Handling, Room};

/// Pieces of one body that are at work at once.
const PIECES_MAX: usize = 4;

/// Results other than successes which an answer in one piece repeats.
const FAILURES_MAX: usize = 1_000;

const NDJSON: &str = "application/x-ndjson";

/// To store them.
pub const STORING: Purpose =
    Purpose { settle: |state, taken, room| Box::pin(store(state, taken, room)), tally: Tally::OF_STORED };

/// What became of one piece.
pub struct Settled {
    /// A result per event.
    pub results: Vec<ItemResult>,
    /// Why no more of the body is read.
    pub stop: Option<ApiError>,
}

/// The sender of lines, and how it sends them.
#[derive(Clone)]
pub struct Sender {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The request's `Idempotency-Key`.
    pub key: Option<String>,
    /// The trace that the request is part of.
    pub trace: RequestTrace,
}

/// What lines are taken for.
#[derive(Clone, Copy)]
pub struct Purpose {
    /// Does with the events of a piece what is to be done.
    pub settle: fn(Arc<AppState>, TakenEvents, Room) -> LocalBoxFuture<'static, Settled>,
    /// What the results are counted in.
    pub tally: Tally,
}

/// Takes lines until the body ends.
pub async fn take_lines(
    state: Data<AppState>,
    headers: &HeaderMap,
    body: Unpacked,
    sender: Sender,
    purpose: Purpose,
) -> Result<HttpResponse, ApiError> {
    let wants_lines = wants_lines(headers);
    let lines = Lines::new(state.pipeline.clone(), body, state.body_limits);
    let settled = settle_all(state.into_inner(), sender, lines, purpose);
    let settled = Box::pin(settled.peekable());
    if wants_lines { streamed(settled, purpose.tally).await } else { collected(settled, purpose.tally).await }
}

fn wants_lines(headers: &HeaderMap) -> bool {
    weighed(headers, ACCEPT).any(|(kind, weight)| kind.eq_ignore_ascii_case(NDJSON) && weight > 0)
}

/// The pieces' results in order, some pieces at work at once; nothing is read any more once a piece was not stored.
fn settle_all(state: Arc<AppState>, sender: Sender, lines: Lines, purpose: Purpose) -> impl Stream<Item = Settled> {
    let stop = Rc::new(Cell::new(false));
    let pieces = unfold((lines, 0, stop.clone()), move |(mut lines, first, stop)| {
        let sender = sender.clone();
        async move {
            if stop.get() {
                return None;
            }
            let piece = match lines.next().await {
                Ok(piece) => Ok(read(&sender, first, piece?)),
                Err(error) => {
                    stop.set(true);
                    Err(error)
                }
            };
            let next = first + piece.as_ref().map_or(0, |(taken, _)| taken.len() as u64);
            Some((piece, (lines, next, stop)))
        }
    });
    let settle = move |piece: Result<(TakenEvents, Room), ApiError>| {
        let state = state.clone();
        let stop = stop.clone();
        async move {
            let settled = match piece {
                Ok((taken, room)) => (purpose.settle)(state, taken, room).await,
                Err(error) => Settled { results: Vec::new(), stop: Some(error) },
            };
            stop.set(stop.get() || settled.stop.is_some());
            settled
        }
    };
    pieces.map(settle).buffered(PIECES_MAX)
}

fn read(sender: &Sender, first: u64, piece: Piece) -> (TakenEvents, Room) {
    let intake = Intake::new(&sender.caller, sender.key.as_deref(), first);
    let mut intake = intake.in_trace(sender.trace.clone());
    for line in piece.body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        match std::str::from_utf8(line) {
            Ok(text) => intake.take(&piece.body, text),
            Err(error) => {
                let at = error.valid_up_to();
                intake.refuse("invalid_json", format!("the line is not UTF-8: invalid byte at offset {at}"));
            }
        }
    }
    if piece.has_long_line {
        intake.refuse(Problem::BodyTooLarge.entry().code, "the line is over the limit of limits.body_bytes".to_owned());
    }
    (intake.finish(), piece.room)
}

async fn store(state: Arc<AppState>, mut taken: TakenEvents, mut room: Room) -> Settled {
    let entries = taken.take_entries();
    if entries.is_empty() {
        return Settled { results: taken.results(Vec::new()), stop: None };
    }
    if let Err(error) = room.cover_within(ROOM_WAIT, entries.len()).await.map_err(ApiError::from) {
        return Settled { results: taken.unsettled(&error), stop: Some(error) };
    }
    match state.pipeline.process_events_batch(entries, Handling::Lenient, room).await.map_err(ApiError::from) {
        Ok(receipts) => Settled { results: taken.results(receipts), stop: None },
        Err(error) => Settled { results: taken.unsettled(&error), stop: Some(error) },
    }
}

/// The report of lines that were not streamed.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "LinesReport")]
pub struct LinesReport {
    status: &'static str,
    #[serde(flatten)]
    tally: Tally,
    /// Whether the whole body was taken.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    results: Vec<ItemResult>,
}

/// One answer with the counts and the first results that are not successes.
async fn collected(
    mut settled: impl Stream<Item = Settled> + Unpin,
    mut tally: Tally,
) -> Result<HttpResponse, ApiError> {
    let mut failures = Vec::new();
    let mut stop = None;
    while let Some(piece) = settled.next().await {
        piece.results.iter().for_each(|result| tally.add(result));
        let room = FAILURES_MAX.saturating_sub(failures.len());
        failures.extend(piece.results.into_iter().filter(|result| !result.is_success()).take(room));
        stop = stop.or(piece.stop);
    }
    // Where nothing came of it, there is no outcome to report but this one.
    match stop {
        Some(error) if tally.failed == tally.total_events => Err(error),
        None if tally.total_events == 0 => Err(without_lines()),
        stop => {
            let code = if stop.is_some() { StatusCode::MULTI_STATUS } else { tally.code() };
            let status = if stop.is_some() { "partial" } else { tally.status() };
            let report = LinesReport {
                status,
                tally,
                complete: stop.is_none(),
                error: stop.as_ref().map(|error| error.detail().to_owned()),
                code: stop.as_ref().map(|error| error.problem().entry().code),
                results: failures,
            };
            Ok(json(code, &report))
        }
    }
}

fn without_lines() -> ApiError {
    ApiError::new(Problem::BatchEmpty, "the body has no lines with events")
}

/// The last line of streamed results.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "LinesSummary")]
pub struct LinesSummary {
    summary: Totals,
}

#[derive(JsonSchema, Serialize)]
struct Totals {
    status: &'static str,
    #[serde(flatten)]
    tally: Tally,
}

/// A line per result, and a summary as the last one; without it the answer is not whole. What is wrong from the start
/// is reported with its status, which can only be done before the first result.
async fn streamed<S>(mut settled: Pin<Box<Peekable<S>>>, tally: Tally) -> Result<HttpResponse, ApiError>
where
    S: Stream<Item = Settled> + 'static,
{
    loop {
        match settled.as_mut().peek_mut().await {
            None => return Err(without_lines()),
            Some(Settled { results, stop }) if results.is_empty() => match stop.take() {
                Some(error) => return Err(error),
                None => drop(settled.next().await),
            },
            Some(_) => break,
        }
    }
    let start = Some((settled, tally, None));
    let body = unfold(start, |state| async move {
        let (mut settled, mut tally, mut stop): (_, Tally, Option<ApiError>) = state?;
        let Some(piece) = settled.next().await else {
            let end = match stop {
                None => {
                    let mut last = Vec::new();
                    write_line(&mut last, &LinesSummary { summary: Totals { status: tally.status(), tally } });
                    Ok(Bytes::from(last))
                }
                // An answer that breaks off is seen by every client.
                Some(error) => Err(std::io::Error::other(error.detail().to_owned())),
            };
            return Some((end, None));
        };
        let mut lines = Vec::new();
        for result in &piece.results {
            tally.add(result);
            write_line(&mut lines, result);
        }
        stop = stop.or(piece.stop);
        Some((Ok(Bytes::from(lines)), Some((settled, tally, stop))))
    });
    Ok(respond::lines(NDJSON, body))
}
