//! `Prefer` (RFC 7240): how long the client is ready to wait, and how a batch is to be taken and answered.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderMap, HeaderName};

use crate::http::error::ApiError;
use crate::http::request::header_value;
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
    pub fn read(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut preferences = Self::default();
        for value in headers.get_all("prefer") {
            let text =
                value.to_str().map_err(|_| ApiError::invalid_request("Prefer has characters beyond visible ASCII"))?;
            for preference in text.split(',') {
                preferences.note(preference)?;
            }
        }
        Ok(preferences)
    }

    /// `handling=strict`: one invalid event refuses its whole batch.
    pub fn handling(&self) -> Handling {
        self.handling.unwrap_or(Handling::Lenient)
    }

    /// `return=minimal`: of a batch's results only those that are no success.
    pub fn is_minimal(&self) -> bool {
        self.is_minimal.unwrap_or(false)
    }

    /// `response` with what was heeded of these preferences.
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

    fn note(&mut self, preference: &str) -> Result<(), ApiError> {
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        let value = value.trim().trim_matches('"');
        match (name.trim().to_ascii_lowercase().as_str(), value) {
            ("wait", _) if self.wait.is_none() => self.wait = Some(seconds(value)?),
            ("handling", "strict") => self.handling = self.handling.or(Some(Handling::Strict)),
            ("handling", "lenient") => self.handling = self.handling.or(Some(Handling::Lenient)),
            ("return", "minimal") => self.is_minimal = self.is_minimal.or(Some(true)),
            ("return", "representation") => self.is_minimal = self.is_minimal.or(Some(false)),
            _ => {}
        }
        Ok(())
    }
}

fn seconds(text: &str) -> Result<Duration, ApiError> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds) if is_number && seconds <= WAIT_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(ApiError::invalid_request(format!(
            "Prefer: wait is {:?}, expected whole seconds from 0 to {WAIT_SECONDS_MAX}",
            text.chars().take(20).collect::<String>()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    use super::*;

    fn preferences(values: &[&str]) -> Result<Preferences, String> {
        let request =
            values.iter().fold(TestRequest::default(), |request, value| request.append_header(("prefer", *value)));
        Preferences::read(request.to_http_request().headers()).map_err(|error| error.detail().to_owned())
    }

    fn read(values: &[&str]) -> Result<Option<u64>, String> {
        preferences(values).map(|preferences| preferences.wait.map(|wait| wait.as_secs()))
    }

    #[test]
    fn a_wait_is_found_among_other_preferences() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["respond-async, return=minimal"]), Ok(None));
        for text in ["wait=10", "Wait = 10", "return=minimal, wait=10", "wait=\"10\"; x=y", "wait=10, wait=20"] {
            assert_eq!(read(&[text]), Ok(Some(10)), "{text}");
        }
        assert_eq!(read(&["return=minimal", "wait=0"]), Ok(Some(0)));
        assert_eq!(read(&["wait=60"]), Ok(Some(60)));
    }

    #[test]
    fn a_wait_that_is_no_number_of_seconds_is_refused() {
        let refusal = read(&["wait=61"]);
        assert_eq!(refusal, Err("Prefer: wait is \"61\", expected whole seconds from 0 to 60".to_owned()));
        for text in ["wait", "wait=", "wait=-1", "wait=+1", "wait=1.5", "wait=abc", "wait=99999999999999999999999"] {
            assert!(read(&[text]).is_err(), "{text}");
        }
    }

    #[test]
    fn how_a_batch_is_taken_and_answered_is_the_clients_choice_and_said_back() {
        let chosen = preferences(&["handling=strict, return=minimal", "handling=lenient, wait=2"]).expect("valid");
        assert_eq!((chosen.handling(), chosen.is_minimal()), (Handling::Strict, true));
        let response = chosen.applied_to(HttpResponse::new(StatusCode::OK));
        let applied = response.headers().get("preference-applied").map(|value| value.as_bytes().to_vec());
        assert_eq!(applied.as_deref(), Some(&b"handling=strict, return=minimal, wait=2"[..]));
        let none = preferences(&["handling=odd, x"]).expect("ignored");
        assert_eq!(none, Preferences::default());
        assert_eq!((none.handling(), none.is_minimal()), (Handling::Lenient, false));
    }
}
