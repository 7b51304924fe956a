//! The members of a JSON body, read one by one: unknown ones are ignored, every wrong one is named in a single answer.

use std::collections::HashMap;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::body::{self, RequestBody};
use super::error::ApiError;
use super::media::{JSON_ONLY, Media};
use super::state::AppState;
use crate::config::units::parse_duration;
use crate::domain::json::{JsonKind, JsonText, integer};
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::domain::submission::Unreadable;
use crate::domain::timestamp;

/// Longest body, in bytes: administrative requests and queries are small, and their bytes are not counted as in flight.
const BODY_BYTES_MAX: usize = 64 * 1_024;
/// Longest part of a value that is repeated in an answer, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// The members that were not read yet, and what was wrong with those that were.
#[derive(Debug, Default)]
pub struct Fields {
    members: HashMap<String, Box<RawValue>>,
    flaws: Vec<Flaw>,
}

/// The members of a body that may also be empty.
#[derive(Debug)]
pub struct OptionalFields(pub Fields);

impl FromRequest for Fields {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    /// The request's body must be one JSON object.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let body = body_of(request.clone());
        async { Self::parse(&body.await?) }.boxed_local()
    }
}

impl FromRequest for OptionalFields {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let body = body_of(request.clone());
        async {
            let body = body.await?;
            Ok(Self(if body.is_empty() { Fields::default() } else { Fields::parse(&body)? }))
        }
        .boxed_local()
    }
}

async fn body_of(request: HttpRequest) -> Result<Bytes, ApiError> {
    let media = Media::declared(request.headers(), JSON_ONLY)?;
    let limits = AppState::of(&request).body_limits;
    let limits = limits.with_bytes_max(BODY_BYTES_MAX.min(limits.bytes_max));
    let body = body::read(request.headers(), RequestBody::of(&request), &limits, |_| Ok(())).await?;
    media.check(&body, JSON_ONLY)?;
    Ok(body)
}

impl Fields {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let text = std::str::from_utf8(body).map_err(|error| Unreadable::NotUtf8(error.valid_up_to()))?;
        let start = text.trim_ascii_start();
        if start.is_empty() {
            return Err(Unreadable::Empty.into());
        }
        let not_json = |error: serde_json::Error| Unreadable::NotJson(error.to_string());
        if !start.starts_with('{') {
            serde_json::from_str::<IgnoredAny>(text).map_err(not_json)?;
            let detail = format!("the body is {}, expected an object", JsonKind::of(start).with_article());
            return Err(ApiError::invalid_fields(Rejection::of(Flaw::new(RejectCode::InvalidField, "", detail))));
        }
        let members = serde_json::from_str(text).map_err(not_json)?;
        Ok(Self { members, flaws: Vec::new() })
    }

    /// `value` if every field was good, else the answer that names all that were not.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, ApiError> {
        let mut flaws = self.flaws.into_iter();
        match (flaws.next(), value) {
            (Some(first), _) => Err(ApiError::invalid_fields(Rejection::of(first).and(flaws))),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(ApiError::internal("a field was refused without a reason")),
        }
    }

    /// Whether the member is there; `null` counts as absent.
    pub fn has(&self, name: &str) -> bool {
        self.members.get(name).is_some_and(|value| JsonKind::of(value.get()) != JsonKind::Null)
    }

    /// What `read` makes of a member that must be there.
    pub fn required<T>(&mut self, name: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        if self.has(name) {
            return read(self, name);
        }
        self.refuse(RejectCode::MissingField, name, format!("{name} is missing"));
        None
    }

    /// A string.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name, JsonKind::String)?;
        let text = serde_json::from_str(value.get()).ok();
        if text.is_none() {
            self.invalid(name, "has a lone surrogate escape, which is not a character");
        }
        text
    }

    /// A string of at most `chars_max` characters that can stand in a line of a list.
    pub fn label(&mut self, name: &str, chars_max: usize) -> Option<String> {
        let text = self.text(name)?;
        let chars = text.chars().count();
        if chars > chars_max {
            self.refuse(RejectCode::FieldTooLong, name, format!("{name} is {chars} characters, limit {chars_max}"));
        } else if text.chars().any(char::is_control) {
            self.invalid(name, "has a control character");
        } else {
            return Some(text);
        }
        None
    }

    /// A 64-bit integer.
    pub fn whole(&mut self, name: &str) -> Option<i64> {
        let value = self.take(name, JsonKind::Number)?;
        let number = integer(value.get());
        if number.is_none() {
            self.invalid(name, "is not a 64-bit integer");
        }
        number
    }

    /// An array of 64-bit integers.
    pub fn wholes(&mut self, name: &str) -> Option<Vec<i64>> {
        let value = self.take(name, JsonKind::Array)?;
        let items: Vec<Box<RawValue>> = serde_json::from_str(value.get()).unwrap_or_default();
        let numbers = items.iter().map(|item| integer(item.get())).collect::<Option<_>>();
        if numbers.is_none() {
            self.invalid(name, "has something else than 64-bit integers");
        }
        numbers
    }

    /// An object, as it was sent.
    pub fn object(&mut self, name: &str) -> Option<JsonText> {
        let value = self.take(name, JsonKind::Object)?;
        JsonText::parse(value.get()).ok()
    }

    /// Remembers every member that is not among `known`, where a misspelt one would change too much.
    pub fn refuse_unknown(&mut self, known: &[&str]) {
        let mut unknown: Vec<String> =
            self.members.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect();
        unknown.sort_unstable();
        let expected = if known.is_empty() { "no member".to_owned() } else { known.join(", ") };
        for name in unknown {
            let name: String = name.chars().take(SHOWN_CHARS_MAX).collect();
            self.invalid(&name, &format!("is unknown, expected {expected}"));
        }
    }

    /// `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.take(name, JsonKind::Bool).map(|value| value.get() == "true")
    }

    /// An array of strings, of which a wrong one is named by its index.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.take(name, JsonKind::Array)?;
        let items: Vec<Box<RawValue>> = serde_json::from_str(value.get()).unwrap_or_default();
        let texts: Vec<_> = items.iter().map(|item| serde_json::from_str(item.get()).ok()).collect();
        for (place, _) in texts.iter().enumerate().filter(|(_, text)| text.is_none()) {
            let kind = JsonKind::of(items[place].get()).with_article();
            let place = format!("{name}/{place}");
            self.invalid(&place, &format!("is {kind}, expected a string of characters"));
        }
        texts.into_iter().collect()
    }

    /// A duration such as `"90d"`.
    pub fn span(&mut self, name: &str) -> Option<Duration> {
        let text = self.text(name)?;
        let span = parse_duration(&text);
        if span.is_none() {
            let what = format!("is {}, expected a whole number and ms, s, m, h or d, as \"90d\"", shown(&text));
            self.invalid(name, &what);
        }
        span
    }

    /// An RFC 3339 time.
    pub fn time(&mut self, name: &str) -> Option<DateTime<Utc>> {
        let text = self.text(name)?;
        let time = timestamp::parse(&text);
        if time.is_none() {
            self.invalid(name, "is not an RFC 3339 time such as \"2027-01-01T00:00:00Z\"");
        }
        time
    }

    /// Remembers that the member has a wrong value; `what` goes on after its name.
    pub fn invalid(&mut self, name: &str, what: &str) {
        self.refuse(RejectCode::InvalidField, name, format!("{name} {what}"));
    }

    /// Remembers what is wrong with a member.
    pub fn refuse(&mut self, code: RejectCode, name: &str, detail: String) {
        self.flaws.push(Flaw::new(code, format!("/{name}"), detail));
    }

    fn take(&mut self, name: &str, expected: JsonKind) -> Option<Box<RawValue>> {
        let value = self.members.remove(name)?;
        let kind = JsonKind::of(value.get());
        if kind == expected {
            return Some(value);
        }
        if kind != JsonKind::Null {
            self.invalid(name, &format!("is {}, expected {}", kind.with_article(), expected.with_article()));
        }
        None
    }
}

