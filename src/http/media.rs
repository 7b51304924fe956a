//! Which bodies are taken: JSON in UTF-8, unencoded.

use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::error::ApiError;

/// What `Accept-Post` says.
const ACCEPT_POST: &str = "application/json";
/// What `Accept-Encoding` says.
const ACCEPT_ENCODING: &str = "identity";

/// What the headers say of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// JSON, by its type or because nothing is said.
    Json,
    /// The type that curl's `-d` sends when none is given: JSON if it looks like it.
    Form,
}

impl Media {
    /// What the headers declare; 415 if it is nothing that can be read.
    pub fn declared(headers: &HeaderMap) -> Result<Self, ApiError> {
        refuse_encodings(headers)?;
        let mut values = headers.get_all(CONTENT_TYPE);
        let Some(value) = values.next() else { return Ok(Self::Json) };
        if values.next().is_some() {
            return Err(unsupported("the Content-Type header is repeated"));
        }
        let text = value.to_str().map_err(|_| unsupported("the Content-Type is not visible ASCII"))?;
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        if essence == "application/x-www-form-urlencoded" {
            return Ok(Self::Form);
        }
        if essence != "application/json" && !(essence.contains('/') && essence.ends_with("+json")) {
            return Err(unsupported(&format!("the media type {essence:?} is not taken")));
        }
        match parts.find_map(foreign_charset) {
            Some(charset) => Err(unsupported(&format!("the charset {charset:?} is not taken, expected utf-8"))),
            None => Ok(Self::Json),
        }
    }

    /// Refuses a form that is one: an empty body is left to the reader of JSON, which says what is missing.
    pub fn check(self, body: &[u8]) -> Result<(), ApiError> {
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        match (self, first) {
            (Self::Json, _) | (Self::Form, None | Some(b'{' | b'[')) => Ok(()),
            (Self::Form, Some(_)) => Err(unsupported("the body is form-urlencoded")),
        }
    }
}

fn foreign_charset(parameter: &str) -> Option<String> {
    let (name, value) = parameter.split_once('=')?;
    let charset = value.trim().trim_matches('"').to_ascii_lowercase();
    let is_foreign = name.trim().eq_ignore_ascii_case("charset") && !["utf-8", "utf8", "us-ascii"].contains(&&*charset);
    is_foreign.then_some(charset)
}

fn refuse_encodings(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_identity = |text: &str| text.split(',').all(|coding| coding.trim().eq_ignore_ascii_case("identity"));
    match headers.get_all(CONTENT_ENCODING).find(|value| !value.to_str().is_ok_and(is_identity)) {
        None => Ok(()),
        Some(value) => {
            let detail = format!("the content encoding {value:?} is not taken, expected none");
            Err(ApiError::unsupported_content_encoding(ACCEPT_ENCODING, detail))
        }
    }
}

fn unsupported(what: &str) -> ApiError {
    ApiError::unsupported_media_type(ACCEPT_POST, format!("{what}, expected Content-Type: application/json"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn declared(name: &str, value: &str) -> Result<Media, String> {
        let request = TestRequest::default().insert_header((name, value)).to_http_request();
        Media::declared(request.headers()).map_err(|error| error.problem().entry().code.to_owned())
    }

    #[test]
    fn json_is_taken_under_its_many_names() {
        assert_eq!(Media::declared(&HeaderMap::new()).ok(), Some(Media::Json));
        for text in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"; x=y",
            "application/cloudevents+json",
        ] {
            assert_eq!(declared("content-type", text), Ok(Media::Json), "{text}");
        }
    }

    #[test]
    fn other_types_and_charsets_are_refused() {
        let refused = Err("unsupported_media_type".to_owned());
        for text in ["text/plain", "", "json", "+json", "application/json; charset=utf-16", "multipart/form-data"] {
            assert_eq!(declared("content-type", text), refused, "{text}");
        }
        let twice = TestRequest::default()
            .append_header(("content-type", "application/json"))
            .append_header(("content-type", "text/plain"));
        assert!(Media::declared(twice.to_http_request().headers()).is_err());
    }

    #[test]
    fn a_form_is_json_only_if_it_looks_like_it() {
        assert_eq!(declared("content-type", "application/x-www-form-urlencoded"), Ok(Media::Form));
        for (body, is_taken) in [("{}", true), (" \n[1]", true), ("", true), ("a=b", false), ("\"s\"", false)] {
            assert_eq!(Media::Form.check(body.as_bytes()).is_ok(), is_taken, "{body}");
            assert!(Media::Json.check(body.as_bytes()).is_ok());
        }
    }

    #[test]
    fn encoded_bodies_are_refused() {
        let refused = Err("unsupported_content_encoding".to_owned());
        for text in ["gzip", "br", "gzip, identity", "x", "identity, gzip"] {
            assert_eq!(declared("content-encoding", text), refused, "{text}");
        }
        assert_eq!(declared("content-encoding", "Identity"), Ok(Media::Json));
    }
}
