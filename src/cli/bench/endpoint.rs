//! Where the load goes, as its requests name it.

use std::net::{SocketAddr, ToSocketAddrs};

use anyhow::Context;

/// A server's API.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    host: String,
    /// What stands before each path.
    prefix: String,
    authorization: String,
}

impl Endpoint {
    /// The one at this URL, which was checked.
    pub(super) fn of(url: &str, authorization: &str) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let (host, prefix) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let named = if has_port { host.to_owned() } else { format!("{host}:80") };
        let mut addresses = named.to_socket_addrs().with_context(|| format!("cannot find the host of {url}"))?;
        let address = addresses.next().with_context(|| format!("the host of {url} has no address"))?;
        let authorization = authorization.to_owned();
        Ok(Self { address, host: host.to_owned(), prefix: prefix.to_owned(), authorization })
    }

    /// The head of a request, with the type and length of its body.
    pub(super) fn head(&self, method: &str, path: &str, body: Option<(&str, usize)>) -> String {
        let Self { host, prefix, authorization, .. } = self;
        let body = body.map(|(media, length)| format!("Content-Type: {media}\r\nContent-Length: {length}\r\n"));
        let body = body.unwrap_or_default();
        format!("{method} {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n{body}\r\n")
    }

    #[cfg(test)]
    pub(super) fn test() -> Self {
        Self::of("http://127.0.0.1:8000", "Bearer t").expect("an address")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_port_and_prefix_are_those_of_the_url() {
        for (url, address, first) in [
            ("http://127.0.0.1:81", "127.0.0.1:81", "GET /x HTTP/1.1\r\nHost: 127.0.0.1:81\r\n"),
            ("http://127.0.0.1/a", "127.0.0.1:80", "GET /a/x HTTP/1.1\r\nHost: 127.0.0.1\r\n"),
            ("http://[::1]:9", "[::1]:9", "GET /x HTTP/1.1\r\nHost: [::1]:9\r\n"),
        ] {
            let endpoint = Endpoint::of(url, "Bearer t").expect(url);
            assert_eq!(endpoint.address.to_string(), address);
            let head = endpoint.head("GET", "/x", None);
            assert!(head.starts_with(first) && head.ends_with("\r\nAuthorization: Bearer t\r\n\r\n"), "{head}");
        }
    }
}
