//! A PostgreSQL address taken apart: its hosts, and whether the driver honours every parameter.
//!
//! The driver takes one host, ignores parameters that it does not know, and names none of them where an operator looks.

/// Values of `sslmode`.
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Values of `target_session_attrs` that a service which writes can meet.
const TARGETS: [&str; 3] = ["any", "read-write", "primary"];

/// Parameters that take any text, beside `options[NAME]`.
const TEXTS: [&str; 12] = [
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
];

/// What the parameters may be, for reports.
const KNOWN: &str = "host, hostaddr, port, dbname, user, password, sslmode, sslrootcert, sslcert, sslkey, application_name, \
                     options, statement-cache-capacity and target_session_attrs";

/// Whether the driver knows a parameter of this name.
pub(super) fn is_known(name: &str) -> bool {
    TEXTS.contains(&name)
        || name.starts_with("options[")
        || ["sslmode", "ssl-mode", "target_session_attrs", "host", "hostaddr", "port", "statement-cache-capacity"]
            .contains(&name)
}

/// A checked address.
#[derive(Debug, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The same address for each of its hosts, in their order, as the driver takes it.
    pub each_host: Vec<String>,
    /// How many statements are to be cached prepared, if the address says so; 0 means none.
    pub statement_cache: Option<usize>,
}

impl PostgresUrl {
    /// Takes `url` apart; the error says what is allowed, and repeats nothing of it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or("postgres://USER:PASSWORD@HOST:PORT/NAME")?;
        if rest.contains('#') {
            return Err("no #, which has to be written as %23".to_owned());
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = address.split_once('/').unwrap_or((address, ""));
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let mut read = UrlParams::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            read.take(pair)?;
        }
        let hosts = read.hosts(hosts)?;
        let at = if user.is_empty() { "" } else { "@" };
        let query = read.others.join("&");
        let each_host = hosts.iter().map(|(host, extra)| {
            let separator = if query.is_empty() || extra.is_empty() { "" } else { "&" };
            format!("{scheme}://{user}{at}{host}/{path}?{query}{separator}{extra}")
        });
        Ok(Self { each_host: each_host.collect(), statement_cache: read.statement_cache })
    }
}

/// What the query says.
#[derive(Default)]
struct UrlParams<'a> {
    hosts: Vec<&'a str>,
    ports: Vec<&'a str>,
    statement_cache: Option<usize>,
    /// What the driver reads itself.
    others: Vec<&'a str>,
}

impl<'a> UrlParams<'a> {
    fn take(&mut self, pair: &'a str) -> Result<(), String> {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" | "ssl-mode" => one_of(name, value, &SSL_MODES)?,
            "target_session_attrs" => return one_of(name, value, &TARGETS),
            "host" | "hostaddr" => {
                self.hosts = value.split(',').collect();
                return Ok(());
            }
            "port" => {
                self.ports = value.split(',').collect();
                return if self.ports.iter().all(|port| is_port(port)) { Ok(()) } else { Err(ports()) };
            }
            "statement-cache-capacity" => {
                let capacity = value.parse().map_err(|_| format!("{name} is a number"))?;
                self.statement_cache = Some(capacity);
            }
            _ if TEXTS.contains(&name) || (name.starts_with("options[") && name.ends_with(']')) => {}
            _ => return Err(format!("no parameter {}, which would be ignored; known are {KNOWN}", shown(name))),
        }
        self.others.push(pair);
        Ok(())
    }

    /// Each host as it stands before the path, and what the query has to say of it.
    fn hosts(&self, authority: &str) -> Result<Vec<(String, String)>, String> {
        if self.hosts.is_empty() {
            return authority.split(',').map(|host| self.with_port(host)).collect();
        }
        if !authority.is_empty() {
            return Err("hosts before the path or in the query, not in both".to_owned());
        }
        if !matches!(self.ports.len(), 0 | 1) && self.ports.len() != self.hosts.len() {
            return Err("one port, or as many as there are hosts".to_owned());
        }
        let named = |(place, host): (usize, &&str)| {
            let port = self.ports.get(place).or(self.ports.first());
            let port = port.map(|port| format!("&port={port}")).unwrap_or_default();
            (String::new(), format!("host={host}{port}"))
        };
        Ok(self.hosts.iter().enumerate().map(named).collect())
    }

    fn with_port(&self, host: &str) -> Result<(String, String), String> {
        let (_, after_brackets) = host.rsplit_once(']').unwrap_or(("", host));
        let port = after_brackets.rsplit_once(':').map_or("", |(_, port)| port);
        if !port.is_empty() && !is_port(port) {
            return Err(ports());
        }
        let extra = self.ports.first().map(|port| format!("port={port}")).unwrap_or_default();
        Ok((host.to_owned(), extra))
    }
}

