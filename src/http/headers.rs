//! Headers that may come only once, and headers that are lists.
//!
//! Lists (RFC 9110, section 5.6.1) have elements between commas, of which the empty ones say nothing. A comma in a quoted
//! string separates nothing.

use actix_web::http::header::{AsHeaderName, HeaderMap, HeaderValue};

use super::error::ApiError;

/// The header with the key of an event that has none of its own.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The weight of what has none, in thousandths.
const WEIGHT_MAX: u16 = 1_000;

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

/// The elements of the header `name`, over all its lines; a line that is not UTF-8 has none.
pub fn elements(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).flat_map(elements_of)
}

/// The elements of one line.
pub fn elements_of(line: &HeaderValue) -> impl Iterator<Item = &str> {
    parts(std::str::from_utf8(line.as_bytes()).unwrap_or_default(), ',')
}

/// The elements of a header that weighs what it names, as `Accept` does, each with its weight in thousandths.
pub fn weighed(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = (&str, u16)> {
    elements(headers, name).map(|element| {
        let mut parts = parts(element, ';');
        (parts.next().unwrap_or_default(), parts.find_map(quality).unwrap_or(WEIGHT_MAX))
    })
}

/// What stands between separators, without white space around it; nothing of what is empty.
pub fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    let separates = move |character: char| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            _ if was_escaped => {}
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            other => return other == separator && !is_quoted,
        }
        false
    };
    text.split(separates).map(|part| part.trim_matches([' ', '\t'])).filter(|part| !part.is_empty())
}

/// The weight if the parameter is one: `q=0.8` is 800, an invalid weight is 0.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()).unwrap_or(0))
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if text.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if whole.bytes().any(|digit| digit != b'0') {
        return Some(WEIGHT_MAX);
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    Some(digits.fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{ACCEPT, CONTENT_ENCODING};
    use actix_web::test::TestRequest;

    use super::*;

    fn headers(name: &'static str, lines: &[&[u8]]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_bytes(line).expect("a header's value"));
        let request = lines.fold(TestRequest::default(), |request, line| request.append_header((name, line)));
        request.to_http_request().headers().clone()
    }

    #[test]
    fn empty_elements_say_nothing() {
        for (lines, found) in [
            (&[&b""[..]][..], &[][..]),
            (&[b" ,\t, "], &[]),
            (&[b"gzip,"], &["gzip"]),
            (&[b",gzip"], &["gzip"]),
            (&[b"a ,, b", b"", b",c"], &["a", "b", "c"]),
            (&[b"a\xff", b"b"], &["b"]),
        ] {
            let headers = headers("content-encoding", lines);
            assert_eq!(elements(&headers, CONTENT_ENCODING).collect::<Vec<_>>(), found, "{lines:?}");
        }
    }

    #[test]
    fn a_comma_in_quotes_separates_nothing() {
        for (text, found) in [
            (r#"a="1, 2", b"#, &[r#"a="1, 2""#, "b"][..]),
            (r#"a="\",", b"#, &[r#"a="\",""#, "b"]),
            (r#"a="\\", b"#, &[r#"a="\\""#, "b"]),
            (r"a\, b", &[r"a\", "b"]),
            (r#"a, "b, c"#, &["a", r#""b, c"#]),
        ] {
            assert_eq!(parts(text, ',').collect::<Vec<_>>(), found, "{text}");
        }
    }

    #[test]
    fn a_weight_is_a_number_from_0_to_1_and_nothing_else_is() {
        for (text, weight) in [
            ("a", 1_000),
            ("a;q=1", 1_000),
            ("a ; x=y ; Q=0.5", 500),
            ("a;q=0.1234", 123),
            ("a;q=.2", 200),
            ("a;q=2", 1_000),
            ("a;q=0", 0),
            ("a;q=0.000", 0),
            ("a;x=\";q=0.1\"", 1_000),
            ("a;q=", 0),
            ("a;q=+1", 0),
            ("a;q=inf", 0),
            ("a;q=NaN", 0),
            ("a;q=1e3", 0),
            ("a;q=-0.5", 0),
            ("a;q=0.+5", 0),
            ("a;q=\u{661}", 0),
        ] {
            let headers = headers("accept", &[text.as_bytes()]);
            assert_eq!(weighed(&headers, ACCEPT).collect::<Vec<_>>(), [("a", weight)], "{text}");
        }
    }
}
