//! What a client sends, in the form in which it is handed on.

use actix_http::ServiceConfig;
use actix_http::error::ParseError;
use actix_http::h1::{Codec, Message, MessageType};
use bytes::{Buf, BytesMut};
use tokio_util::codec::Decoder;

use super::head::{Beginning, BodyFraming, Head};

/// Longest head that is waited for; actix-http refuses a longer one.
const HEAD_BYTES_MAX: usize = 128 * 1_024;

/// The bytes of one connection on their way.
pub struct Inbound {
    /// What was read and is not understood yet: a part of a head. [`Inbound::sort`] follows whatever is put here.
    pub raw: BytesMut,
    /// What may be handed on.
    pub ready: BytesMut,
    next: Next,
    config: ServiceConfig,
}

/// What comes next.
enum Next {
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// A body in chunks.
    Chunks(Box<Codec>),
    /// Nobody knows.
    Anything,
}

impl Inbound {
    /// Nothing yet.
    pub fn new(config: ServiceConfig) -> Self {
        Self { raw: BytesMut::new(), ready: BytesMut::new(), next: Next::Head, config }
    }

    /// Hands on all that was read: there will be no more.
    pub fn end(&mut self) {
        self.ready.unsplit(self.raw.split());
    }

    /// Gives memory back while nothing is read.
    pub fn rest(&mut self) {
        if self.raw.is_empty() && self.ready.is_empty() {
            (self.raw, self.ready) = (BytesMut::new(), BytesMut::new());
        }
    }

    /// Hands on what is understood of what was read.
    pub fn sort(&mut self) {
        while let Some(length) = self.understood() {
            self.ready.unsplit(self.raw.split_to(length));
        }
    }

    /// How many bytes can be handed on as they are; `None` if there are none, or more are needed to know.
    fn understood(&mut self) -> Option<usize> {
        let read = self.raw.len();
        if read == 0 {
            return None;
        }
        let (length, is_end) = match &mut self.next {
            Next::Head => match Beginning::of(&self.raw) {
                Beginning::Partial if read < HEAD_BYTES_MAX => return None,
                Beginning::Head(head) => return Some(self.begin(head)),
                Beginning::Partial | Beginning::Unknown => return Some(self.give_up()),
            },
            Next::Body(left) => {
                let length = read.min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= length as u64;
                (length, *left == 0)
            }
            Next::Chunks(codec) => match chunks(codec, &self.raw) {
                Ok(chunks) => chunks,
                Err(_) => return Some(self.give_up()),
            },
            Next::Anything => (read, false),
        };
        if is_end {
            self.next = Next::Head;
        }
        Some(length)
    }

    fn give_up(&mut self) -> usize {
        self.next = Next::Anything;
        self.raw.len()
    }

    /// Begins with a request; gives its head's bytes unless others stand in their place.
    fn begin(&mut self, Head { length, instead, body }: Head) -> usize {
        let text = instead.as_deref().unwrap_or(&self.raw[..length]);
        self.next = match body {
            BodyFraming::Length(0) => Next::Head,
            BodyFraming::Length(bytes) => Next::Body(bytes),
            BodyFraming::Chunks => chunked(text, &self.config).map_or(Next::Anything, Next::Chunks),
            BodyFraming::Unknown => Next::Anything,
        };
        let Some(instead) = instead else { return length };
        self.raw.advance(length);
        self.ready.extend_from_slice(&instead);
        0
    }
}

/// The codec behind a head that announces chunks; `None` if actix-http does not take it so.
fn chunked(head: &[u8], config: &ServiceConfig) -> Option<Box<Codec>> {
    let mut codec = Box::new(Codec::new(config.clone()));
    let is_request = matches!(codec.decode(&mut BytesMut::from(head)), Ok(Some(Message::Item(_))));
    (is_request && matches!(codec.message_type(), MessageType::Payload)).then_some(codec)
}

