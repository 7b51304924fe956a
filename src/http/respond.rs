//! What answers are made of.

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};
use bytes::Bytes;
use serde::Serialize;

/// An answer with a JSON body.
pub fn json(status: actix_web::http::StatusCode, body: &impl Serialize) -> HttpResponse {
    let text = serde_json::to_vec(body).expect("answers have text keys only");
    HttpResponse::build(status).insert_header((header::CONTENT_TYPE, JSON)).body(text)
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `text` as a header's value, without a copy; it must be visible ASCII.
pub fn header_value(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("our own header values are visible ASCII")
}
