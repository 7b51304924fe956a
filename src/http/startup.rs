//! What is answered while the node waits for its database at the start: it lives, it is not ready, it takes nothing.

use std::io;

use actix_web::dev::ServerHandle;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::http::{KeepAlive, StatusCode};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::join;

use super::access::is_local;
use super::error::{ApiError, RETRY_AFTER as DELAY, whole_seconds};
use super::health::Health;
use super::listener::Listener;
use super::ports::Ports;
use super::problems::{CATALOGUE, Problem};
use super::request::RequestId;
use super::respond::json;
use crate::config::Config;
use crate::telemetry::facts;
use crate::telemetry::scrape::{self, Figures};

const REASON: &str = "the database cannot be reached since the start of the node";

/// Connections to each port at once.
const CONNECTIONS: usize = 1_024;

/// Answers on both ports until it is ended.
pub struct Waiting {
    handles: [ServerHandle; 2],
}

impl Waiting {
    /// Starts to answer. Needs a runtime around it.
    pub fn start(config: &Config, ports: &Ports) -> io::Result<Self> {
        facts::know_problems(CATALOGUE.iter().map(|entry| entry.code));
        let listener = Listener {
            name: "startup",
            workers: 1,
            connections: CONNECTIONS,
            // A connection that is kept open would be cut when the real servers take over.
            keep_alive: KeepAlive::Disabled,
            header_timeout: config.http.header_timeout,
            answer_timeout: config.http.answer_timeout,
            shutdown_timeout: config.timeouts.shutdown,
        };
        let trusts_local = config.dashboard.trust_local;
        let operations = move |app: &mut ServiceConfig| {
            // Tokens cannot be looked up.
            routes(if trusts_local { app.route("/metrics", web::get().to(metrics)) } else { app });
        };
        let servers =
            [listener.serve(&ports.api, routes, |_| ())?, listener.serve(&ports.operations, operations, |_| ())?];
        let handles = [servers[0].handle(), servers[1].handle()];
        servers.into_iter().for_each(|server| drop(actix_web::rt::spawn(server)));
        Ok(Self { handles })
    }

    /// Answers what has come so far and stops; the ports stay open.
    pub async fn end(self) {
        let [api, operations] = self.handles.map(|handle| handle.stop(true));
        join(api, operations).await;
    }
}

fn routes(app: &mut ServiceConfig) {
    app.route("/health/live", web::get().to(async || json(StatusCode::OK, &Health::live())))
        .route("/health/ready", web::get().to(async || not_ready()))
        .default_service(web::to(refuse));
}

fn not_ready() -> HttpResponse {
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &Health::not_ready(vec![REASON.to_owned()]));
    response.headers_mut().insert(RETRY_AFTER, whole_seconds(DELAY).into());
    response
}

/// What there is to report without a line: above all that the database is not up.
async fn metrics(request: HttpRequest) -> HttpResponse {
    if !is_local(&request) {
        return refuse(request).await;
    }
    // Only PostgreSQL is waited for.
    let figures = Figures { database: "postgresql", ..Figures::default() };
    HttpResponse::Ok().insert_header((CONTENT_TYPE, scrape::MEDIA_TYPE)).body(scrape::page(&figures))
}

async fn refuse(request: HttpRequest) -> HttpResponse {
    let id = RequestId::of(request.headers());
    let mut response = ApiError::new(Problem::DatabaseUnavailable, REASON).respond(&id, false);
    // The body is not read: what comes of it would be taken for the next request.
    response.head_mut().set_connection_type(actix_web::http::ConnectionType::Close);
    response
}
