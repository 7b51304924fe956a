//! The two ports, open before there is anything to serve: connections wait in the kernel while servers change.

use std::io;
use std::net::{SocketAddr, TcpListener};

use tokio::net::TcpSocket;

use crate::config::Config;

/// Connections that the kernel holds until a server takes them.
const BACKLOG: u32 = 1_024;

/// Both ports, held for as long as this lives.
#[derive(Debug)]
pub struct Ports {
    pub(super) api: TcpListener,
    pub(super) operations: TcpListener,
}

impl Ports {
    /// Opens both; an error names the address and the key that configures it. Needs a runtime around it.
    pub fn open(config: &Config) -> io::Result<Self> {
        let api = listen(config.http.bind, "http.bind")?;
        Ok(Self { api, operations: listen(config.dashboard.bind, "dashboard.bind")? })
    }

    /// Where the API and operations listen; with port 0 configured, on the ports that were given.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.api.local_addr()?, self.operations.local_addr()?))
    }
}

fn listen(address: SocketAddr, key: &str) -> io::Result<TcpListener> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A port whose last connections are still in TIME_WAIT is free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    open().map_err(|error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {address} ({key}): {error}"))
    })
}
