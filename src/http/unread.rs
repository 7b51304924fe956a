//! The body of a request before it is read: whether its client waits until it is requested, and what becomes of what
//! nobody reads.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::{FromRequest, HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::Stream;

use super::connection::{EXPECTATION, Interim};

/// A body that was not read to its end yet; extracting it never fails.
///
/// Shared with its answer: a body that is dropped unread is swallowed by actix for as long as chunks arrive, one
/// that is still held when the answer goes out makes actix close the connection.
#[derive(Clone)]
pub struct Unread(Rc<RefCell<UnreadInner>>);

struct UnreadInner {
    payload: Payload,
    /// What requests the body, as long as its client holds it back, and whether it did.
    interim: Option<Interim>,
    is_requested: bool,
}

impl Unread {
    /// Whether the client holds the body back until it is requested.
    pub fn is_held_back(&self) -> bool {
        let body = self.0.borrow();
        body.interim.is_some() && !body.is_requested
    }

    /// The answer is there: nobody wants the body any more. Says whether it was held back to the end.
    pub(super) fn settle(&self) -> bool {
        let was_held_back = self.is_held_back();
        if let Some(interim) = self.0.borrow_mut().interim.take() {
            interim.withdraw();
        }
        was_held_back
    }
}

impl Unread {
    /// The answer that holds what was not read until it has gone out.
    pub(super) fn held_by(self, response: HttpResponse) -> HttpResponse {
        response.map_body(|_, body| BoxBody::new(HeldBody { body, _unread: self }))
    }
}

impl Stream for Unread {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let body = &mut *self.0.borrow_mut();
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

impl FromRequest for Unread {
    type Error = actix_web::Error;
    type Future = std::future::Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let waits = !matches!(payload, Payload::None) && request.headers().contains_key(EXPECTATION);
        let interim = if waits { request.conn_data::<Interim>().cloned() } else { None };
        std::future::ready(Ok(Self(Rc::new(RefCell::new(UnreadInner {
            payload: payload.take(),
            interim,
            is_requested: false,
        })))))
    }
}

/// The body of an answer, which prevents the request's body from being swallowed; see [`Unread`].
struct HeldBody {
    body: BoxBody,
    _unread: Unread,
}

impl MessageBody for HeldBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.body.as_pin_mut().poll_next(context)
    }
}
