//! Listens on a port: actix's workers, with [`Connection`] between them and its clients.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_http::{Extensions, HttpService, KeepAlive, Protocol, ServiceConfig};
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, Server};
use actix_web::rt::net::TcpStream;
use actix_web::web::ServiceConfig as Routes;
use socket2::SockRef;

use super::connection::Connection;
use crate::telemetry::threads::name_thread;

/// How long a client may go on sending after an answer that ends its connection, so that it reads that answer.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How a port is served.
#[derive(Clone, Copy)]
pub struct Listener {
    /// What its threads are called, before their numbers.
    pub name: &'static str,
    /// Threads.
    pub workers: usize,
    /// Connections open at once.
    pub connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: KeepAlive,
    /// Longest time for a request's head.
    pub header_timeout: Duration,
    /// Longest time that a client takes nothing of its answer.
    pub answer_timeout: Duration,
    /// Longest time for requests to be answered at the end.
    pub shutdown_timeout: Duration,
}

impl Listener {
    /// Serves `routes` on `port`; the server must be polled for it to end. `opened` sees each new connection's data.
    pub fn serve(
        self,
        port: &TcpListener,
        routes: impl Fn(&mut Routes) + Clone + Send + 'static,
        opened: impl Fn(&mut Extensions) + Clone + Send + 'static,
    ) -> io::Result<Server> {
        let builder = Server::build()
            .workers(self.workers)
            .max_concurrent_connections(self.connections.div_ceil(self.workers))
            .shutdown_timeout(seconds_up(self.shutdown_timeout))
            .disable_signals();
        let ending = builder.graceful_shutdown_signal();
        let name = port.local_addr()?.to_string();
        let threads = Arc::new(AtomicUsize::new(0));
        // Called by each worker, on its thread.
        let builder = builder.listen(name, port.try_clone()?, move || {
            name_thread(&format!("{}-{}", self.name, threads.fetch_add(1, Ordering::Relaxed) + 1));
            let ending = ending.clone();
            let opened = opened.clone();
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let ending = ending.clone();
                    async move { ending.notified().await }
                })
                .keep_alive(self.keep_alive)
                .client_request_timeout(self.header_timeout)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .on_connect_ext(move |connection: &Connection, data: &mut Extensions| {
                    data.insert(connection.interim());
                    opened(data);
                })
                .finish(map_config(App::new().configure(routes.clone()), |()| AppConfig::default()));
            let config = ServiceConfig::default();
            let accept = move |stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                // Only a connection that is over already takes no options.
                let _ = stream.set_nodelay(true);
                // A client that takes nothing of its answer is cut off by the kernel; actix would wait for it for ever.
                let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(self.answer_timeout));
                let connection = Connection::new(stream, config.clone());
                async move { Ok((connection, Protocol::Http1, peer)) }
            };
            fn_service(accept).and_then(http)
        })?;
        Ok(builder.run())
    }
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
