//! What answers are made of, also those whose length is not known when they begin.

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{self, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Version};
use bytes::Bytes;
use futures_util::Stream;
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Stops nginx from filling a buffer before it hands anything on.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// An answer with a JSON body.
pub fn json(status: actix_web::http::StatusCode, body: &impl Serialize) -> HttpResponse {
    let text = serde_json::to_vec(body).expect("answers have text keys only");
    json_bytes(status, text.into())
}

/// An answer whose body is JSON already.
pub fn json_bytes(status: actix_web::http::StatusCode, body: Bytes) -> HttpResponse {
    HttpResponse::build(status).insert_header((header::CONTENT_TYPE, JSON)).body(body)
}

/// `text` as a header's value, without a copy; it must be visible ASCII.
pub fn header_value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("our own header values are visible ASCII")
}

/// An answer of lines that a client wants as soon as they are there: nothing on the way is to collect or to pack them.
pub fn lines<S, E>(kind: &'static str, lines: S) -> HttpResponse
where
    S: Stream<Item = Result<Bytes, E>> + 'static,
    E: Into<Box<dyn std::error::Error>> + 'static,
{
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, "no-store, no-transform"))
        .insert_header((X_ACCEL_BUFFERING, "no"))
        .streaming(lines)
}

/// HTTP/1.0 knows no chunks (RFC 9112, section 6.1): there the end of the connection is the end of what has no length.
pub fn close_delimited<B: MessageBody>(version: Version, response: &mut HttpResponse<B>) {
    if version < Version::HTTP_11 && response.body().size() == BodySize::Stream {
        let head = response.head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
    }
}
