//! Bodies of lines: whether a body holds lines, judged by its beginning where its type is not declared, and the pieces
//! that it is cut into as it arrives. Memory holds a piece, however many lines come.
//!
//! Senders of lines leave the type out, or send the one of curl's `--data-binary`. JSON text ends with its value: an
//! object that fills a line, with more behind it, can only be the first of several lines.

use std::time::Duration;

use actix_web::HttpRequest;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::once;
use memchr::{memchr, memchr_iter};
use tokio::time::timeout;

use crate::domain::batch::is_batch;
use crate::domain::json::check_syntax;
use crate::http::body::{BodyLimits, Deadlines, RequestBody, refuse_announced};
use crate::http::encoding::{Coding, Unpacked};
use crate::http::error::ApiError;
use crate::http::media::Media;
use crate::http::state::AppState;
use crate::pipeline::{Pipeline, Room};

/// Most lines and bytes of a piece, which is one transaction at most.
const LINES_MAX: usize = 1_000;
const BYTES_MAX: usize = 1_024 * 1_024;

/// How long a piece that could go waits for more: a lively client gets full pieces, a slow one is not kept waiting.
const LINGER: Duration = Duration::from_millis(2);

/// How long room is waited for; meanwhile nothing is read, and TCP slows the client down.
pub const ROOM_WAIT: Duration = Duration::from_secs(10);

/// Some lines of the body, and the room that they take.
pub struct Piece {
    /// The lines' bytes.
    pub body: Bytes,
    /// Whether a line follows that is over the limit, and was thrown away.
    pub has_long_line: bool,
    /// Room in flight for the bytes.
    pub room: Room,
}

/// The rest of a body.
pub struct Lines {
    pipeline: Pipeline,
    body: Unpacked,
    limits: BodyLimits,
    buffer: BytesMut,
    /// Bytes that came so far.
    arrived: u64,
    /// Lines in the buffer that are whole, and the position behind the last of them.
    whole: usize,
    end: usize,
    room: Room,
    /// A chunk that there was no room for.
    late: Option<Bytes>,
    is_skipping: bool,
}

/// What the body does next.
enum Arrival {
    Chunk(Bytes),
    Pause,
    End,
}

impl Lines {
    /// Lines of at most `limits.bytes_max` bytes each; the body must only not fall silent.
    pub fn new(pipeline: Pipeline, body: Unpacked, limits: BodyLimits) -> Self {
        let room = pipeline.room();
        Self {
            pipeline,
            body,
            limits,
            buffer: BytesMut::new(),
            arrived: 0,
            whole: 0,
            end: 0,
            room,
            late: None,
            is_skipping: false,
        }
    }

    /// The next lines; `None` at the body's end.
    pub async fn next(&mut self) -> Result<Option<Piece>, ApiError> {
        loop {
            if self.whole >= LINES_MAX || self.end >= BYTES_MAX {
                return Ok(Some(self.cut()));
            }
            if self.buffer.len() - self.end > self.limits.bytes_max {
                return Ok(Some(self.cut_long_line()));
            }
            match self.arrive().await? {
                Arrival::Chunk(chunk) if self.has_room_for(chunk.len()).await? => self.append(&chunk),
                Arrival::Chunk(chunk) => {
                    self.late = Some(chunk);
                    return Ok(Some(self.cut()));
                }
                Arrival::Pause => return Ok(Some(self.cut())),
                Arrival::End => {
                    self.end = self.buffer.len();
                    return Ok((self.end > 0).then(|| self.cut()));
                }
            }
        }
    }

    /// What comes next; a pause only where whole lines are here.
    async fn arrive(&mut self) -> Result<Arrival, ApiError> {
        if let Some(late) = self.late.take() {
            return Ok(Arrival::Chunk(late));
        }
        loop {
            let mut clock = Deadlines::of_silence(&self.limits);
            let next = clock.next(&mut self.body, self.arrived);
            let chunk = if self.whole > 0 {
                let Ok(chunk) = timeout(LINGER, next).await else { return Ok(Arrival::Pause) };
                chunk?
            } else {
                next.await?
            };
            let Some(chunk) = chunk else { return Ok(Arrival::End) };
            self.arrived += chunk.len() as u64;
            if let Some(chunk) = self.without_long_line(chunk) {
                return Ok(Arrival::Chunk(chunk));
            }
        }
    }

    /// What follows in `chunk` on the line that is thrown away; `None` if it does not end here. It takes no room.
    fn without_long_line(&mut self, mut chunk: Bytes) -> Option<Bytes> {
        if self.is_skipping {
            let end = memchr(b'\n', &chunk)?;
            self.is_skipping = false;
            chunk.advance(end + 1);
        }
        Some(chunk)
    }

    /// Takes room; `false` if there is none now but whole lines are here, whose work makes some.
    async fn has_room_for(&mut self, bytes: usize) -> Result<bool, ApiError> {
        if self.room.grow(bytes).is_ok() {
            return Ok(true);
        }
        if self.whole > 0 {
            return Ok(false);
        }
        self.room.grow_within(ROOM_WAIT, bytes).await?;
        Ok(true)
    }

