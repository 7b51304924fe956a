//! What the headers of a posted event say beside its body.
//!
//! `Prefer` (RFC 7240): how long the client is ready to wait, and how a batch is to be taken and answered. A preference
//! that cannot be met is limited or ignored, never an error; `Preference-Applied` says what was honoured.
//!
//! `Idempotency-Key`: the bare key that most clients send, and the same in quotes, as the IETF's draft has it (a string of
//! RFC 9651). `k1` and `"k1"` are one key.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderMap, HeaderName};

use crate::domain::dedupe::Namespace;
use crate::http::error::ApiError;
use crate::http::headers::{IDEMPOTENCY_KEY, elements, parts, single};
use crate::http::respond::header_value;
use crate::pipeline::Handling;

/// Longest wait that is granted, in seconds.
pub const WAIT_SECONDS_MAX: u64 = 60;

/// What the client prefers; unknown preferences are ignored, of repeated ones the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// `wait=N`: how long outcomes are waited for.
    pub wait: Option<Duration>,
    handling: Option<Handling>,
    is_minimal: Option<bool>,
}

impl Preferences {
    /// Reads the header, which may be repeated.
    pub fn read(headers: &HeaderMap) -> Self {
        let first = |wanted: &str| {
            let mut preferences = elements(headers, "prefer").map(preference);
            preferences.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
        };
        let one_of = |name, words: [&str; 2]| words.iter().position(|word| Some(*word) == first(name));
        Self {
            wait: first("wait").and_then(seconds),
            handling: one_of("handling", ["strict", "lenient"]).map(|at| [Handling::Strict, Handling::Lenient][at]),
            is_minimal: one_of("return", ["minimal", "representation"]).map(|at| at == 0),
        }
    }

    /// `handling=strict`: one invalid event refuses its whole batch.
    pub fn handling(&self) -> Handling {
        self.handling.unwrap_or(Handling::Lenient)
    }

    /// `return=minimal`: of a batch's results only those that are not successes.
    pub fn is_minimal(&self) -> bool {
        self.is_minimal.unwrap_or(false)
    }

    /// `response` with what was honoured of these preferences.
    pub fn applied_to(&self, mut response: HttpResponse) -> HttpResponse {
        const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
        let handling = self.handling.map(|handling| match handling {
            Handling::Strict => "handling=strict".to_owned(),
            Handling::Lenient => "handling=lenient".to_owned(),
        });
        let form =
            self.is_minimal.map(|minimal| format!("return={}", if minimal { "minimal" } else { "representation" }));
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        let applied: Vec<String> = [handling, form, wait].into_iter().flatten().collect();
        if !applied.is_empty() {
            response.headers_mut().insert(PREFERENCE_APPLIED, header_value(applied.join(", ")));
        }
        response
    }

    /// Without what an endpoint for one event has no use for.
    pub fn of_one_event(self) -> Self {
        Self { wait: self.wait, ..Self::default() }
    }
}

/// Name and value, without parameters; a quoted value means the same as one without quotes.
fn preference(element: &str) -> (&str, &str) {
    let preference = parts(element, ';').next().unwrap_or_default();
    let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
    (name.trim(), value.trim().trim_matches('"'))
}

/// As much of the wait as is granted; `None` if it is not a whole number of seconds.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // What is too long for the number is too long a wait as well.
    is_number.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX).min(WAIT_SECONDS_MAX)))
}

/// The request's key: 1 to 255 visible ASCII characters, in quotes also spaces.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, ApiError> {
    let Some(text) = single(headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
    let key = match text.strip_prefix('"') {
        Some(quoted) => Cow::Owned(unquoted(quoted)?),
        None => Cow::Borrowed(text),
    };
    if !(1..=255).contains(&key.len()) {
        let detail = format!("Idempotency-Key is {} characters, expected 1 to 255", key.len());
        return Err(ApiError::invalid_request(detail));
    }
    if matches!(key, Cow::Borrowed(_)) && !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ApiError::invalid_request("Idempotency-Key has white space, expected visible ASCII only"));
    }
    Ok(Some(key))
}

/// What stands up to the closing quote; parameters may follow it, of which none has a meaning here.
fn unquoted(text: &str) -> Result<String, ApiError> {
    let malformed = |what: &str| Err(ApiError::invalid_request(format!("Idempotency-Key in quotes {what}")));
    let mut key = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next() {
            Some('"') => break,
            Some('\\') => match characters.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return malformed("has a backslash before something else than a quote or a backslash"),
            },
            Some(character @ ' '..='~') => key.push(character),
            Some(_) => return malformed("has a tab, expected visible ASCII and spaces only"),
            None => return malformed("has no closing quote"),
        }
    }
    match characters.as_str().trim_start_matches(' ') {
        rest if rest.is_empty() || rest.starts_with(';') => Ok(key),
        _ => malformed("goes on behind its closing quote"),
    }
}

