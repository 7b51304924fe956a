//! Requests to one server with one token, over connections that are kept.

use std::io::BufReader;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use ureq::http::{Request, Response};
use ureq::{Agent, Body, BodyReader};

/// How long connecting may take, and each part of a call after that.
const CONNECT: Duration = Duration::from_secs(10);
const SEND: Duration = Duration::from_secs(60);

/// Longer than any wait that a request may ask for.
const ANSWER: Duration = Duration::from_secs(90);

/// Longest answer that is read whole: a batch's report has some hundred bytes per event.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Most connections that are kept open while idle.
const IDLE_MAX: usize = 64;

/// The exit code when the server took the request and refused what was in it.
const REFUSED: u8 = 3;

/// A server and the credentials for it.
#[derive(Clone)]
pub(in crate::cli) struct ApiClient {
    agent: Agent,
    base: String,
    authorization: String,
    /// What to do when the token is refused.
    advice: Option<Arc<str>>,
}

/// An answer, whatever its status.
pub(super) struct ServerAnswer {
    pub(super) status: u16,
    /// The wait that `Retry-After` requests.
    pub(super) retry_after: Option<Duration>,
    pub(super) text: String,
    /// What to do if it is 401.
    pub(super) advice: Option<Arc<str>>,
}

impl ApiClient {
    /// `advice` says what to do when the server refuses the token.
    pub(in crate::cli) fn new(base: String, token: &str, advice: Option<String>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A token goes to the server that was named, and to no other.
            .max_redirects(0)
            .proxy(None)
            .max_idle_connections(IDLE_MAX)
            .max_idle_connections_per_host(IDLE_MAX)
            .timeout_connect(Some(CONNECT))
            .timeout_send_body(Some(SEND))
            .timeout_recv_response(Some(ANSWER))
            .timeout_recv_body(Some(ANSWER))
            .user_agent(concat!("gristmill/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.new_agent(),
            base,
            authorization: format!("Bearer {token}"),
            advice: advice.map(Into::into),
        }
    }

    /// The server's URL.
    pub(in crate::cli) fn base(&self) -> &str {
        &self.base
    }

    /// The header that names its token.
    pub(in crate::cli) fn authorization(&self) -> &str {
        &self.authorization
    }

    /// POST of a JSON text.
    pub(super) fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Result<ServerAnswer, ureq::Error> {
        let mut request = Request::builder().method("POST").uri(format!("{}{path}", self.base));
        request = request.header("Authorization", &self.authorization).header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.whole(self.agent.run(request.body(body)?)?)
    }

    /// GET of an answer that is read as it comes; one that is not a success ends the command.
    pub(in crate::cli) fn read(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> anyhow::Result<BufReader<BodyReader<'static>>> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        request = request.header("Authorization", &self.authorization).query_pairs(query.iter().copied());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // A stream has no length, but it is never silent for long.
        let request = request.config().timeout_recv_body(None).timeout_per_read(Some(ANSWER)).build();
        let response = request.call().with_context(|| format!("no answer from {}", self.base))?;
        match response.status().as_u16() {
            200 => Ok(BufReader::new(response.into_body().into_reader())),
            status => bail!("the server answered {status}: {}", self.whole(response)?.reason()),
        }
    }

    fn whole(&self, response: Response<Body>) -> Result<ServerAnswer, ureq::Error> {
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let status = response.status().as_u16();
        let text = response.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_string()?;
        let retry_after = retry_after.map(Duration::from_secs);
        Ok(ServerAnswer { status, retry_after, text, advice: self.advice.clone() })
    }

    /// POST whose failure ends the command.
    pub(super) fn post_once(&self, path: &str, headers: &[(&str, &str)], body: &str) -> anyhow::Result<ServerAnswer> {
        self.post(path, headers, body).with_context(|| format!("no answer from {}", self.base))
    }
}

impl ServerAnswer {
    /// The text as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_str(&self.text).with_context(|| {
            format!("the server answered {} with something that is not its JSON: {}", self.status, self.start())
        })
    }

    /// Ends the command unless the request was understood.
    pub(super) fn understood(self, statuses: &[u16]) -> anyhow::Result<Self> {
        if !statuses.contains(&self.status) {
            bail!("the server answered {}: {}", self.status, self.reason());
        }
        Ok(self)
    }

    /// Why it is not a success, in the server's words.
    pub(super) fn reason(&self) -> String {
        let detail = |problem: serde_json::Value| Some(problem.get("detail")?.as_str()?.to_owned());
        let reason = serde_json::from_str(&self.text).ok().and_then(detail).unwrap_or_else(|| self.start());
        match self.advice.as_deref().filter(|_| self.status == 401) {
            Some(advice) => format!("{reason}; {advice}"),
            None => reason,
        }
    }

    fn start(&self) -> String {
        self.text.chars().take(200).collect()
    }
}

/// The exit code of an answer that came: whether all of it went well.
pub(super) fn exit_code(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
}
