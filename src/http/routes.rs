//! Every route of both ports, a line each.

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource, Route, guard};

use super::accounts::{tokens, users};
use super::error::ApiError;
use super::problems::Problem;
use super::request::{Call, OperationsPort, Served, endpoint};
use super::{
    audit, control, dashboard, events, health, jobs, limits, metrics, openapi, ops, problem_catalogue, series, spool,
    stats,
};
use crate::telemetry::facts;

/// Longest part of a path that is repeated in an answer, in characters.
const PATH_CHARS_MAX: usize = 200;

/// The API.
pub fn api(routes: &mut ServiceConfig) {
    routes
        .service(at("/api/v1/events", "GET, HEAD, POST").route(post(events::submit)).route(get(events::list)))
        .service(at("/api/v1/events/batch", "POST").route(post(events::submit_batch)))
        .service(at("/api/v1/events/export", "GET").route(stream(events::export)))
        .service(at("/api/v1/events/process", "POST").route(post(events::process)))
        .service(at("/api/v1/events/validate", "POST").route(post(events::validate)))
        .service(at("/openapi.json", "GET, HEAD").route(get(openapi::show)))
        .service(at("/docs", "GET, HEAD").route(get(openapi::browse)))
        .configure(shared)
        .configure(both);
}

/// The part of the API that the dashboard needs too; events are taken on the API's port alone.
fn shared(routes: &mut ServiceConfig) {
    routes
        .service(at("/api/v1/audit", "GET, HEAD").route(get(audit::list)))
        .service(at("/api/v1/events/cancel", "POST").route(post(events::cancel_matching)))
        .service(at("/api/v1/events/retry", "POST").route(post(events::retry_matching)))
        .service(at("/api/v1/events/stream", "GET").route(stream(events::stream)))
        .service(at("/api/v1/events/{id}", "GET, HEAD").route(get(events::show)))
        .service(at("/api/v1/events/{id}/timeline", "GET, HEAD").route(get(events::timeline)))
        .service(at("/api/v1/events/{id}/retry", "POST").route(post(events::retry)))
        .service(at("/api/v1/events/{id}/cancel", "POST").route(post(events::cancel)))
        .service(at("/api/v1/jobs", "GET, HEAD").route(get(jobs::list)))
        .service(at("/api/v1/jobs/{id}", "GET, HEAD").route(get(jobs::show)))
        .service(at("/api/v1/jobs/{id}/cancel", "POST").route(post(jobs::stop)))
        .service(at("/api/v1/limits", "GET, HEAD").route(get(limits::show)))
        .service(at("/api/v1/stats", "GET, HEAD").route(get(stats::stats)))
        .service(at("/api/v1/stats/series", "GET, HEAD").route(get(series::show)))
        .service(at("/api/v1/tokens", "GET, HEAD, POST").route(get(tokens::list)).route(post(tokens::create)))
        .service(at("/api/v1/tokens/{id}", "DELETE, GET, HEAD").route(get(tokens::show)).route(delete(tokens::revoke)))
        .service(at("/api/v1/tokens/{id}/rotate", "POST").route(post(tokens::rotate)))
        .service(at("/api/v1/users", "GET, HEAD, POST").route(get(users::list)).route(post(users::create)))
        .service(at("/api/v1/users/{id}", "GET, HEAD, PATCH").route(get(users::show)).route(patch(users::change)));
}

/// Operations, behind the guard that knows sessions.
pub fn operations(routes: &mut ServiceConfig) {
    let port = web::scope("").app_data(OperationsPort).wrap(from_fn(dashboard::guard)).configure(operations_of);
    routes.service(port);
}

fn operations_of(routes: &mut ServiceConfig) {
    routes
        .service(at("/", "GET, HEAD").route(get(dashboard::index)))
        .service(at("/login", "GET, HEAD, POST").route(get(dashboard::form)).route(post(dashboard::enter)))
        .service(at("/logout", "POST").route(post(dashboard::leave)))
        .service(at("/assets/{name}", "GET, HEAD").route(get(dashboard::asset)))
        .service(at("/openapi.json", "GET, HEAD").route(get(openapi::show_operations)))
        .service(at("/api/session", "GET, HEAD").route(get(dashboard::session)))
        .service(at("/api/live", "GET").route(stream(dashboard::follow)))
        .service(at("/api/live/events", "GET").route(stream(dashboard::follow_outcomes)))
        .service(at("/api/live/events/{id}", "GET").route(stream(dashboard::follow_event)))
        .service(at("/api/live/pipeline", "GET").route(stream(dashboard::follow_node)))
        .service(at("/metrics", "GET, HEAD").route(get(metrics::scrape)))
        .service(at("/api/spool", "GET, HEAD").route(get(spool::show)))
        .service(at("/api/spool/retry", "POST").route(post(spool::retry)))
        .service(at("/api/pipeline", "GET, HEAD").route(get(ops::pipeline)))
        .service(at("/api/pipeline/pause", "POST").route(post(control::pause)))
        .service(at("/api/pipeline/resume", "POST").route(post(control::resume)))
        .service(at("/api/pipeline/pools/{pool}", "POST").route(post(control::resize_pool)))
        .service(at("/api/pipeline/pools/{pool}/pause", "POST").route(post(control::pause_pool)))
        .service(at("/api/pipeline/pools/{pool}/resume", "POST").route(post(control::resume_pool)))
        .service(at("/api/pipeline/pools/{pool}/restart", "POST").route(post(control::restart_pool)))
        .service(at("/api/v1/events", "GET, HEAD").route(get(events::list)))
        .configure(shared)
        .configure(both);
}

fn both(routes: &mut ServiceConfig) {
    routes
        .service(at("/health/live", "GET, HEAD").route(get(health::live)))
        .service(at("/health/ready", "GET, HEAD").route(get(health::ready)))
        .service(at("/problems", "GET, HEAD").route(get(problem_catalogue::list)))
        .service(at("/problems/{code}", "GET, HEAD").route(get(problem_catalogue::show)))
        .default_service(web::to(endpoint(not_found)));
}

/// A path whose other methods answer 405 with `allow`.
fn at(path: &'static str, allow: &'static str) -> Resource {
    let refuse = move |call: Call| async move {
        let detail = format!("{} is not allowed on {}", call.request.method(), shown_path(&call));
        Err(ApiError::method_not_allowed(allow, detail))
    };
    web::resource(path).app_data(Served(facts::route(Some(path)))).default_service(web::to(endpoint(refuse)))
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

fn patch<F, Fut>(handler: F) -> Route
where
    F: Fn(Call) -> Fut + Clone + 'static,
    Fut: Future<Output = Result<HttpResponse, ApiError>> + 'static,
{
    web::patch().to(endpoint(handler))
}

fn delete<F, Fut>(handler: F) -> Route
where
    F: Fn(Call) -> Fut + Clone + 'static,
    Fut: Future<Output = Result<HttpResponse, ApiError>> + 'static,
{
    web::delete().to(endpoint(handler))
}

async fn not_found(call: Call) -> Result<HttpResponse, ApiError> {
    Err(ApiError::new(Problem::NotFound, format!("there is nothing at {}", shown_path(&call))))
}

fn shown_path(call: &Call) -> String {
    call.request.path().chars().take(PATH_CHARS_MAX).collect()
}
