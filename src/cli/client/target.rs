//! Which server, with which token: from the command line, the environment, or a server's data folder on this machine.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::api_client::ApiClient;
use crate::cli::args::server::ServerArgs;
use crate::config::Config;

/// What to do without the first token, which may be removed, rotated or revoked like any other.
const OTHERS: &str = "--token-file or GRISTMILL_TOKEN names another one, gristmill token create makes one";

#[derive(Deserialize)]
struct PortsFile {
    http: SocketAddr,
    dashboard: SocketAddr,
}

/// A client of the server that is meant.
pub(super) fn find(args: &ServerArgs, load: impl FnOnce() -> anyhow::Result<Config>) -> anyhow::Result<ApiClient> {
    find_at(args, |ports| ports.http, load)
}

/// A client of its operations port.
pub(super) fn find_operations(
    args: &ServerArgs,
    load: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<ApiClient> {
    find_at(args, |ports| ports.dashboard, load)
}

fn find_at(
    args: &ServerArgs,
    port: fn(&PortsFile) -> SocketAddr,
    load: impl FnOnce() -> anyhow::Result<Config>,
) -> anyhow::Result<ApiClient> {
    let token = token(args)?;
    match (&args.url, token) {
        (Some(url), Some(token)) => Ok(ApiClient::new(checked(url)?, &token, None)),
        // The first token may do everything: it must not go to an arbitrary server.
        (Some(url), None) => bail!("a token is needed for {url}: --token-file or GRISTMILL_TOKEN"),
        (None, token) => {
            let config = load().context("the configuration is wrong")?;
            let url = running_in(&config.data_dir, port)?;
            if let Some(token) = token {
                return Ok(ApiClient::new(url, &token, None));
            }
            let path = config.data_dir.join("first-token");
            let token = read_token(&path).with_context(|| format!("no token: {OTHERS}"))?;
            Ok(ApiClient::new(url, &token, Some(format!("it stands in {}: {OTHERS}", path.display()))))
        }
    }
}

/// The token that was given; a file takes precedence.
fn token(args: &ServerArgs) -> anyhow::Result<Option<String>> {
    match (&args.token_file, &args.token) {
        (Some(path), _) => read_token(path).map(Some),
        (None, Some(token)) => clean(token).map(Some).context("GRISTMILL_TOKEN or --token is not a token"),
        (None, None) => Ok(None),
    }
}

fn read_token(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the token in {}", path.display()))?;
    clean(&text).with_context(|| format!("no token stands in {}", path.display()))
}

fn clean(text: &str) -> anyhow::Result<String> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("a token is one word of visible characters");
    }
    Ok(token.to_owned())
}

/// The URL without its last slash.
fn checked(url: &str) -> anyhow::Result<String> {
    match url.split_once("://") {
        Some(("http", host)) if !host.is_empty() => Ok(url.trim_end_matches('/').to_owned()),
        Some(("https", _)) => bail!("{url}: this build has no TLS, only http:// is allowed"),
        _ => bail!("{url:?} is no URL of a server, expected one as http://localhost:8000"),
    }
}

/// The URL of the server whose data folder this is.
fn running_in(data_dir: &Path, port: fn(&PortsFile) -> SocketAddr) -> anyhow::Result<String> {
    let path = data_dir.join("ports.json");
    let unknown = || format!("no server is known: --url or GRISTMILL_URL names one; {} cannot be read", path.display());
    let text = fs::read_to_string(&path).with_context(unknown)?;
    let ports: PortsFile = serde_json::from_str(&text).with_context(unknown)?;
    Ok(format!("http://{}", reachable(port(&ports))))
}

/// A server that listens everywhere is met on the loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let ip = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        address.set_ip(ip);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_taken_and_the_last_slash_is_dropped() {
        assert_eq!(checked("http://a:1/").expect("allowed"), "http://a:1");
        assert!(checked("https://a").expect_err("no TLS").to_string().contains("TLS"));
        for url in ["localhost:8000", "ftp://a", "", "http://"] {
            assert!(checked(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_server_that_listens_everywhere_is_met_on_the_loopback() {
        for (listens, met) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:2", "[::1]:2"), ("10.0.0.1:3", "10.0.0.1:3")] {
            assert_eq!(reachable(listens.parse().expect("an address")).to_string(), met);
        }
    }

    #[test]
    fn a_token_is_one_word() {
        assert_eq!(clean(" gm_a\n").expect("allowed"), "gm_a");
        for text in ["", " ", "a b", "a\nb"] {
            assert!(clean(text).is_err(), "{text:?}");
        }
    }
}
