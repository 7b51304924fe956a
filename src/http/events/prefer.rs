//! `Prefer: wait=N` (RFC 7240): the client wants the event's outcome and is ready to wait for it.

use std::time::Duration;

use actix_web::http::header::HeaderMap;

use crate::http::error::ApiError;

/// Longest wait that is granted, in seconds.
pub const WAIT_SECONDS_MAX: u64 = 60;

/// How long the client wants to wait; other preferences are ignored, of repeated ones the first counts.
pub fn wait(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    for value in headers.get_all("prefer") {
        let text =
            value.to_str().map_err(|_| ApiError::invalid_request("Prefer has characters beyond visible ASCII"))?;
        if let Some(wait) = text.split(',').find_map(wait_of) {
            return seconds(wait).map(Some);
        }
    }
    Ok(None)
}

/// The value of a preference named `wait`, without its parameters.
fn wait_of(preference: &str) -> Option<&str> {
    let preference = preference.split(';').next().unwrap_or_default();
    let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
    name.trim().eq_ignore_ascii_case("wait").then_some(value.trim().trim_matches('"'))
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
    use actix_web::test::TestRequest;

    use super::*;

    fn read(values: &[&str]) -> Result<Option<u64>, String> {
        let request =
            values.iter().fold(TestRequest::default(), |request, value| request.append_header(("prefer", *value)));
        let wait = wait(request.to_http_request().headers());
        wait.map(|wait| wait.map(|wait| wait.as_secs())).map_err(|error| error.detail().to_owned())
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
}
