//! The sections that say where the service runs and what it talks to; bounds are in `bounds`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::filter::Targets;

use super::database_url;
use super::reader::ConfigReader;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// The identity of this node.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// The node's name; "" stands for the host's name.
    pub name: String,
}

impl NodeConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        let is_name = |s: &str| s.chars().count() <= 255 && !s.chars().any(char::is_control);
        NodeConfig { name: r.text("node.name", "at most 255 characters, no control characters", is_name) }
    }
}

/// The API's listener and its deadlines.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    /// Address of the API.
    pub bind: SocketAddr,
    /// Threads that serve requests.
    pub workers: usize,
    /// Longest time for a request's head.
    pub header_timeout: Duration,
    /// Longest silence while a body arrives.
    pub body_timeout: Duration,
    /// Longest time for a whole body.
    pub request_timeout: Duration,
    /// Longest time that a client takes nothing of its answer.
    pub answer_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// Connections open at once.
    pub connections: usize,
}

impl HttpConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        HttpConfig {
            bind: r.address("http.bind"),
            workers: r.whole("http.workers", 1..=256),
            header_timeout: r.duration("http.header_timeout", 100 * MS..=HOUR),
            body_timeout: r.duration("http.body_timeout", 100 * MS..=HOUR),
            request_timeout: r.duration("http.request_timeout", 100 * MS..=HOUR),
            answer_timeout: r.duration("http.answer_timeout", 100 * MS..=HOUR),
            keep_alive: r.duration("http.keep_alive", SECOND..=HOUR),
            connections: r.whole("http.connections", 1..=1_000_000),
        }
    }
}

/// The listener for operators.
#[derive(Debug, Clone, PartialEq)]
pub struct DashboardConfig {
    /// Its address.
    pub bind: SocketAddr,
    /// Whether programs on this machine may look without a token.
    pub trust_local: bool,
}

impl DashboardConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        DashboardConfig { bind: r.address("dashboard.bind"), trust_local: r.switch("dashboard.trust_local") }
    }
}

/// The database and the bounds of talking to it; `Config::database_url` gives the address in effect.
#[derive(Clone, PartialEq)]
pub struct DatabaseConfig {
    /// Address as configured; "" stands for the file in the data folder. May hold a password.
    pub url: String,
    /// Address without a pooler in between; "" stands for `url`. May hold a password.
    pub direct_url: String,
    /// Connections in the pool.
    pub pool: u32,
    /// Longest wait for a free connection.
    pub acquire_timeout: Duration,
    /// Longest run of one statement.
    pub statement_timeout: Duration,
    /// Longest wait for a lock.
    pub lock_timeout: Duration,
}

impl DatabaseConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        let is_address = |s: &str| s.is_empty() || database_url::kind(s).is_some();
        DatabaseConfig {
            url: r.text("database.url", database_url::ALLOWED, is_address),
            direct_url: r.text("database.direct_url", database_url::ALLOWED, is_address),
            pool: r.whole("database.pool", 2..=1_000),
            acquire_timeout: r.duration("database.acquire_timeout", 100 * MS..=60 * SECOND),
            statement_timeout: r.duration("database.statement_timeout", 100 * MS..=HOUR),
            lock_timeout: r.duration("database.lock_timeout", 10 * MS..=HOUR),
        }
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &database_url::mask(&self.url))
            .field("direct_url", &database_url::mask(&self.direct_url))
            .field("pool", &self.pool)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .finish()
    }
}

/// How tokens and users are kept fresh.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthConfig {
    /// How often changes of tokens and users are looked for.
    pub refresh: Duration,
    /// How long known tokens work while the database does not answer.
    pub outage_grace: Duration,
}

impl AuthConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        AuthConfig {
            refresh: r.duration("auth.refresh", 10 * MS..=60 * SECOND),
            outage_grace: r.duration("auth.outage_grace", Duration::ZERO..=30 * 24 * HOUR),
        }
    }
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// The shape of a line.
    pub format: LogFormat,
    /// A level, or directives per module: `info,gristmill=debug`.
    pub level: String,
    /// Whether the `User:` line carries the email instead of the id.
    pub user_email: bool,
    /// Rate of full lines per event.
    pub event_lines_per_second: u32,
}

impl LogConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        LogConfig {
            format: r.choice("log.format", &formats),
            level: r.text(
                "log.level",
                "off, error, warn, info, debug or trace, or such levels per module, as \"info,gristmill=debug\"",
                are_directives,
            ),
            user_email: r.switch("log.user_email"),
            event_lines_per_second: r.whole("log.event_lines_per_second", 0..=1_000_000),
        }
    }
}

/// `Targets` alone would take a misspelt level for a module's name and switch everything of it on.
fn are_directives(text: &str) -> bool {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let is_module = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c));
    let is_directive = |part: &str| match part.split_once('=') {
        Some((module, level)) => is_module(module) && levels.contains(&level),
        None => levels.contains(&part),
    };
    text.split(',').all(is_directive) && Targets::from_str(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_levels_are_words_or_words_per_module() {
        for text in ["info", "off", "info,gristmill=debug", "warn,gristmill::http=trace,sqlx=off"] {
            assert!(are_directives(text), "{text}");
        }
        for text in ["", "ifno", "INFO ", "info,", "gristmill=", "=debug", "gristmill=loud", "info;debug", "a b=info"] {
            assert!(!are_directives(text), "{text:?}");
        }
    }
}
