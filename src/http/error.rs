//! Every failure as an answer: an `ApiError` becomes `application/problem+json` (RFC 9457).

mod layers;

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use schemars::JsonSchema;
use serde::Serialize;

use super::problems::Problem;
use super::request::RequestId;
use crate::domain::rejection::{Flaw, RejectCode, Rejection};
use crate::domain::scopes::Scope;
use crate::telemetry::facts;

/// How soon a client may retry when nothing better is known.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error answer in the making.
#[derive(Debug)]
pub struct ApiError {
    problem: Problem,
    detail: Cow<'static, str>,
    advice: AdviceHeader,
    event_id: Option<i64>,
    repeats: Option<i64>,
    rejection: Option<Box<Rejection>>,
    /// The problem is an event's outcome, which the reference's members report.
    is_outcome: bool,
    closes: bool,
}

/// What stands for an error until the middleware puts its problem there, which knows the request's id.
impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.problem.entry().status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

impl Display for ApiError {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&self.detail)
    }
}

/// The header that shows a client what to change.
#[derive(Clone, Copy, Debug)]
enum AdviceHeader {
    None,
    RetryAfter(Duration),
    Allow(&'static str),
    AcceptPost(&'static str),
    AcceptEncoding(&'static str),
    Challenge { token_given: bool },
    NeedsScope(Scope),
}

impl ApiError {
    /// An error of a kind that needs no header and carries no event.
    pub fn new(problem: Problem, detail: impl Into<Cow<'static, str>>) -> Self {
        let advice =
            if problem.entry().status == 503 { AdviceHeader::RetryAfter(RETRY_AFTER) } else { AdviceHeader::None };
        let detail = detail.into();
        Self {
            problem,
            detail,
            advice,
            event_id: None,
            repeats: None,
            rejection: None,
            is_outcome: false,
            closes: false,
        }
    }

    /// 400: a header or parameter is wrong.
    pub fn invalid_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Problem::InvalidRequest, detail)
    }

    /// 401: no valid token.
    pub fn unauthorized(token_given: bool, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { advice: AdviceHeader::Challenge { token_given }, ..Self::new(Problem::Unauthorized, detail) }
    }

    /// 403: the token lacks `scope`.
    pub fn forbidden(scope: Scope, what: &str) -> Self {
        let detail = format!("the token lacks the scope {}, which {what} needs", scope.name());
        Self { advice: AdviceHeader::NeedsScope(scope), ..Self::new(Problem::Forbidden, detail) }
    }

    /// 405: only the methods in `allow` work here.
    pub fn method_not_allowed(allow: &'static str, detail: String) -> Self {
        Self { advice: AdviceHeader::Allow(allow), ..Self::new(Problem::MethodNotAllowed, detail) }
    }

    /// 408: the body did not come; what comes now would be taken for the next request, so the connection ends.
    pub fn request_timeout(detail: String) -> Self {
        Self { closes: true, ..Self::new(Problem::RequestTimeout, detail) }
    }

    /// 413: the body is longer than the limit; the rest of it is not read.
    pub fn body_too_large(detail: String) -> Self {
        Self { closes: true, ..Self::new(Problem::BodyTooLarge, detail) }
    }

    /// 415: only the media types in `accepted` are taken.
    pub fn unsupported_media_type(accepted: &'static str, detail: String) -> Self {
        Self { advice: AdviceHeader::AcceptPost(accepted), ..Self::new(Problem::UnsupportedMediaType, detail) }
    }

    /// 415: only the content encodings in `accepted` are taken.
    pub fn unsupported_content_encoding(accepted: &'static str, detail: String) -> Self {
        Self {
            advice: AdviceHeader::AcceptEncoding(accepted),
            ..Self::new(Problem::UnsupportedContentEncoding, detail)
        }
    }

    /// 409: the key was used before, for the event `first`.
    pub fn conflict(first: i64, detail: String) -> Self {
        Self { event_id: Some(first), ..Self::new(Problem::EventUidConflict, detail) }
    }

    /// 422 or 413: the event was refused; `event_id` is given if a row was kept.
    pub fn rejected(rejection: Rejection, event_id: Option<i64>) -> Self {
        Self { event_id, is_outcome: true, ..Self::invalid_fields(rejection) }
    }

    /// The refused event was sent again so often since it was kept; 0 says nothing.
    pub fn repeated(self, repeats: i64) -> Self {
        Self { repeats: Some(repeats).filter(|repeats| *repeats > 0), ..self }
    }

    /// 422: fields of a body that is not an event are wrong.
    pub fn invalid_fields(rejection: Rejection) -> Self {
        let problem = Problem::Rejected(rejection.code());
        let detail = rejection.first.detail.clone();
        Self { rejection: Some(Box::new(rejection)), ..Self::new(problem, detail) }
    }

    /// 429: the token sends too many requests; `wait` is how long it has to wait.
    pub fn rate_limited(wait: Duration) -> Self {
        let detail = format!("the token has no request left, the next one in {} ms", wait.as_millis().max(1));
        Self::new(Problem::RateLimited, detail).after(wait)
    }

    /// 429: too many unknown tokens came from where this one comes from; `wait` is how long it is not looked up.
    pub fn too_many_unknown_tokens(wait: Duration) -> Self {
        let wait_ms = wait.as_millis().max(1);
        let detail =
            format!("too many unknown tokens came from this address, the next one is looked up in {wait_ms} ms");
        Self::new(Problem::RateLimited, detail).after(wait)
    }

    /// 422: a strict batch of `events` events has invalid ones; `rejection` has their flaws.
    pub fn batch_refused(rejection: Rejection, invalid: usize, events: usize) -> Self {
        let detail = format!("{invalid} of {events} events are invalid, nothing was stored");
        Self { rejection: Some(Box::new(rejection)), ..Self::new(Problem::BatchRefused, detail) }
    }

    /// 500: a bug; `detail` is for people and must not reveal secrets.
    pub fn internal(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Problem::InternalError, detail)
    }

