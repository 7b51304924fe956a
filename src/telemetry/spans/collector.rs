//! The collector: spans as OTLP's protobuf over HTTP.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use ureq::Agent;
use ureq::http::Request;

use crate::config::TracingConfig;

/// Where traces go below the address of a collector.
const PATH: &str = "/v1/traces";

const MEDIA_TYPE: &str = "application/x-protobuf";

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// Statuses after which OTLP has a client try again.
const PASSING: [u16; 4] = [429, 502, 503, 504];

/// Takes spans.
pub(super) struct Collector {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
    resource: ResourceAttributesWithSchema,
}

/// Why it took none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// No answer.
    #[error("no answer from the collector: {0}")]
    NoAnswer(#[from] ureq::Error),
    /// An answer that is not a success.
    #[error("the collector answered {status}")]
    Refused {
        /// Its status.
        status: u16,
        /// The wait that `Retry-After` requests.
        retry_after: Option<Duration>,
    },
}

impl NotTaken {
    /// Whether another try may succeed.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused { status, .. } => PASSING.contains(status),
        }
    }

    /// The wait that the collector requests.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoAnswer(_) => None,
            Self::Refused { retry_after, .. } => *retry_after,
        }
    }
}

impl Collector {
    pub(super) fn new(tracing: &TracingConfig, resource: &Resource) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Headers may hold a secret: they are never forwarded to a redirect's target.
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(tracing.timeout))
            .user_agent(concat!("gristmill/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.new_agent(),
            url: format!("{}{PATH}", tracing.endpoint.trim_end_matches('/')),
            headers: tracing.headers(),
            resource: resource.into(),
        }
    }

    /// The body of a request with these spans.
    pub(super) fn encode(&self, spans: Vec<SpanData>) -> Vec<u8> {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    /// Sends a body; says how many of its spans the collector refuses.
    pub(super) fn send(&self, body: &[u8]) -> Result<usize, NotTaken> {
        let mut request = Request::builder().method("POST").uri(&self.url).header("Content-Type", MEDIA_TYPE);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = self.agent.run(request.body(body).map_err(ureq::Error::from)?)?;
        let status = response.status();
        if !status.is_success() {
            let seconds =
                response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(NotTaken::Refused { status: status.as_u16(), retry_after: seconds.map(Duration::from_secs) });
        }
        let answer = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        // Collectors exist that say more than they should; the spans are taken all the same.
        let answer = ExportTraceServiceResponse::decode(&answer[..]).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        Ok(usize::try_from(rejected).unwrap_or_default())
    }
}
