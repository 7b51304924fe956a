//! Every route of both ports, a line each.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource, Route, guard};

use super::error::ApiError;
use super::problems::Problem;
use super::request::{Call, endpoint};
use super::{events, health, ops, stats};

/// Longest part of a path that is repeated in an answer, in characters.
const PATH_CHARS_MAX: usize = 200;

/// The API.
pub fn api(routes: &mut ServiceConfig) {
    routes
        .service(at("/api/v1/events", "GET, HEAD, POST").route(post(events::submit)).route(get(events::list)))
        .service(at("/api/v1/events/export", "GET").route(stream(events::export)))
        .service(at("/api/v1/events/stream", "GET").route(stream(events::stream)))
        .service(at("/api/v1/events/{id}", "GET, HEAD").route(get(events::show)))
        .service(at("/api/v1/events/{id}/timeline", "GET, HEAD").route(get(events::timeline)))
        .service(at("/api/v1/stats", "GET, HEAD").route(get(stats::stats)))
        .configure(both);
}

/// Operations.
pub fn operations(routes: &mut ServiceConfig) {
    routes
        .service(at("/", "GET, HEAD").route(get(ops::index)))
        .service(at("/api/pipeline", "GET, HEAD").route(get(ops::pipeline)))
        .service(at("/api/pipeline/pools/{pool}", "POST").route(post(ops::resize_pool)))
        .configure(both);
}

fn both(routes: &mut ServiceConfig) {
    routes
        .service(at("/health/live", "GET, HEAD").route(get(health::live)))
        .service(at("/health/ready", "GET, HEAD").route(get(health::ready)))
        .default_service(web::to(endpoint(not_found)));
}

/// A path whose other methods answer 405 with `allow`.
fn at(path: &'static str, allow: &'static str) -> Resource {
    let refuse = move |call: Call| async move {
        let detail = format!("{} is not allowed on {}", call.request.method(), shown_path(&call));
        Err(ApiError::method_not_allowed(allow, detail))
    };
    web::resource(path).default_service(web::to(endpoint(refuse)))
}

fn get<F, Fut>(handler: F) -> Route
where
    F: Fn(Call) -> Fut + Clone + 'static,
    Fut: Future<Output = Result<HttpResponse, ApiError>> + 'static,
{
    web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(endpoint(handler))
}

/// GET without HEAD: a head alone would cost as much as the stream.
fn stream<F, Fut>(handler: F) -> Route
where
    F: Fn(Call) -> Fut + Clone + 'static,
    Fut: Future<Output = Result<HttpResponse, ApiError>> + 'static,
{
    web::get().to(endpoint(handler))
}

fn post<F, Fut>(handler: F) -> Route
where
    F: Fn(Call) -> Fut + Clone + 'static,
    Fut: Future<Output = Result<HttpResponse, ApiError>> + 'static,
{
    web::post().to(endpoint(handler))
}

async fn not_found(call: Call) -> Result<HttpResponse, ApiError> {
    Err(ApiError::new(Problem::NotFound, format!("there is nothing at {}", shown_path(&call))))
}

fn shown_path(call: &Call) -> String {
    call.request.path().chars().take(PATH_CHARS_MAX).collect()
}
