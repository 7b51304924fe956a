//! Whether a body whose type is not declared holds lines, judged by its beginning.
//!
//! Senders of lines leave the type out, or send the one of curl's `--data-binary`. JSON text ends with its value: an
//! object that fills a line, with more behind it, can only be the first of several lines.

use bytes::BytesMut;
use futures_util::StreamExt;
use futures_util::stream::once;
use memchr::memchr;

use crate::domain::batch::is_batch;
use crate::domain::json::check_syntax;
use crate::http::body::{BodyLimits, Deadlines, refuse_announced};
use crate::http::encoding::{Coding, Unpacked};
use crate::http::error::ApiError;
use crate::http::media::Media;
use crate::http::request::Call;
use crate::http::state::AppState;

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
pub async fn open(call: &Call, media: Option<Media>, limits: &BodyLimits, alone: bool) -> Result<OpenedBody, ApiError> {
    let body = Coding::declared(call.headers())?.unpack(call.payload.clone());
    let opened = if media.is_some_and(Media::is_undeclared) {
        sniff(&call.state, body, alone).await?
    } else {
        OpenedBody { is_lines: media == Some(Media::Ndjson), body }
    };
    if !opened.is_lines {
        refuse_announced(call.headers(), limits)?;
    }
    Ok(opened)
}

/// Looks at the beginning of `body`, at most at one line.
async fn sniff(state: &AppState, mut body: Unpacked, alone: bool) -> Result<OpenedBody, ApiError> {
    let (mut head, mut room) = (BytesMut::new(), state.pipeline.room());
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
