//! A body of lines, cut into pieces as it arrives: memory holds a piece, however many lines come.

use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr_iter};
use tokio::time::timeout;

use crate::http::body::{BodyLimits, Deadlines};
use crate::http::encoding::Unpacked;
use crate::http::error::ApiError;
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
