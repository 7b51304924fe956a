//! CloudEvents over HTTP, binary mode: the attributes stand in headers, the body is the data.

use std::borrow::Cow;

use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use crate::domain::submission::Unreadable;
use crate::http::error::ApiError;
use crate::http::request::once;

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
    for name in headers.keys().map(|name| name.as_str()) {
        let Some(attribute) = name.strip_prefix(PREFIX) else { continue };
        let text = once(headers, name)?.map(|value| decoded(attribute, value)).transpose()?;
        members.extend(text.map(|text| member(attribute, &text)));
    }
    // Its quotes and percent signs are its own.
    let kind = once(headers, CONTENT_TYPE.as_str())?.map(text_of);
    members.extend(kind.as_ref().map(|kind| member("datacontenttype", kind)));
    members.extend(data(kind.as_deref(), body)?);
    Ok(format!("{{{}}}", members.join(",")))
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

/// An attribute out of its header: UTF-8 in percent-encoding, decoded once.
fn decoded(attribute: &str, value: &HeaderValue) -> Result<String, ApiError> {
    let text = text_of(value);
    let decoded = percent_decode_str(&unquoted(&text)).decode_utf8().map(Cow::into_owned);
    decoded.map_err(|_| ApiError::invalid_request(format!("the header of {attribute:?} is not percent-encoded UTF-8")))
}

/// A header's text. Many senders encode nothing: some send UTF-8 as it is, others Latin-1.
fn text_of(value: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.into(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
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
        let request = headers.iter().fold(TestRequest::default(), |request, header| request.append_header(*header));
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

    #[test]
    fn a_percent_sign_without_two_hexadecimal_digits_is_itself() {
        for (value, subject) in
            [("50%+5 off", "50%+5 off"), ("%-1%+a% 1%", "%-1%+a% 1%"), ("%4%41%4g%%41", "%4A%4g%A"), ("%2541", "%41")]
        {
            let event = text(&[("ce-subject", value)], b"").expect("an event");
            assert_eq!(event, format!("{{\"subject\":\"{subject}\"}}"), "{value}");
        }
    }

    #[test]
    fn bytes_beyond_ascii_are_utf_8_or_else_latin_1() {
        for (value, subject) in [
            ("Grüße €".as_bytes(), "Grüße €"),
            (b"Gr\xfc\xdfe", "Grüße"),
            (b"\xc3", "Ã"),
            ("Grüße%20%E2%82%AC".as_bytes(), "Grüße €"),
            (b"Gr\xfc\xdfe%20%E2%82%AC", "Grüße €"),
            (b"\"Gr\xfc\xdfe\"", "Grüße"),
        ] {
            let value = HeaderValue::from_bytes(value).expect("a header");
            let request = TestRequest::default().insert_header(("ce-subject", value.clone())).to_http_request();
            let event = structured(request.headers(), &Bytes::new()).expect("an event");
            assert_eq!(event, format!("{{\"subject\":\"{subject}\"}}"), "{value:?}");
        }
        let half = HeaderValue::from_bytes(b"\xc3%BC").expect("a header");
        assert!(decoded("subject", &half).is_err(), "half a character in each form");
    }

    #[test]
    fn a_repeated_attribute_is_refused() {
        for name in ["ce-id", "ce-extension", "content-type"] {
            let refused = text(&[(name, "a"), ("ce-type", "t"), (name, "a")], b"").expect_err("it stands there twice");
            assert_eq!(refused, format!("the header {name} is repeated, expected it once"));
        }
    }
}
