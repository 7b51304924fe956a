//! Reads a request's body under a limit of bytes and two deadlines, and only while there is room for it: no client can
//! fill the memory or hold a connection by sending slowly, and all of them together cannot fill it either. What is
//! packed is unpacked on the way, and counts as what comes out.

use std::io;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::encoding::{Coding, Unpacked};
use super::error::ApiError;
use super::problems::Problem;
use crate::telemetry::facts;

/// Bodies up to this many bytes are copied: a slice would keep the connection's read buffer of 32 KiB alive for as
/// long as the event is in flight.
const COPIED_BYTES_MAX: usize = 4_096;

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
mod tests {
    use actix_web::http::header::HeaderValue;
    use actix_web::rt::System;
    use futures_util::stream;

    use super::*;

    const LIMITS: BodyLimits =
        BodyLimits { bytes_max: 10, silence_max: Duration::from_millis(20), total_max: Duration::from_millis(60) };

    fn run<S>(length: Option<&'static str>, payload: S) -> Result<Bytes, (&'static str, String)>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        System::new()
            .block_on(read(&headers, payload, &LIMITS, |_| Ok(())))
            .map_err(|error| (error.problem().entry().code, error.detail().to_owned()))
    }

    fn chunks(parts: &[&'static str]) -> impl Stream<Item = Result<Bytes, PayloadError>> + Unpin + use<> {
        stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect::<Vec<_>>())
    }

    #[test]
    fn a_body_is_read_whole_up_to_the_limit() {
        assert_eq!(run(None, chunks(&[])), Ok(Bytes::new()));
        assert_eq!(run(Some("4"), chunks(&["abcd"])).as_deref(), Ok(b"abcd".as_slice()));
        assert_eq!(run(None, chunks(&["abcde", "", "fghij"])).as_deref(), Ok(b"abcdefghij".as_slice()));
    }

    #[test]
    fn an_announced_length_over_the_limit_is_refused_unread() {
        let silent = stream::pending();
        let refused = ("body_too_large", "the body is 10000000000 bytes, limit 10".to_owned());
        assert_eq!(run(Some("10000000000"), silent), Err(refused));
        assert_eq!(run(Some("11"), stream::pending()).map_err(|error| error.0), Err("body_too_large"));
    }

    #[test]
    fn an_unannounced_body_is_stopped_at_the_limit() {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"abc")));
        let refused = ("body_too_large", "the body is over the limit of 10 bytes".to_owned());
        assert_eq!(run(None, endless), Err(refused));
    }

    #[test]
    fn room_is_made_before_anything_is_kept() {
        let requested = |length: Option<&'static str>, parts: &[&'static str]| {
            let (mut requested, mut headers) = (Vec::new(), HeaderMap::new());
            if let Some(length) = length {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            let make_room = |bytes| {
                requested.push(bytes);
                if bytes > 5 { Err(ApiError::internal("full")) } else { Ok(()) }
            };
            let read = System::new().block_on(read(&headers, chunks(parts), &LIMITS, make_room));
            (requested, read.is_ok())
        };
        for length in [Some("10"), None] {
            assert_eq!(requested(length, &["ab", "cd"]), (vec![2, 2], true), "as it comes");
            assert_eq!(requested(length, &["ab", "cd", "efghij"]), (vec![2, 2, 6], false));
        }
        assert_eq!(requested(Some("6"), &["abcdef"]), (vec![6], false), "all of it is kept at once");
    }

    #[test]
    fn a_silent_body_and_a_dripping_one_are_cut_off() {
        let silent = chunks(&["ab"]).chain(stream::pending());
        let late = ("request_timeout", "the body was silent for 0.02 s, bytes so far: 2".to_owned());
        assert_eq!(run(None, silent), Err(late));
        let dripping = stream::unfold(None, |drops: Option<tokio::time::Interval>| async {
            let mut drops = drops.unwrap_or_else(|| tokio::time::interval(Duration::from_millis(10)));
            drops.tick().await;
            Some((Ok(Bytes::from_static(b"a")), Some(drops)))
        });
        let (code, detail) = run(None, Box::pin(dripping)).expect_err("must be cut off");
        assert_eq!(code, "request_timeout");
        assert!(detail.starts_with("the body was not complete after 0.06 s"), "{detail}");
    }

    #[test]
    fn a_broken_body_is_the_clients_error() {
        let broken = stream::iter([Err(PayloadError::EncodingCorrupted)]);
        assert_eq!(run(None, broken).map_err(|error| error.0), Err("invalid_request"));
    }
}
