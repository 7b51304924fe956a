//! HTTP/1.1 by hand: says exactly whether an answer came, and sends what no client would.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Silence after which a read gives up; the server has to answer or close long before.
const SILENCE: Duration = Duration::from_secs(30);

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Name (lower case) and value of each header, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; panics with the answer when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("the body is no JSON ({error}): {self:?}"))
    }
}

/// A connection that takes any bytes and reads answers one by one.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Self::open_within(address, SILENCE)
    }

    /// Connects; after this much silence, now and later, it gives up.
    pub fn open_within(address: SocketAddr, silence: Duration) -> io::Result<Self> {
        Self::over_within(TcpStream::connect_timeout(&address, silence)?, silence)
    }

    /// Takes over a connection that is made.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        Self::over_within(stream, SILENCE)
    }

    fn over_within(stream: TcpStream, silence: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Sends these bytes, whatever they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent (FIN); answers can still be read.
    pub fn finish(&mut self) -> io::Result<()> {
        self.stream.get_mut().shutdown(std::net::Shutdown::Write)
    }

    /// Reads the next answer to a request that was no HEAD, past interim ones (1xx).
    pub fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let mut answer = self.head()?;
            if answer.status >= 200 {
                let body = self.body(&answer)?;
                answer.body = String::from_utf8_lossy(&body).into_owned();
                return Ok(answer);
            }
        }
    }

    /// Reads the next status and headers, also interim ones, and leaves the body.
    pub fn head(&mut self) -> io::Result<Answer> {
        Ok(Answer { status: self.status()?, headers: self.headers()?, body: String::new() })
    }

    /// Reads the next chunk of a body in chunks; the last one is empty.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad(&format!("chunk size {line:?}")))?;
        let bytes = self.exactly(size)?;
        self.line()?;
        Ok(bytes)
    }

    /// Reads lines of an answer as they come, whatever they belong to, up to one that begins with `wanted`.
    pub fn lines_until(&mut self, wanted: &str) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            let is_last = line.starts_with(wanted);
            lines.push(line);
            if is_last {
                return Ok(lines);
            }
        }
    }

    /// Whether the server closed without another byte.
    pub fn is_closed(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    fn status(&mut self) -> io::Result<u16> {
        let line = self.line()?;
        let code = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
        code.and_then(|code| code.parse().ok()).ok_or_else(|| bad(&format!("status line {line:?}")))
    }

    fn headers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(&format!("header {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads the body that belongs to this head.
    pub fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return self.chunks();
        }
        if matches!(answer.status, 204 | 304) {
            return Ok(Vec::new());
        }
        let Some(length) = answer.header("content-length") else {
            let mut body = Vec::new();
            return self.stream.read_to_end(&mut body).map(|_| body);
        };
        let length = length.parse().map_err(|_| bad(&format!("content-length {length:?}")))?;
        self.exactly(length)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(body);
            }
            body.extend(chunk);
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn bad(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
