//! Which bodies are taken, decided by `Content-Type` before a byte of them is read.

use actix_web::http::header::{CONTENT_TYPE, HeaderMap};

use super::error::ApiError;
use super::headers::parts;

/// What the headers say of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// JSON, by its type.
    Json,
    /// Nothing is said.
    Undeclared,
    /// The type that curl's `-d` sends when none is given: JSON if it looks like it.
    Form,
    /// A JSON text per line.
    Ndjson,
    /// A CloudEvent in its JSON format.
    CloudEvent,
    /// A list of CloudEvents in their JSON format.
    CloudEvents,
}

/// The bodies that an endpoint takes.
#[derive(Clone, Copy, Debug)]
pub struct AcceptedMedia {
    /// Which of them beside JSON.
    pub others: &'static [Media],
    /// What `Accept-Post` says.
    pub accept_post: &'static str,
}

/// JSON and nothing else.
pub const JSON_ONLY: AcceptedMedia = AcceptedMedia { others: &[], accept_post: "application/json" };

impl Media {
    /// What the headers declare; 415 if it is nothing that `taken` has.
    pub fn declared(headers: &HeaderMap, taken: AcceptedMedia) -> Result<Self, ApiError> {
        let refused = |what: String| unsupported(taken, &what);
        let mut values = headers.get_all(CONTENT_TYPE);
        let Some(value) = values.next() else { return Ok(Self::Undeclared) };
        if values.next().is_some() {
            return Err(refused("the Content-Type header is repeated".to_owned()));
        }
        let text = value.to_str().map_err(|_| refused("the Content-Type is not visible ASCII".to_owned()))?;
        let mut parts = parts(text, ';');
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let media = Self::of(&essence).filter(|media| media.is_json() || taken.others.contains(media));
        let Some(media) = media else { return Err(refused(format!("the media type {essence:?} is not taken"))) };
        match parts.find_map(foreign_charset) {
            Some(charset) if media != Self::Form => {
                Err(refused(format!("the charset {charset:?} is not taken, expected utf-8")))
            }
            _ => Ok(media),
        }
    }

    /// What the media type `essence`, in lower case and without parameters, stands for.
    pub fn of(essence: &str) -> Option<Self> {
        Some(match essence {
            "application/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Self::Ndjson
            }
            "application/cloudevents+json" => Self::CloudEvent,
            "application/cloudevents-batch+json" => Self::CloudEvents,
            other if other.contains('/') && other.ends_with("+json") => Self::Json,
            _ => return None,
        })
    }

    fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Form)
    }

    /// Whether the body itself has to show what it is.
    pub fn is_undeclared(self) -> bool {
        matches!(self, Self::Undeclared | Self::Form)
    }

    /// Refuses a form that is one: an empty body is left to the reader of JSON, which says what is missing.
    pub fn check(self, body: &[u8], taken: AcceptedMedia) -> Result<(), ApiError> {
        if self == Self::Form && !body.trim_ascii().is_empty() && !looks_like_json(body) {
            return Err(unsupported(taken, "the body is form-urlencoded"));
        }
        Ok(())
    }
}

/// Whether the body begins like a JSON object or array, as no form does.
pub fn looks_like_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first().is_some_and(|byte| b"{[".contains(byte))
}

fn foreign_charset(parameter: &str) -> Option<String> {
    let (name, value) = parameter.split_once('=')?;
    let charset = value.trim().trim_matches('"').to_ascii_lowercase();
    let is_foreign = name.trim().eq_ignore_ascii_case("charset") && !["utf-8", "utf8", "us-ascii"].contains(&&*charset);
    is_foreign.then_some(charset)
}

fn unsupported(taken: AcceptedMedia, what: &str) -> ApiError {
    let detail = format!("{what}, expected Content-Type: {}", taken.accept_post.replace(", ", " or "));
    ApiError::unsupported_media_type(taken.accept_post, detail)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    const BATCH: AcceptedMedia = AcceptedMedia { others: &[Media::Ndjson], accept_post: "x" };

    fn declared(value: &str, taken: AcceptedMedia) -> Result<Media, String> {
        let request = TestRequest::default().insert_header(("content-type", value)).to_http_request();
        Media::declared(request.headers(), taken).map_err(|error| error.problem().entry().code.to_owned())
    }

    #[test]
    fn json_is_taken_under_its_many_names() {
        assert_eq!(Media::declared(&HeaderMap::new(), JSON_ONLY).ok(), Some(Media::Undeclared));
        for text in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"; x=y",
            "application/vnd.example+json",
            "application/json ;; x=\"a;charset=latin1\" ;",
        ] {
            assert_eq!(declared(text, JSON_ONLY), Ok(Media::Json), "{text}");
        }
    }

    #[test]
    fn other_types_and_charsets_are_refused_and_lines_only_where_they_are_taken() {
        let refused = Err("unsupported_media_type".to_owned());
        for text in [
            "text/plain",
            "",
            "json",
            "+json",
            "application/json; charset=utf-16",
            "multipart/form-data",
            "application/x-ndjson",
            "application/cloudevents+json",
        ] {
            assert_eq!(declared(text, JSON_ONLY), refused, "{text}");
        }
        assert_eq!(declared("application/x-ndjson; charset=utf-8", BATCH), Ok(Media::Ndjson));
        assert_eq!(declared("application/x-ndjson; charset=latin1", BATCH), refused);
        let twice = TestRequest::default()
            .append_header(("content-type", "application/json"))
            .append_header(("content-type", "text/plain"));
        assert!(Media::declared(twice.to_http_request().headers(), JSON_ONLY).is_err());
    }

    #[test]
    fn a_form_is_json_only_if_it_looks_like_it() {
        assert_eq!(declared("application/x-www-form-urlencoded", JSON_ONLY), Ok(Media::Form));
        for (body, is_taken) in [("{}", true), (" \n[1]", true), ("", true), ("a=b", false), ("\"s\"", false)] {
            assert_eq!(Media::Form.check(body.as_bytes(), JSON_ONLY).is_ok(), is_taken, "{body}");
            assert!(Media::Json.check(body.as_bytes(), JSON_ONLY).is_ok());
        }
    }
}
