//! A connection of the load: HTTP/1.1 with as little work as possible, for the generator uses the same processors as
//! the server. Requests are bytes that were prepared; of an answer the status and the body's bytes are read.

use std::future::poll_fn;
use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;

use memchr::memmem;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

/// Room for an answer at first; it grows with what comes.
const ANSWER_BYTES: usize = 16 * 1_024;

/// Longest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// One connection, opened when it is needed and again after it broke.
pub(super) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// What the server answered.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

/// What the head of an answer says.
struct Head {
    status: u16,
    /// Bytes of head and body together.
    total: usize,
    body_from: usize,
    closes: bool,
}

impl Connection {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: vec![0; ANSWER_BYTES] }
    }

    /// Opens the connection, unless it is open.
    pub(super) async fn open(&mut self) -> io::Result<()> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends some bytes of a request.
    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.as_ref().ok_or(ErrorKind::NotConnected)?;
        while !bytes.is_empty() {
            match stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => stream.writable().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the answer to the request that was sent.
    pub(super) async fn answer(&mut self) -> io::Result<Answer<'_>> {
        let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
        let mut filled = 0;
        let mut head: Option<Head> = None;
        let head = loop {
            if let Some(head) = head.take_if(|head| filled >= head.total) {
                break head;
            }
            if filled == self.buffer.len() {
                let wanted = head.as_ref().map_or(2 * filled, |head| head.total);
                self.buffer.resize(wanted.min(ANSWER_BYTES_MAX).max(filled + 1), 0);
            }
            // Not `try_read`: after less than there was room for, this knows that there is no more, and asks the kernel once.
            let mut free = ReadBuf::new(&mut self.buffer[filled..]);
            poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut free)).await?;
            match free.filled().len() {
                0 => return Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
                read => filled += read,
            }
            if head.is_none() {
                head = Head::read(&self.buffer[..filled])?;
            }
        };
        if head.closes {
            self.stream = None;
        }
        Ok(Answer { status: head.status, body: &self.buffer[head.body_from..head.total] })
    }

    /// Gives the connection up, after an error.
    pub(super) fn close(&mut self) {
        self.stream = None;
    }
}

impl Head {
    /// `None` while the head is not whole.
    fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let invalid = |what: &str| Error::new(ErrorKind::InvalidData, format!("an answer without {what}"));
        let head = str::from_utf8(&bytes[..end]).map_err(|_| invalid("a head of text"))?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let mut length: Option<usize> = None;
        let mut closes = false;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.trim().eq_ignore_ascii_case("close");
            }
        }
        let status = status.ok_or_else(|| invalid("a status"))?;
        let length = length.filter(|length| *length <= ANSWER_BYTES_MAX).ok_or_else(|| invalid("a length"))?;
        let body_from = end + 4;
        Ok(Some(Self { status, total: body_from + length, body_from, closes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> io::Result<Option<Head>> {
        Head::read(head.as_bytes())
    }

    #[test]
    fn status_and_length_are_read_once_the_head_is_whole() {
        let text = "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nconnection: close\r\n\r\n";
        assert!(read(&text[..text.len() - 1]).expect("so far so good").is_none());
        let head = read(&format!("{text}12")).expect("an answer").expect("a whole head");
        assert_eq!((head.status, head.body_from, head.total, head.closes), (202, text.len(), text.len() + 5, true));
    }

    #[test]
    fn an_answer_that_cannot_be_followed_is_an_error() {
        for head in
            ["HTTP/1.1 200 OK\r\n\r\n", "SSH-2.0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"]
        {
            assert!(read(head).is_err(), "{head}");
        }
    }
}