    fn append(&mut self, chunk: &[u8]) {
        let before = self.buffer.len();
        self.buffer.extend_from_slice(chunk);
        for place in memchr_iter(b'\n', chunk) {
            if self.whole < LINES_MAX {
                (self.whole, self.end) = (self.whole + 1, before + place + 1);
            }
        }
    }

    /// Takes the whole lines out; their room goes with them, what is left gets one of its own.
    fn cut(&mut self) -> Piece {
        let body = self.buffer.split_to(self.end).freeze();
        let mut room = self.pipeline.room();
        // Without room for the little that is left, it is counted with what comes next.
        let _ = room.grow(self.buffer.len());
        let room = std::mem::replace(&mut self.room, room);
        let left = std::mem::take(&mut self.buffer);
        (self.whole, self.end) = (0, 0);
        // In a buffer of its own: the piece's is gone only with its last event.
        self.append(&left);
        Piece { body, has_long_line: false, room }
    }

    fn cut_long_line(&mut self) -> Piece {
        self.buffer.truncate(self.end);
        self.is_skipping = true;
        Piece { has_long_line: true, ..self.cut() }
    }
}

/// A body on its way to its reader.
pub struct OpenedBody {
    /// Whether it holds lines, which may be any number.
    pub is_lines: bool,
    /// All of it, unpacked.
    pub body: Unpacked,
}

/// Opens the body of a request for events; one that does not hold lines has its announced length checked.
///
/// `media` is `None` for a CloudEvent whose attributes stand in headers; `alone` says what a single line is that holds one
/// event, where nothing is declared.
pub async fn open(
    state: &AppState,
    request: &HttpRequest,
    media: Option<Media>,
    limits: &BodyLimits,
    alone: bool,
) -> Result<OpenedBody, ApiError> {
    let body = Coding::declared(request.headers())?.unpack(RequestBody::of(request));
    let opened = if media.is_some_and(Media::is_undeclared) {
        sniff(state, body, alone).await?
    } else {
        OpenedBody { is_lines: media == Some(Media::Ndjson), body }
    };
    if !opened.is_lines {
        refuse_announced(request.headers(), limits)?;
    }
    Ok(opened)
}

/// Looks at the beginning of `body`, at most at one line.
async fn sniff(state: &AppState, mut body: Unpacked, alone: bool) -> Result<OpenedBody, ApiError> {
    let mut head = BytesMut::new();
    let mut room = state.pipeline.room();
    let mut clock = Deadlines::start(&state.body_limits);
    let is_lines = loop {
        let chunk = clock.next(&mut body, head.len() as u64).await?;
        if let Some(chunk) = &chunk {
            room.grow(chunk.len())?;
            head.extend_from_slice(chunk);
        }
        let is_over = chunk.is_none() || head.len() > state.body_limits.bytes_max;
        if let Some(is_lines) = are_lines(&head, is_over, alone) {
            break is_lines;
        }
    };
    // The reader of the body takes room for what it holds.
    let head = once(async move {
        drop(room);
        Ok(head.freeze())
    });
    Ok(OpenedBody { is_lines, body: Box::pin(head.chain(body)) })
}

/// Whether `head` is the beginning of lines; `None` if that cannot be said yet. Where it `is_over` nothing more comes.
fn are_lines(head: &[u8], is_over: bool, alone: bool) -> Option<bool> {
    let undecided = |at_last| is_over.then_some(at_last);
    let text = head.trim_ascii_start();
    match text.strip_prefix(b"{").map(<[u8]>::trim_ascii_start) {
        None if text.is_empty() => return undecided(false),
        None => return Some(false),
        Some(members) if members.starts_with(b"\"events\"") => return Some(false),
        Some(_) => {}
    }
    let (line, rest) = match memchr(b'\n', text) {
        None if !is_over => return None,
        None => (text, [].as_slice()),
        Some(end) => text.split_at(end),
    };
    if !is_json(line) {
        return Some(false);
    }
    if rest.trim_ascii_start().is_empty() { undecided(alone && !is_batch(line)) } else { Some(true) }
}

fn is_json(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| check_syntax(line).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_fills_a_line_with_more_behind_it_is_the_first_of_several_lines() {
        for (head, is_over, expected) in [
            ("", false, None),
            (" \r\n", false, None),
            (" \r\n", true, Some(false)),
            ("[", false, Some(false)),
            ("x", false, Some(false)),
            ("{\"a\":1", false, None),
            ("{\"a\":1}", false, None),
            ("{\"a\":1}\n", false, None),
            ("{\"a\":1}\n\n ", false, None),
            ("{\"a\":1}\n{", false, Some(true)),
            ("\n {\"a\":1} \r\n\r\n{", false, Some(true)),
            ("{\"a\":1}\nnonsense", false, Some(true)),
            ("{\"a\":1}{\"a\":2}\n", true, Some(false)),
            ("{\n", false, Some(false)),
            ("{ \"events\"", false, Some(false)),
            ("{\"b\":1,\"events\":[]}", true, Some(false)),
            ("{\"b\":1,\"events\":[]}\n", true, Some(false)),
        ] {
            assert_eq!(are_lines(head.as_bytes(), is_over, true), expected, "{head:?}");
        }
        for alone in [true, false] {
            assert_eq!(are_lines(b"{\"a\":1}", true, alone), Some(alone));
            assert_eq!(are_lines(b"{\"a\":1}\n", true, alone), Some(alone));
        }
    }
}
