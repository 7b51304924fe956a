//! A client's connection as the HTTP library reads it.
//!
//! actix-http decides some things by a request's head alone, before any code of ours runs, and has no switch for them: where
//! a client offers an upgrade it ends the connection unannounced, `Expect: 100-continue` is met before anybody has looked at
//! the request, and a POST of HTTP/1.0 without a body is refused. So heads are changed on the way to it: an offer is taken
//! out (RFC 9110, section 7.8: a server may ignore it), an expectation gets a name that only we know ([`EXPECTATION`]), an
//! absent length becomes 0. All else is handed on as it came.
//!
//! To do that the ends of bodies must be found as actix-http finds them: heads are read by the same parser, chunks by its own
//! codec. From where something is not understood, everything is handed on unread: to refuse it is actix-http's part.

mod head;
mod inbound;

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::ServiceConfig;
use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

pub use self::head::EXPECTATION;
use self::inbound::Inbound;

/// Requests a client's body.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How much is read at once.
const READ_BYTES: usize = 8 * 1_024;

/// A connection.
pub struct Connection {
    stream: TcpStream,
    inbound: Inbound,
    interim: Interim,
    /// What is left to be written of an interim answer.
    interim_left: &'static [u8],
}

/// Requests from the client the body that it holds back until then.
#[derive(Clone, Default)]
pub struct Interim(Rc<Cell<bool>>);

impl Interim {
    /// `100 Continue` is sent, unless it is withdrawn in the same turn.
    pub fn request_body(&self) {
        self.0.set(true);
    }

    /// The final answer is there.
    pub fn withdraw(&self) {
        self.0.set(false);
    }
}

impl Connection {
    /// Reads from `stream`.
    pub fn new(stream: TcpStream, config: ServiceConfig) -> Self {
        Self { stream, inbound: Inbound::new(config), interim: Interim::default(), interim_left: &[] }
    }

    /// What requests a body from this connection's client.
    pub fn interim(&self) -> Interim {
        self.interim.clone()
    }

    /// Writes what is left of an interim answer.
    fn write_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim_left.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.interim_left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim_left = &self.interim_left[written..];
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, inbound, .. } = self.get_mut();
        while inbound.ready.is_empty() {
            inbound.raw.reserve(READ_BYTES);
            match poll_read_buf(Pin::new(&mut *stream), context, &mut inbound.raw) {
                Poll::Ready(Ok(0)) => {
                    inbound.end();
                    break;
                }
                Poll::Ready(Ok(_)) => inbound.sort(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    inbound.rest();
                    return Poll::Pending;
                }
            }
        }
        let length = inbound.ready.len().min(into.remaining());
        into.put_slice(&inbound.ready.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // What was begun stands before everything else.
        ready!(this.write_interim(context))?;
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    /// actix-http comes here with every turn, once all that it has to write is written.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.interim.0.take() {
            this.interim_left = CONTINUE;
        }
        ready!(this.write_interim(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
