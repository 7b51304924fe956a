//! Clients: a well-behaved one for usual calls, and `raw` for bytes that are no request.

use std::net::SocketAddr;
use std::time::Duration;

use ureq::http::Request;

use super::contract;
pub use super::wire::Answer;
use super::wire::Connection;

/// How long one call may take, waiting answers (`Prefer: wait`) included.
const CALL: Duration = Duration::from_secs(60);

/// Longest body that a call reads.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// A client with a token, in keep-alive connections.
#[derive(Clone, Debug)]
pub struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of the server at `http://address`, with a bearer token or none.
    pub fn new(address: SocketAddr, token: Option<&str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(CALL))
            .build();
        let token = token.map(str::to_owned);
        Self { agent: config.new_agent(), base: format!("http://{address}"), token }
    }

    /// The URL in front of every path.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The bearer token.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// GET.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None)
    }

    /// POST of a JSON value.
    pub fn post_json(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.post_text(path, &body.to_string())
    }

    /// POST of a text that claims to be JSON.
    pub fn post_text(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, &[("Content-Type", "application/json")], Some(body.as_bytes()))
    }

    /// Any method, headers and body; panics when no answer comes.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).expect("the test gives valid parts")),
            None => self.agent.run(request.body(()).expect("the test gives valid parts")),
        };
        let mut answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let text = |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let answer = Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: answer
                .body_mut()
                .with_config()
                .limit(BODY_BYTES_MAX)
                .read_to_string()
                .unwrap_or_else(|error| panic!("{method} {path}: {error}")),
        };
        contract::check(method, path, &answer);
        answer
    }
}

/// Sends these bytes in a connection of their own and reads one answer; panics when none comes.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut connection = Connection::open(address).expect("the server takes connections");
    // The server may answer and close while we still send: its answer counts.
    let sent = connection.send(bytes);
    connection.answer().unwrap_or_else(|error| panic!("no answer ({error}; sent: {sent:?})"))
}

/// GET without a token in a connection of its own; `None` when no answer comes, as while servers change places.
pub fn try_get(address: SocketAddr, path: &str) -> Option<Answer> {
    let mut connection = Connection::open(address).ok()?;
    connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    connection.answer().ok()
}
