//! `Prefer` (RFC 7240): how long the client is ready to wait, and how a batch is to be taken and answered. A preference
//! that cannot be met is limited or ignored, never an error; `Preference-Applied` says what was honoured.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderMap, HeaderName};

use crate::http::lists::{elements, parts};
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

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    use super::*;

    fn read(values: &[&str]) -> Preferences {
        let request =
            values.iter().fold(TestRequest::default(), |request, value| request.append_header(("prefer", *value)));
        Preferences::read(request.to_http_request().headers())
    }

    fn wait(values: &[&str]) -> Option<u64> {
        read(values).wait.map(|wait| wait.as_secs())
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
        let chosen = read(&["handling=strict, return=minimal", "handling=lenient, wait=99"]);
        assert_eq!((chosen.handling(), chosen.is_minimal()), (Handling::Strict, true));
        assert_eq!(applied(chosen).as_deref(), Some("handling=strict, return=minimal, wait=60"));
        let none = read(&["handling=odd, x, wait=1.5", "handling=strict"]);
        assert_eq!((none, applied(none)), (Preferences::default(), None));
        assert_eq!((none.handling(), none.is_minimal()), (Handling::Lenient, false));
    }
}