fn ports() -> String {
    "ports from 1 to 65535".to_owned()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

fn one_of(name: &str, value: &str, allowed: &[&str]) -> Result<(), String> {
    if allowed.contains(&value) { Ok(()) } else { Err(format!("{name} is {}", allowed.join(", "))) }
}

/// The name of a parameter, unless it may be a part of something secret.
fn shown(name: &str) -> &str {
    let is_name = name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_name { name } else { "of such a name" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts_of(url: &str) -> Vec<String> {
        PostgresUrl::parse(url).unwrap_or_else(|error| panic!("{url}: {error}")).each_host
    }

    #[test]
    fn each_host_has_an_address_of_its_own() {
        for (url, expected) in [
            ("postgres://u:p@h/db", vec!["postgres://u:p@h/db?"]),
            (
                "postgresql://u:p@h1:5432,h2:6432/db?target_session_attrs=read-write&sslmode=require",
                vec!["postgresql://u:p@h1:5432/db?sslmode=require", "postgresql://u:p@h2:6432/db?sslmode=require"],
            ),
            ("postgres://h1,[::1]:5433/db", vec!["postgres://h1/db?", "postgres://[::1]:5433/db?"]),
            (
                "postgres:///db?host=h1,h2&port=1,2&user=u",
                vec!["postgres:///db?user=u&host=h1&port=1", "postgres:///db?user=u&host=h2&port=2"],
            ),
            (
                "postgres:///db?host=/run/a,/run/b&port=6432",
                vec!["postgres:///db?host=/run/a&port=6432", "postgres:///db?host=/run/b&port=6432"],
            ),
            ("postgres://u@/db?port=6432", vec!["postgres://u@/db?port=6432"]),
        ] {
            assert_eq!(hosts_of(url), expected, "{url}");
        }
    }

    #[test]
    fn what_the_driver_would_ignore_is_named() {
        for (parameter, expected) in [
            ("sslmode=nonsense", "sslmode is disable, allow, prefer, require, verify-ca, verify-full"),
            ("sslmod=require", "no parameter sslmod, which would be ignored"),
            ("ssl=true", "no parameter ssl, which would be ignored"),
            ("connect_timeout=10", "no parameter connect_timeout, which would be ignored"),
            ("pass%77ord=s3cret", "no parameter of such a name"),
            ("target_session_attrs=standby", "target_session_attrs is any, read-write, primary"),
            ("statement-cache-capacity=many", "statement-cache-capacity is a number"),
            ("port=0", "ports from 1 to 65535"),
            ("port=70000", "ports from 1 to 65535"),
            ("host=h2", "not in both"),
        ] {
            let error = PostgresUrl::parse(&format!("postgres://u:s3cret@h/db?{parameter}")).expect_err(parameter);
            assert!(error.contains(expected) && !error.contains("s3cret"), "{parameter}: {error}");
        }
        for url in ["postgres://h:1,h2:x/db", "postgres://h/db#fragment", "postgres:///db?host=a,b,c&port=1,2"] {
            PostgresUrl::parse(url).expect_err(url);
        }
    }

    #[test]
    fn the_number_of_kept_statements_is_read() {
        let cache = |url| PostgresUrl::parse(url).map(|parsed| parsed.statement_cache);
        assert_eq!(cache("postgres://h/db?statement-cache-capacity=0"), Ok(Some(0)));
        assert_eq!(cache("postgres://h/db"), Ok(None));
    }
}
