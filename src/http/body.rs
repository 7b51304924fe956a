//! The body of a request: whether its client waits until it is requested, what becomes of what nobody reads, and how it is
//! read.
//!
//! It is read under a limit of bytes and two deadlines, and only while there is room for it: no client can fill the memory
//! or hold a connection by sending slowly, and all of them together cannot fill it either. What is packed is unpacked on
//! the way, and counts as what comes out.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::connection::{EXPECTATION, Interim};
use super::encoding::{Coding, Unpacked};
use super::error::ApiError;
use super::problems::Problem;
use crate::pipeline::{Pipeline, Room};
use crate::telemetry::facts;

/// Bodies up to this many bytes are copied: a slice would keep the connection's read buffer of 32 KiB alive for as
/// long as the event is in flight.
const COPIED_BYTES_MAX: usize = 4_096;

/// A body that was not read to its end yet; extracting it never fails.
///
/// It stays with its request until that is answered: a body that is dropped unread is swallowed by actix for as long as
/// chunks arrive, one that is still held when the answer goes out makes actix close the connection.
pub struct RequestBody(HttpRequest);

/// The body, among the request's extensions; absent if it has none.
struct KeptBody {
    payload: Payload,
    /// What requests the body, as long as its client holds it back, and whether it did.
    interim: Option<Interim>,
    is_requested: bool,
}

impl RequestBody {
    /// Puts the body where it stays with its request.
    pub(super) fn keep(request: &mut ServiceRequest) {
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return;
        }
        let waits = request.headers().contains_key(EXPECTATION);
        let interim = if waits { request.conn_data::<Interim>().cloned() } else { None };
        request.extensions_mut().insert(KeptBody { payload, interim, is_requested: false });
    }

    /// The body of `request`.
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self(request.clone())
    }

    /// Whether the client holds the body back until it is requested.
    fn is_held_back(&self) -> bool {
        self.0.extensions().get::<KeptBody>().is_some_and(KeptBody::is_held_back)
    }

    /// Room for the body. A client that holds it back until it is requested learns at once that there is none.
    pub fn room(&self, pipeline: &Pipeline) -> Result<Room, ApiError> {
        match announced_length(self.0.headers()).filter(|_| self.is_held_back()) {
            Some(bytes) => Ok(pipeline.room_for(bytes)?),
            None => Ok(pipeline.room()),
        }
    }

    /// The answer is there: nobody wants the body any more. Says whether it was held back to the end.
    pub(super) fn settle(&self) -> bool {
        let mut extensions = self.0.extensions_mut();
        let Some(body) = extensions.get_mut::<KeptBody>() else { return false };
        let was_held_back = body.is_held_back();
        if let Some(interim) = body.interim.take() {
            interim.withdraw();
        }
        was_held_back
    }

    /// The answer that holds what was not read until it has gone out.
    pub(super) fn held_by(self, response: HttpResponse) -> HttpResponse {
        if self.0.extensions().contains::<KeptBody>() {
            response.map_body(|_, body| BoxBody::new(HoldingBody { body, _held: self }))
        } else {
            response
        }
    }
}

impl KeptBody {
    fn is_held_back(&self) -> bool {
        self.interim.is_some() && !self.is_requested
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut extensions = self.0.extensions_mut();
        let Some(body) = extensions.get_mut::<KeptBody>() else { return Poll::Ready(None) };
        let next = Pin::new(&mut body.payload).poll_next(context);
        match &body.interim {
            // A client that sends unprompted waits for nothing.
            Some(interim) if next.is_ready() => {
                interim.withdraw();
                body.interim = None;
            }
            Some(interim) if !body.is_requested => {
                interim.request_body();
                body.is_requested = true;
            }
            _ => {}
        }
        next
    }
}

impl FromRequest for RequestBody {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

/// The body of an answer, which prevents the request's body from being swallowed; see [`RequestBody`].
struct HoldingBody {
    body: BoxBody,
    _held: RequestBody,
}

impl MessageBody for HoldingBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(context)
    }
}

/// How much of a body is read, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Most bytes of a body.
    pub bytes_max: usize,
    /// Longest time in which no byte arrives.
    pub silence_max: Duration,
    /// Longest time for the whole body.
    pub total_max: Duration,
}

impl BodyLimits {
    /// The same deadlines with another limit of bytes.
    pub fn with_bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }
}

