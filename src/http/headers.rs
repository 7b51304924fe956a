//! Headers that may come only once.

use actix_web::http::header::{HeaderMap, HeaderValue};

use super::error::ApiError;

/// The header with the key of an event that has none of its own.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The one value of the header `name`; an error if it is repeated.
pub fn once<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, ApiError> {
    let mut values = headers.get_all(name);
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(ApiError::invalid_request(format!("the header {name} is repeated, expected it once"))),
    }
}

/// The text of the header `name`; an error if it is repeated or not visible ASCII.
pub fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ApiError> {
    let Some(value) = once(headers, name)? else { return Ok(None) };
    let text = value.to_str().map_err(|_| {
        ApiError::invalid_request(format!("the header {name} has characters that are not visible ASCII"))
    })?;
    Ok(Some(text))
}
