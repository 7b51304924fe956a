//! `Idempotency-Key`: the bare key that most clients send, and the same in quotes, as the IETF's draft has it (a string of
//! RFC 9651). `k1` and `"k1"` are one key.

use std::borrow::Cow;

use actix_web::http::header::HeaderMap;

use crate::domain::dedupe::Namespace;
use crate::http::error::ApiError;
use crate::http::headers::{IDEMPOTENCY_KEY, single};

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
    let (mut key, mut characters) = (String::new(), text.chars());
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
    use actix_web::test::TestRequest;

    use super::*;

    fn read(lines: &[&str]) -> Result<Option<String>, String> {
        let request =
            lines.iter().fold(TestRequest::default(), |request, line| request.append_header((IDEMPOTENCY_KEY, *line)));
        let request = request.to_http_request();
        let key = idempotency_key(request.headers());
        key.map(|key| key.map(Cow::into_owned)).map_err(|error| error.detail().to_owned())
    }

    #[test]
    fn a_key_is_one_to_255_visible_characters() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["a-1"]), Ok(Some("a-1".to_owned())));
        assert_eq!(read(&["a\"b\\"]), Ok(Some("a\"b\\".to_owned())), "quotes within mean nothing");
        assert!(read(&[&"a".repeat(255)]).is_ok());
        assert_eq!(read(&[&"a".repeat(256)]), Err("Idempotency-Key is 256 characters, expected 1 to 255".to_owned()));
        for bad in ["", "a b", "é", "a\tb"] {
            assert!(read(&[bad]).is_err(), "{bad:?}");
        }
        assert!(read(&["a", "a"]).expect_err("which of them?").contains("repeated"));
    }

    #[test]
    fn quotes_around_a_key_are_not_part_of_it() {
        for (text, key) in [
            (r#""k1""#, "k1"),
            (r#""a b""#, "a b"),
            (r#""\"\\""#, r#""\"#),
            (r#""k1";a=1;b="\"""#, "k1"),
            (r#""k1" ; a"#, "k1"),
        ] {
            assert_eq!(read(&[text]).as_ref().map(Option::as_deref), Ok(Some(key)), "{text}");
        }
        let longest = format!("\"{}\"", r#"\""#.repeat(255));
        assert_eq!(read(&[&longest]), Ok(Some("\"".repeat(255))), "escapes do not count");
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
            let refusal = read(&[text]).expect_err("malformed");
            assert!(refusal.contains(what), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_conflict_names_the_key_and_the_first_event() {
        let error = conflict(Some((Namespace::IdempotencyKey, "a-1".to_owned())), 7);
        assert_eq!(error.detail(), "Idempotency-Key \"a-1\" was used before, for event 7 with other content");
    }
}