pub(super) fn conflict(key: Option<(Namespace, String)>, first: i64) -> ApiError {
    let key = match key {
        Some((Namespace::EventUid, text)) => format!("event_uid {text:?}"),
        Some((Namespace::IdempotencyKey, text)) => format!("Idempotency-Key {text:?}"),
        Some((Namespace::Refusal, _)) | None => "the event's key".to_owned(),
    };
    ApiError::conflict(first, format!("{key} was used before, for event {first} with other content"))
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    use super::*;

    fn preferences(values: &[&str]) -> Preferences {
        let request =
            values.iter().fold(TestRequest::default(), |request, value| request.append_header(("prefer", *value)));
        Preferences::read(request.to_http_request().headers())
    }

    fn wait(values: &[&str]) -> Option<u64> {
        preferences(values).wait.map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&["respond-async, return=minimal"]), None);
        for text in [
            "wait=10",
            "Wait = 10",
            "return=minimal, wait=10",
            "wait=\"10\"; x=y",
            "wait=10, wait=20",
            ",, wait=10 ;; a=\"b;c\" ,",
            "odata.maxpagesize=\"5, wait=99\", wait=10",
            "x=\"\\\", wait=99\", wait=10",
            "x; wait=99, wait=10",
        ] {
            assert_eq!(wait(&[text]), Some(10), "{text}");
        }
        assert_eq!(wait(&["return=minimal", "wait=0", "wait=5"]), Some(0));
        assert_eq!(wait(&["odata.maxpagesize=\"5, wait=99\""]), None);
    }

    #[test]
    fn a_wait_that_cannot_be_granted_is_limited_or_ignored() {
        for text in ["wait=60", "wait=61", "respond-async, wait=120", "wait=99999999999999999999999", "wait=0060"] {
            assert_eq!(wait(&[text]), Some(60), "{text}");
        }
        for text in
            ["wait", "wait=", "wait=\"\"", "wait=-1", "wait=+1", "wait=1.5", "wait=abc", "wait=\u{661}", "wait=0x5"]
        {
            assert_eq!(wait(&[text]), None, "{text}");
            assert_eq!(wait(&[text, "wait=5"]), None, "of a repeated preference the first counts: {text}");
        }
    }

    #[test]
    fn how_a_batch_is_taken_and_answered_is_the_clients_choice_and_said_back() {
        let applied = |preferences: Preferences| {
            let response = preferences.applied_to(HttpResponse::new(StatusCode::OK));
            let applied = response.headers().get("preference-applied");
            applied.map(|value| value.to_str().expect("visible ASCII").to_owned())
        };
        let chosen = preferences(&["handling=strict, return=minimal", "handling=lenient, wait=99"]);
        assert_eq!((chosen.handling(), chosen.is_minimal()), (Handling::Strict, true));
        assert_eq!(applied(chosen).as_deref(), Some("handling=strict, return=minimal, wait=60"));
        let none = preferences(&["handling=odd, x, wait=1.5", "handling=strict"]);
        assert_eq!((none, applied(none)), (Preferences::default(), None));
        assert_eq!((none.handling(), none.is_minimal()), (Handling::Lenient, false));
    }

    fn key(lines: &[&str]) -> Result<Option<String>, String> {
        let request =
            lines.iter().fold(TestRequest::default(), |request, line| request.append_header((IDEMPOTENCY_KEY, *line)));
        let request = request.to_http_request();
        let read = idempotency_key(request.headers());
        read.map(|key| key.map(Cow::into_owned)).map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn a_key_is_one_to_255_visible_characters() {
        assert_eq!(key(&[]), Ok(None));
        assert_eq!(key(&["a-1"]), Ok(Some("a-1".to_owned())));
        assert_eq!(key(&["a\"b\\"]), Ok(Some("a\"b\\".to_owned())), "quotes within mean nothing");
        assert!(key(&[&"a".repeat(255)]).is_ok());
        assert_eq!(key(&[&"a".repeat(256)]), Err("Idempotency-Key is 256 characters, expected 1 to 255".to_owned()));
        for bad in ["", "a b", "é", "a\tb"] {
            assert!(key(&[bad]).is_err(), "{bad:?}");
        }
        assert!(key(&["a", "a"]).expect_err("which of them?").contains("repeated"));
    }

    #[test]
    fn quotes_around_a_key_are_not_part_of_it() {
        for (text, expected) in [
            (r#""k1""#, "k1"),
            (r#""a b""#, "a b"),
            (r#""\"\\""#, r#""\"#),
            (r#""k1";a=1;b="\"""#, "k1"),
            (r#""k1" ; a"#, "k1"),
        ] {
            assert_eq!(key(&[text]).as_ref().map(Option::as_deref), Ok(Some(expected)), "{text}");
        }
        let longest = format!("\"{}\"", r#"\""#.repeat(255));
        assert_eq!(key(&[&longest]), Ok(Some("\"".repeat(255))), "escapes do not count");
        for (text, what) in [
            ("\"", "closing quote"),
            ("\"\"", "is 0 characters"),
            ("\"k1", "closing quote"),
            (r#""k1\""#, "closing quote"),
            (r#""k1"x"#, "goes on"),
            (r#""k1", "k2""#, "goes on"),
            (r#""k\1""#, "backslash"),
            ("\"k\t1\"", "tab"),
            ("\"é\"", "visible ASCII"),
        ] {
            let refusal = key(&[text]).expect_err("malformed");
            assert!(refusal.contains(what), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_conflict_names_the_key_and_the_first_event() {
        let error = conflict(Some((Namespace::IdempotencyKey, "a-1".to_owned())), 7);
        assert_eq!(error.detail(), "Idempotency-Key \"a-1\" was used before, for event 7 with other content");
    }
}