/// Reads `payload` to its end; 413 before a byte is read if its announced length is over the limit.
///
/// `make_room` is called for every chunk before it is stored: bytes that are only announced take no room from others.
pub async fn read<S>(
    headers: &HeaderMap,
    payload: S,
    limits: &BodyLimits,
    make_room: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
{
    refuse_announced(headers, limits)?;
    match Coding::declared(headers)? {
        Coding::Identity => read_plain(announced_length(headers), payload, limits, make_room).await,
        coding => read_unpacked(coding.unpack(payload), limits, make_room).await,
    }
}

/// Reads a body that is unpacked already, to its end.
pub async fn read_unpacked(
    body: Unpacked,
    limits: &BodyLimits,
    make_room: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError> {
    read_plain(None, body, limits, make_room).await
}

/// 413 if the announced length is over the limit.
pub fn refuse_announced(headers: &HeaderMap, limits: &BodyLimits) -> Result<(), ApiError> {
    match announced_length(headers).filter(|length| *length > limits.bytes_max as u64) {
        Some(length) => {
            Err(ApiError::body_too_large(format!("the body is {length} bytes, limit {}", limits.bytes_max)))
        }
        None => Ok(()),
    }
}

async fn read_plain<S>(
    announced: Option<u64>,
    mut payload: S,
    limits: &BodyLimits,
    mut make_room: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Bytes, ApiError>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    let mut clock = Deadlines::start(limits);
    let Some(first) = clock.next(&mut payload, 0).await? else { return Ok(Bytes::new()) };
    if announced == Some(first.len() as u64) && first.len() <= limits.bytes_max {
        make_room(first.len())?;
        return Ok(if first.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&first) } else { first });
    }
    let mut body = BytesMut::new();
    let mut next = Some(first);
    while let Some(chunk) = next {
        make_room(chunk.len())?;
        append(&mut body, &chunk, limits)?;
        next = clock.next(&mut payload, body.len() as u64).await?;
    }
    Ok(body.freeze())
}

/// What `Content-Length` says.
pub fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn append(body: &mut BytesMut, chunk: &[u8], limits: &BodyLimits) -> Result<(), ApiError> {
    if body.len() + chunk.len() > limits.bytes_max {
        return Err(ApiError::body_too_large(format!("the body is over the limit of {} bytes", limits.bytes_max)));
    }
    body.extend_from_slice(chunk);
    Ok(())
}

/// The deadlines of one body.
pub struct Deadlines<'a> {
    limits: &'a BodyLimits,
    end: Option<Instant>,
}

impl<'a> Deadlines<'a> {
    /// For a body that has to be whole in time.
    pub fn start(limits: &'a BodyLimits) -> Self {
        Self { limits, end: Some(Instant::now() + limits.total_max) }
    }

    /// For a body of any length, which only must not fall silent.
    pub fn of_silence(limits: &'a BodyLimits) -> Self {
        Self { limits, end: None }
    }

    /// The next chunk, or `None` at the body's end; `so_far` is for the message.
    pub async fn next<S>(&mut self, payload: &mut S, so_far: u64) -> Result<Option<Bytes>, ApiError>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    {
        let silence_end = Instant::now() + self.limits.silence_max;
        let end = self.end.unwrap_or(silence_end);
        match timeout_at(silence_end.min(end), payload.next()).await {
            Ok(chunk) => chunk.transpose().map_err(broken),
            Err(_) if silence_end <= end => Err(self.late(so_far, "silent for", self.limits.silence_max)),
            Err(_) => Err(self.late(so_far, "not complete after", self.limits.total_max)),
        }
    }

    fn late(&self, so_far: u64, how: &str, limit: Duration) -> ApiError {
        let hint = if self.end.is_none() { "; a blank line now and then keeps a quiet stream open" } else { "" };
        let text = format!("the body was {how} {} s, bytes so far: {so_far}{hint}", limit.as_secs_f64());
        ApiError::request_timeout(text)
    }
}

fn broken(error: PayloadError) -> ApiError {
    match error {
        PayloadError::Overflow => ApiError::body_too_large("the body is over the server's limit".to_owned()),
        PayloadError::Incomplete(_) => {
            facts::client_left();
            ApiError::invalid_request("the body ends early, or its chunks are malformed")
        }
        PayloadError::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            ApiError::new(Problem::InvalidContentEncoding, error.to_string())
        }
        _ => ApiError::invalid_request("the body's transfer encoding is malformed"),
    }
}

#[cfg(test)]
mod tests;