/// How many of these bytes belong to the body, and whether it ends with them.
fn chunks(codec: &mut Codec, bytes: &[u8]) -> Result<(usize, bool), ParseError> {
    let mut left = BytesMut::from(bytes);
    loop {
        match codec.decode(&mut left)? {
            Some(Message::Chunk(None)) => return Ok((bytes.len() - left.len(), true)),
            Some(_) => {}
            None => return Ok((bytes.len(), false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::rt::System;
    use proptest::prelude::*;

    use super::*;

    /// What becomes of bytes that come in these parts.
    fn handed_on(parts: &[&[u8]]) -> Vec<u8> {
        System::new().block_on(async {
            let mut inbound = Inbound::new(ServiceConfig::default());
            let mut all = Vec::new();
            for part in parts {
                inbound.raw.extend_from_slice(part);
                inbound.sort();
                all.extend_from_slice(&inbound.ready.split());
            }
            inbound.end();
            all.extend_from_slice(&inbound.ready);
            all
        })
    }

    const HEAD: &str = "POST / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\n";
    const CHANGED: &str = "POST / HTTP/1.1\r\nhost: a\r\n";

    /// Requests as they are sent and as they are handed on: with bodies of every kind, which look like heads.
    fn requests() -> Vec<(String, String)> {
        let bait = format!("{HEAD}connection: upgrade\r\nexpect: 100-continue\r\n\r\n");
        let length = bait.len();
        let chunk = format!("{length:x};a=\"b\"\r\n{bait}\r\n");
        let endings = [
            "\r\n".to_owned(),
            "content-length: 0\r\n\r\n".to_owned(),
            format!("content-length: {length}\r\n\r\n{bait}"),
            format!("transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"),
            format!("transfer-encoding: Chunked\r\n\r\n{chunk}0\r\nupgrade: x\r\n\r\n"),
            "transfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        ];
        endings.iter().map(|ending| (format!("{HEAD}{ending}"), format!("{CHANGED}{ending}"))).collect()
    }

    #[test]
    fn bodies_are_left_alone_and_the_head_behind_them_is_found() {
        let requests = requests();
        for (first, handed) in &requests {
            for (second, then) in &requests {
                let sent = format!("{first}{second}");
                let found = handed_on(&[sent.as_bytes()]);
                assert_eq!(String::from_utf8_lossy(&found), format!("{handed}{then}"));
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_handed_on_with_all_behind_it() {
        let (next, _) = &requests()[0];
        for ending in [
            "content-length: +1\r\n\r\n",
            "content-length: 1\r\ncontent-length: 1\r\n\r\n",
            "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "transfer-encoding: gzip\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let found = handed_on(&[format!("{HEAD}{ending}{next}").as_bytes()]);
            assert_eq!(String::from_utf8_lossy(&found), format!("{CHANGED}{ending}{next}"));
        }
        for sent in
            ["\0\0\r\n\r\n", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n"]
        {
            let sent = format!("{sent}{next}");
            assert_eq!(handed_on(&[sent.as_bytes()]), sent.as_bytes());
        }
        let endless = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        let end = b"\r\nupgrade: h2c\r\n\r\n";
        assert_eq!(handed_on(&[endless.as_bytes(), end]).len(), endless.len() + end.len());
        assert_eq!(handed_on(&[b"GET / HT"]), b"GET / HT", "what is cut off as well");
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_in_which_parts_the_bytes_come(
            which in prop::collection::vec(0..6_usize, 1..4),
            mut cuts in prop::collection::vec(0..2_000_usize, 0..8),
        ) {
            let requests = requests();
            let sent: String = which.iter().map(|at| requests[*at].0.as_str()).collect();
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(sent.len()));
            cuts.push(sent.len());
            cuts.sort_unstable();
            let mut from = 0;
            let parts: Vec<&[u8]> =
                cuts.iter().map(|to| &sent.as_bytes()[std::mem::replace(&mut from, *to)..*to]).collect();
            prop_assert_eq!(handed_on(&parts), handed_on(&[sent.as_bytes()]));
        }
    }
}