    /// What kind of error this is.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// What happened this time.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// How long to wait until the same request may succeed, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        if let AdviceHeader::RetryAfter(delay) = self.advice { Some(delay) } else { None }
    }

    /// The answer; `keyed` says whether the request carried a dedupe key in its headers.
    pub fn respond(&self, request_id: &RequestId, keyed: bool) -> HttpResponse {
        let entry = self.problem.entry();
        facts::problem_answered(entry.code);
        let mut response = HttpResponse::build(entry.status);
        if let Some(header) = self.advice.header() {
            response.insert_header(header);
        }
        if self.closes {
            response.force_close();
        }
        let rejection = self.rejection.as_deref();
        let outcome = rejection.filter(|_| self.is_outcome);
        let body = ProblemBody {
            kind: format!("/problems/{}", entry.code),
            title: entry.title,
            status: entry.status.as_u16(),
            detail: &self.detail,
            code: entry.code,
            retryable: entry.is_retryable(keyed),
            request_id: request_id.as_str(),
            event_id: self.event_id,
            repeats: self.repeats,
            outcome: outcome.map(|_| "validation_error"),
            error: outcome.map(|rejection| rejection.error.as_str()),
            errors: rejection.map(|rejection| rejection.flaws().map(FlawBody::of).collect()),
        };
        response.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        response.body(serde_json::to_vec(&body).expect("a problem has only text and numbers"))
    }

    fn after(self, delay: Duration) -> Self {
        Self { advice: AdviceHeader::RetryAfter(delay), ..self }
    }
}

impl AdviceHeader {
    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        let fixed = HeaderValue::from_static;
        Some(match self {
            Self::None => return None,
            Self::RetryAfter(delay) => (header::RETRY_AFTER, HeaderValue::from(whole_seconds(delay))),
            Self::Allow(methods) => (header::ALLOW, fixed(methods)),
            Self::AcceptPost(types) => (HeaderName::from_static("accept-post"), fixed(types)),
            Self::AcceptEncoding(encodings) => (header::ACCEPT_ENCODING, fixed(encodings)),
            Self::Challenge { token_given } => (header::WWW_AUTHENTICATE, fixed(challenge(token_given))),
            Self::NeedsScope(scope) => (header::WWW_AUTHENTICATE, insufficient(scope)),
        })
    }
}

fn challenge(token_given: bool) -> &'static str {
    if token_given { r#"Bearer realm="gristmill", error="invalid_token""# } else { r#"Bearer realm="gristmill""# }
}

fn insufficient(scope: Scope) -> HeaderValue {
    let text = format!(r#"Bearer realm="gristmill", error="insufficient_scope", scope="{}""#, scope.name());
    HeaderValue::try_from(text).expect("names of scopes are visible ASCII")
}

/// `delay` rounded up, at least 1: a client that reads 0 would come back at once.
pub fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)).max(1)
}

/// A failure, as in RFC 9457.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Problem")]
pub struct ProblemBody<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    retryable: bool,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<i64>,
    /// How often a refused event was sent again since it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    repeats: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<FlawBody>>,
}