/// The beginning of a client's text, quoted.
pub fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::parse(text.as_bytes()).expect("an object")
    }

    fn details(fields: &Fields) -> Vec<&str> {
        fields.flaws.iter().map(|flaw| flaw.detail.as_str()).collect()
    }

    #[test]
    fn invalid_json_is_distinguished_from_what_is_not_an_object() {
        let code = |text: &[u8]| Fields::parse(text).map_err(|error| error.problem().entry().code).err();
        for text in [&b""[..], b" ", b"{", b"{}x", b"[1", b"\xff", b"{\"a\":01}", b"{'a':1}"] {
            assert_eq!(code(text), Some("invalid_json"), "{text:?}");
        }
        for text in [&b"[]"[..], b"null", b" 1 ", b"\"a\""] {
            assert_eq!(code(text), Some("invalid_field"), "{text:?}");
        }
        assert_eq!(code(b" {\"a\": [1e999, \"\\ud800\"]} "), None, "what nobody asks for may be anything");
    }

    #[test]
    fn every_wrong_field_is_named_in_one_answer() {
        let mut fields = fields(
            r#"{"t":1,"n":1.5,"f":"true","l":"a\u0000","s":"soon","a":["x",2],"w":"yesterday","g":null,"u":"\ud800"}"#,
        );
        assert_eq!((fields.text("t"), fields.whole("n"), fields.flag("f")), (None, None, None));
        assert_eq!((fields.label("l", 9), fields.span("s"), fields.time("w")), (None, None, None));
        assert_eq!((fields.texts("a"), fields.text("u")), (None, None));
        assert_eq!(fields.required("g", Fields::text), None);
        assert_eq!(
            details(&fields),
            [
                "t is a number, expected a string",
                "n is not a 64-bit integer",
                "f is a string, expected a boolean",
                "l has a control character",
                "s is \"soon\", expected a whole number and ms, s, m, h or d, as \"90d\"",
                "w is not an RFC 3339 time such as \"2027-01-01T00:00:00Z\"",
                "a/1 is a number, expected a string of characters",
                "u has a lone surrogate escape, which is not a character",
                "g is missing",
            ]
        );
        let error = fields.finish(Some(())).expect_err("nine flaws");
        assert_eq!(error.problem().entry().code, "invalid_field");
    }

    #[test]
    fn good_fields_are_read_and_null_is_absent() {
        let mut fields =
            fields(r#"{"t":"é","n":-7,"f":false,"l":"a b","s":"90d","a":["x"],"w":"2027-01-01T00:00:00Z","t":"ö"}"#);
        assert_eq!(fields.text("t").as_deref(), Some("ö"), "of repeated members the last wins");
        assert_eq!((fields.whole("n"), fields.flag("f")), (Some(-7), Some(false)));
        assert_eq!(fields.label("l", 3).as_deref(), Some("a b"));
        assert_eq!(fields.span("s"), Some(Duration::from_secs(90 * 86_400)));
        assert_eq!(fields.texts("a"), Some(vec!["x".to_owned()]));
        assert!(fields.time("w").is_some() && fields.text("absent").is_none());
        assert_eq!(fields.finish(Some(1)).ok(), Some(1));
    }

    #[test]
    fn a_label_has_an_end() {
        let mut fields = fields(r#"{"l":"éé"}"#);
        assert_eq!(fields.label("l", 1), None);
        assert_eq!(details(&fields), ["l is 2 characters, limit 1"]);
    }
}
