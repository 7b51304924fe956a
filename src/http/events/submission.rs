//! One submission of a request, in each of its forms: what its headers declare, what its body says, and which user owns
//! it. A CloudEvent in binary mode has its attributes in headers, and its data as the body.

use std::borrow::Cow;

use actix_web::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

use crate::domain::cloud_event;
use crate::domain::scopes::Scope;
use crate::domain::submission::{Submission, Unreadable};
use crate::http::caller::{Caller, allows};
use crate::http::error::ApiError;
use crate::http::headers::once;
use crate::http::media::{AcceptedMedia, Media, looks_like_json};

/// Attributes stand in headers with this prefix.
const PREFIX: &str = "ce-";

/// The media types of the other modes begin with it; there the headers are only a copy.
const OTHER_MODES: &[u8] = b"application/cloudevents";

/// What the headers declare; `None` for a CloudEvent whose attributes they hold.
pub(super) fn declared(headers: &HeaderMap, taken: AcceptedMedia) -> Result<Option<Media>, ApiError> {
    if is_binary(headers) { Ok(None) } else { Media::declared(headers, taken).map(Some) }
}

/// Reads the body: an event, or a CloudEvent; one whose attributes stand in headers may be of any media type.
pub(super) fn read(
    headers: &HeaderMap,
    media: Option<Media>,
    taken: AcceptedMedia,
    body: &Bytes,
) -> Result<Submission, ApiError> {
    let Some(media) = media else { return Ok(cloud_event::read(body, &structured(headers, body)?)?) };
    media.check(body, taken)?;
    if media != Media::CloudEvent {
        return Ok(Submission::read(body)?);
    }
    let text = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
    Ok(cloud_event::read(body, text)?)
}

/// The user that the event is for; one that is not the caller needs a scope of its own.
pub(super) fn owner(submission: &Submission, caller: &Caller) -> Result<i64, ApiError> {
    match submission.user_id {
        Some(user_id) if user_id != caller.user_id && !allows(caller.scopes, Scope::WriteAll) => {
            Err(ApiError::forbidden(Scope::WriteAll, "posting events of another user"))
        }
        Some(user_id) => Ok(user_id),
        None => Ok(caller.user_id),
    }
}

/// Whether the request is a CloudEvent in binary mode.
fn is_binary(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
    let is_other = kind.get(..OTHER_MODES.len()).is_some_and(|start| start.eq_ignore_ascii_case(OTHER_MODES));
    headers.contains_key("ce-specversion") && !is_other
}

/// The event in the JSON format, made of headers and data.
fn structured(headers: &HeaderMap, body: &Bytes) -> Result<String, ApiError> {
    let mut members: Vec<String> = Vec::new();
    for name in headers.keys().map(|name| name.as_str()) {
        let Some(attribute) = name.strip_prefix(PREFIX) else { continue };
        let text = once(headers, name)?.map(|value| decoded(attribute, value)).transpose()?;
        members.extend(text.map(|text| member(attribute, &text)));
    }
    // Its quotes and percent signs are its own.
    let kind = once(headers, CONTENT_TYPE.as_str())?.map(text_of).filter(|kind| is_declared(kind, body));
    members.extend(kind.as_ref().map(|kind| member("datacontenttype", kind)));
    members.extend(data(kind.as_deref(), body)?);
    Ok(format!("{{{}}}", members.join(",")))
}

fn member(name: &str, value: &str) -> String {
    format!("{}:{}", serde_json::Value::from(name), serde_json::Value::from(value))
}

/// Whether the type is the sender's word: curl sends one by itself.
fn is_declared(kind: &str, body: &[u8]) -> bool {
    let is_curls = Media::of(&essence(kind)) == Some(Media::Form) && looks_like_json(body);
    !is_curls && !kind.is_empty()
}

/// JSON as it is, text as a string, everything else in base64. Without a type it is the first of these that the body is.
fn data(kind: Option<&str>, body: &Bytes) -> Result<Option<String>, ApiError> {
    if body.is_empty() {
        return Ok(None);
    }
    let json = || -> Result<String, Unreadable> {
        let text = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
        let value: &RawValue = serde_json::from_str(text).map_err(|error| Unreadable::NotJson(error.to_string()))?;
        Ok(format!("\"data\":{}", value.get()))
    };
    // A database takes no text with NUL.
    let text = || std::str::from_utf8(body).ok().filter(|text| !text.contains('\0')).map(|text| member("data", text));
    let base64 = || member("data_base64", &STANDARD.encode(body));
    let Some(kind) = kind.map(essence) else {
        return Ok(json().ok().or_else(text).or_else(|| Some(base64())));
    };
    if kind == "application/json" || kind == "text/json" || kind.ends_with("+json") {
        return Ok(Some(json()?));
    }
    let is_text = kind.starts_with("text/") || kind.ends_with("+xml") || kind == "application/xml";
    Ok(Some(if is_text { text().unwrap_or_else(base64) } else { base64() }))
}

/// A media type without its parameters.
fn essence(kind: &str) -> String {
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
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

    fn caller(scopes: &str) -> Caller {
        let scopes = scopes.parse().expect("known scopes");
        Caller { user_id: 1, email: "a@example.com".to_owned(), scopes, token_id: 1, parent_id: None }
    }

    #[test]
    fn an_event_of_another_user_needs_write_all() {
        let of = |user_id| Submission { user_id, ..Submission::default() };
        assert_eq!(owner(&of(None), &caller("write")).ok(), Some(1));
        assert_eq!(owner(&of(Some(1)), &caller("write")).ok(), Some(1));
        assert_eq!(owner(&of(Some(2)), &caller("write:all")).ok(), Some(2));
        let refused = owner(&of(Some(2)), &caller("write admin")).expect_err("must be refused");
        assert_eq!(refused.detail(), "the token lacks the scope write:all, which posting events of another user needs");
    }

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
    fn data_without_a_type_is_what_it_looks_like() {
        for (body, data) in [
            (b"{\"a\": 1.0}".as_slice(), r#"{"data":{"a": 1.0}}"#),
            (b"1", r#"{"data":1}"#),
            (b"hi \xe2\x82\xac", r#"{"data":"hi €"}"#),
            (b"{\"a\"", r#"{"data":"{\"a\""}"#),
            (b"\x00\x01", r#"{"data_base64":"AAE="}"#),
            (b"\xff", r#"{"data_base64":"/w=="}"#),
            (b"", "{}"),
        ] {
            assert_eq!(text(&[], body).expect("an event"), data, "{body:?}");
            assert_eq!(text(&[("content-type", "")], body).expect("an event"), data, "{body:?}");
        }
        let form = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(text(&form, b" {\"a\":1}").expect("an event"), r#"{"data":{"a":1}}"#, "as curl sends it");
        assert!(text(&form, b"a=1").expect("an event").contains(r#""data_base64":"YT0x""#), "a form is one");
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