/// One flaw of an event in an answer.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Flaw")]
pub struct FlawBody {
    pointer: String,
    #[schemars(with = "String", extend("enum" = RejectCode::ALL.map(RejectCode::as_str)))]
    code: RejectCode,
    detail: String,
}

impl FlawBody {
    /// The form of `flaw`.
    pub fn of(flaw: &Flaw) -> Self {
        Self { pointer: flaw.pointer.clone(), code: flaw.code, detail: flaw.detail.clone() }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::rt::System;
    use serde_json::{Value, json};

    use super::super::problems::CATALOGUE;
    use super::*;
    use crate::pipeline::{Refused, Unsettled};

    fn body_of(error: &ApiError) -> Value {
        let response = error.respond(&RequestId::fixed("r-1"), false);
        assert_eq!(
            response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes),
            Some(&b"application/problem+json"[..])
        );
        let body = System::new().block_on(to_bytes(response.into_body()));
        serde_json::from_slice(&body.expect("a body in memory")).expect("a problem is JSON")
    }

    fn header_of(error: &ApiError, name: &str) -> Option<String> {
        let response = error.respond(&RequestId::fixed("r-1"), false);
        response.headers().get(name).map(|value| value.to_str().expect("visible ASCII").to_owned())
    }

    #[test]
    fn a_rejection_carries_the_references_sentence_and_every_flaw() {
        let first = Flaw::new(RejectCode::PayloadTooLarge, "/payload", "payload is 3 bytes, limit 2");
        let other = Flaw::new(RejectCode::InvalidField, "/user_id", "user_id is not a 64-bit integer");
        let rejection = Rejection::with_error(first, "Payload exceeds 1MB size limit").and([other]);
        assert_eq!(
            body_of(&ApiError::rejected(rejection, Some(7))),
            json!({
                "type": "/problems/payload_too_large", "title": "The payload is too large", "status": 413,
                "detail": "payload is 3 bytes, limit 2", "code": "payload_too_large", "retryable": false,
                "request_id": "r-1", "event_id": 7, "outcome": "validation_error",
                "error": "Payload exceeds 1MB size limit",
                "errors": [
                    {"pointer": "/payload", "code": "payload_too_large", "detail": "payload is 3 bytes, limit 2"},
                    {"pointer": "/user_id", "code": "invalid_field", "detail": "user_id is not a 64-bit integer"},
                ],
            })
        );
    }

    #[test]
    fn wrong_fields_of_what_is_no_event_have_no_outcome() {
        let flaw = Flaw::new(RejectCode::MissingField, "/email", "email is missing");
        let body = body_of(&ApiError::invalid_fields(Rejection::of(flaw)));
        assert_eq!((&body["status"], &body["errors"][0]["pointer"]), (&json!(422), &json!("/email")));
        assert!(body.get("outcome").is_none() && body.get("error").is_none(), "{body}");
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let body = body_of(&ApiError::new(Problem::NotFound, "no event 7"));
        let members: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, ["code", "detail", "request_id", "retryable", "status", "title", "type"]);
    }

    #[test]
    fn every_503_says_when_to_come_back() {
        for entry in CATALOGUE.iter().filter(|entry| entry.status.as_u16() == 503) {
            assert_eq!(header_of(&ApiError::new(entry.problem, "x"), "retry-after").as_deref(), Some("1"));
        }
        let full = ApiError::from(Refused { why: Unsettled::Full, retry_after: Duration::from_millis(2_001) });
        assert_eq!(header_of(&full, "retry-after").as_deref(), Some("3"));
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        let limited = ApiError::rate_limited(Duration::from_millis(1_001));
        assert_eq!(header_of(&limited, "retry-after").as_deref(), Some("2"));
    }

    #[test]
    fn a_401_challenges_and_a_403_names_the_scope() {
        let none = ApiError::unauthorized(false, "x");
        assert_eq!(header_of(&none, "www-authenticate").as_deref(), Some(r#"Bearer realm="gristmill""#));
        let bad = header_of(&ApiError::unauthorized(true, "x"), "www-authenticate");
        assert_eq!(bad.as_deref(), Some(r#"Bearer realm="gristmill", error="invalid_token""#));
        let scope = ApiError::forbidden(Scope::ReadAll, "this list");
        assert_eq!(scope.detail(), "the token lacks the scope read:all, which this list needs");
        let scope = header_of(&scope, "www-authenticate").expect("a challenge");
        assert!(scope.ends_with(r#"scope="read:all""#), "{scope}");
    }
}
