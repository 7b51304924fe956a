//! A packed body that is exactly one stream. HTTP's deflate and Brotli have no second one, and a decoder stops at the end
//! of the first: whatever follows would be lost without a word.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// Reads what `decoder` unpacks; an error if the packed bytes go on behind the end of its stream.
pub(super) struct SingleStream<D, P> {
    /// Unpacks one stream, and takes nothing behind it.
    pub decoder: D,
    /// The packed bytes that the decoder reads from.
    pub packed: fn(&mut D) -> &mut P,
    /// Packed bytes that have arrived so far.
    pub arrived: Rc<Cell<u64>>,
}

impl<D, P> AsyncRead for SingleStream<D, P>
where
    D: AsyncRead + Unpin,
    P: AsyncBufRead + Unpin,
{
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.decoder).poll_read(context, out))?;
        if out.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        let packed = (self.packed)(&mut self.decoder);
        let rest = ready!(Pin::new(packed).poll_fill_buf(context))?.len() as u64;
        if rest == 0 {
            return Poll::Ready(Ok(()));
        }
        let end = self.arrived.get() - rest;
        Poll::Ready(Err(io::Error::other(format!("its stream ends at byte {end}, and more bytes follow"))))
    }
}
