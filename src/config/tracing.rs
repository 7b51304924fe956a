//! The section that says where spans go.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use ureq::http::{HeaderName, HeaderValue, Uri};

use super::reader::ConfigReader;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What is exported of traces, and where to.
#[derive(Clone, PartialEq)]
pub struct TracingConfig {
    /// Address of an OTLP/HTTP collector; "" exports nothing.
    pub endpoint: String,
    /// Name of the service in traces.
    pub service_name: String,
    /// Share of the requests without a trace that begin one.
    pub ratio: f64,
    /// Headers for the collector, as they were configured. May hold a secret.
    headers: String,
    /// Longest time of one export.
    pub timeout: Duration,
    /// Most spans that wait to be exported.
    pub queue: usize,
}

impl TracingConfig {
    /// Names and values of the headers for the collector. May hold a secret.
    pub fn headers(&self) -> Vec<(String, String)> {
        headers(&self.headers).expect("the headers were checked")
    }

    pub(super) fn read(r: &mut ConfigReader) -> Self {
        let is_name = |s: &str| (1..=255).contains(&s.chars().count()) && !s.chars().any(char::is_control);
        TracingConfig {
            endpoint: r.text("tracing.endpoint", "\"\", or http://HOST:PORT without TLS, user and query", is_endpoint),
            service_name: r.text("tracing.service_name", "1 to 255 characters, no control characters", is_name),
            ratio: r.fraction("tracing.ratio", 0.0..=1.0),
            headers: r
                .secret("tracing.headers", "name=value,name=value, values percent-encoded", |s| headers(s).is_some()),
            timeout: r.duration("tracing.timeout", 100 * MS..=60 * SECOND),
            queue: r.whole("tracing.queue", 1..=1_000_000),
        }
    }
}

impl fmt::Debug for TracingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing")
            .field("endpoint", &self.endpoint)
            .field("service_name", &self.service_name)
            .field("ratio", &self.ratio)
            .field("timeout", &self.timeout)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

fn is_endpoint(text: &str) -> bool {
    let is_address = |uri: Uri| {
        let is_host = uri.authority().is_some_and(|authority| {
            let has_port = authority.port().is_some_and(|port| !port.as_str().starts_with('+'));
            let has_valid_port = has_port || authority.as_str() == authority.host();
            has_valid_port && !authority.host().is_empty() && !text.contains('@')
        });
        uri.scheme_str() == Some("http") && is_host && uri.query().is_none()
    };
    text.is_empty() || (!text.contains('#') && text.parse().is_ok_and(is_address))
}

/// As `OTEL_EXPORTER_OTLP_HEADERS` has them; `None` if one of them is wrong.
fn headers(text: &str) -> Option<Vec<(String, String)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs.map(header).collect()
}

fn header(pair: &str) -> Option<(String, String)> {
    let (name, value) = pair.split_once('=')?;
    let name = name.trim();
    let value = decoded(value.trim())?;
    let is_header = HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value.as_str()).is_ok();
    is_header.then(|| (name.to_owned(), value))
}

/// Text out of percent-encoding; `None` if a percent sign stands for itself.
fn decoded(text: &str) -> Option<String> {
    let is_code = |code: &[u8]| code.iter().all(u8::is_ascii_hexdigit);
    let is_encoded = text.split('%').skip(1).all(|part| part.as_bytes().get(..2).is_some_and(is_code));
    percent_decode_str(text).decode_utf8().ok().filter(|_| is_encoded).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_without_tls_and_secrets() {
        for text in ["", "http://localhost:4318", "http://[::1]:4318/", "http://collector/otlp"] {
            assert!(is_endpoint(text), "{text}");
        }
        for text in [
            "localhost:4318",
            "https://collector:4318",
            "grpc://collector:4317",
            "http://",
            "http://user:s3cret@collector:4318",
            "http://collector:4318?key=s3cret",
            "http://collector:4318#x",
            "http://col lector",
            "http://collector:99999",
            "http://collector:+4318",
        ] {
            assert!(!is_endpoint(text), "{text}");
        }
    }

    #[test]
    fn headers_stand_in_no_report() {
        let config = Config::from_toml("tracing.headers = \"authorization=s3cret\"").expect("they are allowed");
        assert_eq!(config.tracing.headers().len(), 1);
        for shown in [format!("{config:?}"), config.show()] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }

    #[test]
    fn headers_are_pairs_with_values_out_of_percent_encoding() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(headers(""), Some(Vec::new()));
        assert_eq!(headers("authorization=Bearer%20abc"), Some(vec![pair("authorization", "Bearer abc")]));
        assert_eq!(headers(" a = 1 , b=x=y, "), Some(vec![pair("a", "1"), pair("b", "x=y")]));
        for wrong in ["a", "=1", "a b=1", "a=%2", "a=%zz", "a=%ff", "a=%0a", "a=%+9b", "a=%", "ä=1"] {
            assert_eq!(headers(wrong), None, "{wrong}");
        }
    }
}
