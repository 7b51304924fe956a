//! CloudEvents over HTTP, binary mode: the attributes stand in headers, the body is the data.

use std::borrow::Cow;

use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;

use crate::domain::submission::Unreadable;
use crate::http::error::ApiError;

/// Attributes stand in headers with this prefix.
const PREFIX: &str = "ce-";

/// The media types of the other modes begin with it; there the headers are only a copy.
const OTHER_MODES: &[u8] = b"application/cloudevents";

/// Whether the request is a CloudEvent in binary mode.
pub fn is_binary(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let is_other = kind.get(..OTHER_MODES.len()).is_some_and(|start| start.eq_ignore_ascii_case(OTHER_MODES));
    headers.contains_key("ce-specversion") && !is_other
}

/// The event in the JSON format, made of headers and data.
pub fn structured(headers: &HeaderMap, body: &Bytes) -> Result<String, ApiError> {
    let mut members: Vec<String> = Vec::new();
    for (name, value) in headers {
        if let Some(attribute) = name.as_str().strip_prefix(PREFIX) {
            members.push(member(attribute, &text_of(attribute, value)?));
        }
    }
    let kind = headers.get(CONTENT_TYPE).map(media_type).transpose()?;
    members.extend(kind.map(|kind| member("datacontenttype", kind)));
    members.extend(data(kind, body)?);
    Ok(format!("{{{}}}", members.join(",")))
}

/// A header that is no attribute's: its quotes and percent signs are its own.
fn media_type(value: &HeaderValue) -> Result<&str, ApiError> {
    value.to_str().map_err(|_| ApiError::invalid_request("the Content-Type is not visible ASCII"))
}

fn member(name: &str, value: &str) -> String {
    format!("{}:{}", serde_json::Value::from(name), serde_json::Value::from(value))
}

/// JSON as it is, text as a string, everything else in base64.
fn data(kind: Option<&str>, body: &Bytes) -> Result<Option<String>, ApiError> {
    let essence = kind.unwrap_or("application/json").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if body.is_empty() {
        return Ok(None);
    }
    if essence == "application/json" || essence == "text/json" || essence.ends_with("+json") {
        let text = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
        let value: &RawValue = serde_json::from_str(text).map_err(|error| Unreadable::NotJson(error.to_string()))?;
        return Ok(Some(format!("\"data\":{}", value.get())));
    }
    match std::str::from_utf8(body) {
        Ok(text) if essence.starts_with("text/") || essence.ends_with("+xml") || essence == "application/xml" => {
            Ok(Some(member("data", text)))
        }
        _ => Ok(Some(member("data_base64", &STANDARD.encode(body)))),
    }
}

/// A header's text: UTF-8 in percent-encoding where it is more than ASCII.
fn text_of(attribute: &str, value: &HeaderValue) -> Result<String, ApiError> {
    let refused = || ApiError::invalid_request(format!("the header of {attribute:?} is not percent-encoded UTF-8"));
    let text = unquoted(value.to_str().map_err(|_| refused())?);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| refused())
}

/// The inside of a quoted string, as older clients send what has a space.
fn unquoted(text: &str) -> Cow<'_, str> {
    let Some(inside) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return text.into() };
    let mut is_escaped = false;
    let plain = inside.chars().filter(|character| {
        is_escaped = *character == '\\' && !is_escaped;
        !is_escaped
    });
    Cow::Owned(plain.collect())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn text(headers: &[(&'static str, &'static str)], body: &'static [u8]) -> Result<String, String> {
        let request = headers.iter().fold(TestRequest::default(), |request, header| request.insert_header(*header));
        structured(request.to_http_request().headers(), &Bytes::from_static(body))
            .map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn data_is_kept_by_its_kind() {
        let of = |kind, body| text(&[("content-type", kind)], body).expect("an event");
        assert_eq!(
            of("application/json", b"{\"a\": 1.0}"),
            r#"{"datacontenttype":"application/json","data":{"a": 1.0}}"#
        );
        assert_eq!(of("text/plain", b"hi\n"), r#"{"datacontenttype":"text/plain","data":"hi\n"}"#);
        assert_eq!(of("image/png", b"\x00\x01"), r#"{"datacontenttype":"image/png","data_base64":"AAE="}"#);
        assert!(text(&[("content-type", "application/json")], b"{").is_err());
    }

    #[test]
    fn attributes_are_read_from_percent_encoding() {
        let event = text(&[("ce-subject", "Euro%20%E2%82%AC%20100%")], b"").expect("an event");
        assert_eq!(event, "{\"subject\":\"Euro € 100%\"}");
        assert!(text(&[("ce-subject", "%ff")], b"").is_err());
        let quoted = text(&[("ce-subject", r#""a \\ \"b\" %20""#)], b"").expect("an event");
        assert_eq!(quoted, r#"{"subject":"a \\ \"b\"  "}"#);
        assert_eq!(text(&[("ce-subject", "\"")], b"").expect("an event"), r#"{"subject":"\""}"#);
    }
}
