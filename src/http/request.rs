//! What a request is known by: its id in answers and logs, its route in metrics and spans.

use std::sync::LazyLock;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use super::respond::header_value;
use crate::telemetry::facts::{self, Route};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest request id that is taken from a client.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The name under which a request is found in answers and logs.
#[derive(Debug)]
pub struct RequestId(pub(super) HeaderValue);

impl RequestId {
    /// The client's own id if it is 1 to 128 of `A-Za-z0-9._-` and the only one, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(X_REQUEST_ID);
        match (values.next(), values.next()) {
            (Some(value), None) if is_valid_id(value.as_bytes()) => Self(value.clone()),
            _ => Self(header_value(Uuid::now_v7().to_string())),
        }
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("an id is visible ASCII")
    }

    #[cfg(test)]
    pub(super) fn fixed(text: &'static str) -> Self {
        Self(HeaderValue::from_static(text))
    }
}

fn is_valid_id(id: &[u8]) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(is_allowed)
}

/// The route of a resource, among the resource's data.
#[derive(Clone, Copy)]
pub struct Served(pub &'static Route);

/// The route that serves the request; unknown paths share one.
pub fn route_of(request: &HttpRequest) -> &'static Route {
    static UNKNOWN: LazyLock<&'static Route> = LazyLock::new(|| facts::route(None));
    request.app_data::<Served>().map_or(*UNKNOWN, |served| served.0)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_clients_request_id_is_taken_only_if_it_is_harmless() {
        let given = |id: &str| {
            RequestId::of(TestRequest::default().insert_header(("x-request-id", id)).to_http_request().headers())
        };
        assert_eq!(given("job-7_a.B").as_str(), "job-7_a.B");
        let longest = "a".repeat(128);
        assert_eq!(given(&longest).as_str(), longest);
        for bad in ["", "a b", "a\"b", "ä", &"a".repeat(129)] {
            let id = given(bad);
            assert!(Uuid::parse_str(id.as_str()).is_ok(), "{bad} gave {}", id.as_str());
        }
        let twice = TestRequest::default().append_header(("x-request-id", "a")).append_header(("x-request-id", "b"));
        let id = RequestId::of(twice.to_http_request().headers());
        assert!(Uuid::parse_str(id.as_str()).is_ok(), "which of two it is nobody knows");
    }
}
