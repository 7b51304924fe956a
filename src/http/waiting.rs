//! What is answered while the node waits for its database at the start: it lives, it is not ready, it takes nothing.

use std::io;
use std::net::SocketAddr;

use actix_web::dev::{Server, ServerHandle};
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER};
use actix_web::http::{KeepAlive, StatusCode};
use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

use super::error::{ApiError, RETRY_AFTER as DELAY, whole_seconds};
use super::health::Health;
use super::ops::is_local;
use super::ports::Ports;
use super::problems::{CATALOGUE, Problem};
use super::request::{RequestId, json};
use crate::telemetry::facts;
use crate::telemetry::scrape::{self, Figures};

const REASON: &str = "the database cannot be reached since the start of the node";

/// Answers on both ports until it is ended.
pub struct Waiting {
    handle: ServerHandle,
}

impl Waiting {
    /// Starts to answer. Needs a runtime around it.
    pub fn start(ports: &Ports) -> io::Result<Self> {
        facts::know_problems(CATALOGUE.iter().map(|entry| entry.code));
        let operations = ports.operations.local_addr()?;
        let server: Server = HttpServer::new(move || App::new().app_data(Operations(operations)).configure(routes))
            .workers(1)
            .disable_signals()
            // A connection that is kept open would be cut when the real servers take over.
            .keep_alive(KeepAlive::Disabled)
            .listen(ports.api.try_clone()?)?
            .listen(ports.operations.try_clone()?)?
            .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { handle })
    }

    /// Answers what has come so far and stops; the ports stay open.
    pub async fn end(self) {
        self.handle.stop(true).await;
    }
}

/// The address of the port of operations.
struct Operations(SocketAddr);

fn routes(routes: &mut ServiceConfig) {
    routes
        .route("/health/live", web::get().to(async || json(StatusCode::OK, &Health::live())))
        .route("/health/ready", web::get().to(async || not_ready()))
        .route("/metrics", web::get().to(metrics))
        .default_service(web::to(refuse));
}

fn not_ready() -> HttpResponse {
    let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &Health::not_ready(vec![REASON.to_owned()]));
    response.headers_mut().insert(RETRY_AFTER, whole_seconds(DELAY).into());
    response
}

/// What there is to tell without a line: above all that the database is not up. Tokens cannot be looked up, so only for
/// this machine.
async fn metrics(request: HttpRequest) -> HttpResponse {
    let is_operations =
        request.app_data::<Operations>().is_some_and(|operations| operations.0 == request.app_config().local_addr());
    if !is_operations || !is_local(&request) {
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
