//! Serves on the open ports and hands the servers to the app, which owns signals and decides when they end.
//!
//! What actix answers by itself, before a handler is reached, has an empty body and no request id: 400 for a request
//! line, headers, Host or lengths that are not HTTP/1, 408 for headers that are late, 431 for a request line and
//! headers of more than 128 KiB together or more than 96 headers. It closes the connection each time.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Extensions, Server, ServerHandle};
use actix_web::web::{Data, ServiceConfig};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join3};

use super::listener::Listener;
use super::ports::Ports;
use super::problems::CATALOGUE;
use super::shared::{Live, LiveOutcomes, RemoteNodes, Streams};
use super::shutdown::Shutdown;
use super::state::AppState;
use super::{auth, routes};
use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::store::Store;
use crate::telemetry::facts;

/// Operations are queried by people and scrapers, not by producers.
const OPERATIONS_WORKERS: usize = 1;
/// Connections to the operations port at once.
const OPERATIONS_CONNECTIONS: usize = 2_048;

/// Both servers, already answering; the futures must be polled for them to end.
pub struct Servers {
    /// How to close both.
    pub shutdown: ShutdownHandle,
    /// Ends when the API's server has stopped.
    pub api: Server,
    /// Ends when the operations' server has stopped.
    pub operations: Server,
    /// Looks for changes of tokens and users, for new outcomes and for dashboards; never ends, drop it last.
    pub watch: LocalBoxFuture<'static, ()>,
}

/// Closes the servers, step by step.
#[derive(Clone)]
pub struct ShutdownHandle {
    state: Data<AppState>,
    api: ServerHandle,
    operations: ServerHandle,
}

impl ShutdownHandle {
    /// Waits for last requests, at most half of `limit`; then takes no more connections to the API and waits until its
    /// requests are answered.
    pub async fn stop_api(&self, limit: Duration) {
        let stopped = async {
            self.state.shutdown.last_requests(limit / 2).await;
            self.api.stop(true).await;
        };
        // A client that has not taken its answer by then is cut off.
        let _ = tokio::time::timeout(limit, stopped).await;
    }

    /// Ends the operations' server; last, so that health can be queried while the pipeline drains.
    pub async fn stop_operations(&self) {
        self.operations.stop(false).await;
    }
}

/// Starts both servers. Needs a runtime around it.
pub async fn start(config: &Config, ports: &Ports, store: Store, pipeline: Pipeline) -> io::Result<Servers> {
    facts::know_problems(CATALOGUE.iter().map(|entry| entry.code));
    let state = Data::new(AppState::new(config, store, pipeline));
    // The cache is valid from the first request on; if this fails, the refresh loop goes on trying.
    let _ = state.auth.refresh().await;
    let api = Plan {
        name: "http",
        port: &ports.api,
        workers: config.http.workers,
        connections: config.http.connections,
        routes: routes::api,
        shutdown: state.shutdown.clone(),
    };
    let operations = Plan {
        name: "operations",
        port: &ports.operations,
        workers: OPERATIONS_WORKERS,
        connections: OPERATIONS_CONNECTIONS,
        routes: routes::operations,
        // Nobody waits for dashboards and scrapers.
        shutdown: Arc::new(Shutdown::new(state.pipeline.stopping().clone())),
    };
    let api = serve(config, api, &state)?;
    let operations = serve(config, operations, &state)?;
    let shutdown = ShutdownHandle { api: api.handle(), operations: operations.handle(), state: state.clone() };
    let tokens = auth::refresh_loop(Arc::clone(&state.auth), config.auth.refresh);
    let dashboards = join3(Live::run(state.clone()), LiveOutcomes::run(state.clone()), RemoteNodes::run(state.clone()));
    let watch = Box::pin(join3(tokens, Streams::run(state), dashboards).map(drop));
    Ok(Servers { shutdown, api, operations, watch })
}

/// What one of the servers differs by.
struct Plan<'a> {
    name: &'static str,
    port: &'a TcpListener,
    workers: usize,
    connections: usize,
    routes: fn(&mut ServiceConfig),
    /// Where its connections are counted.
    shutdown: Arc<Shutdown>,
}

fn serve(config: &Config, plan: Plan<'_>, state: &Data<AppState>) -> io::Result<Server> {
    let Plan { name, port, workers, connections, routes, shutdown } = plan;
    let listener = Listener {
        name,
        workers,
        connections,
        keep_alive: config.http.keep_alive.into(),
        header_timeout: config.http.header_timeout,
        answer_timeout: config.http.answer_timeout,
        shutdown_timeout: config.timeouts.shutdown,
    };
    let state = state.clone();
    let app = move |app: &mut ServiceConfig| {
        app.app_data(state.clone());
        routes(app);
    };
    let opened = move |data: &mut Extensions| {
        data.insert(shutdown.open());
    };
    listener.serve(port, app, opened)
}
