//! Every route of both ports, a line each.

use actix_web::dev::{Handler, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse, Resource, Route, guard};

use super::access::OperationsPort;
use super::accounts::{tokens, users};
use super::answer::Answer;
use super::error::ApiError;
use super::problems::Problem;
use super::request::Served;
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
        .service(at("/api/v1/events", "GET, HEAD, POST").post(events::submit).route(get_or_head(events::list)))
        .service(at("/api/v1/events/batch", "POST").post(events::submit_batch))
        .service(at("/api/v1/events/export", "GET").get(events::export))
        .service(at("/api/v1/events/process", "POST").post(events::process))
        .service(at("/api/v1/events/validate", "POST").post(events::validate))
        .service(at("/openapi.json", "GET, HEAD").route(get_or_head(openapi::show)))
        .service(at("/docs", "GET, HEAD").route(get_or_head(openapi::browse)))
        .configure(shared)
        .configure(both);
}

/// The part of the API that the dashboard needs too; events are taken on the API's port alone.
fn shared(routes: &mut ServiceConfig) {
    routes
        .service(at("/api/v1/audit", "GET, HEAD").route(get_or_head(audit::list)))
        .service(at("/api/v1/events/cancel", "POST").post(events::cancel_matching))
        .service(at("/api/v1/events/retry", "POST").post(events::retry_matching))
        .service(at("/api/v1/events/stream", "GET").get(events::stream))
        .service(at("/api/v1/events/{id}", "GET, HEAD").route(get_or_head(events::show)))
        .service(at("/api/v1/events/{id}/timeline", "GET, HEAD").route(get_or_head(events::timeline)))
        .service(at("/api/v1/events/{id}/retry", "POST").post(events::retry))
        .service(at("/api/v1/events/{id}/cancel", "POST").post(events::cancel))
        .service(at("/api/v1/jobs", "GET, HEAD").route(get_or_head(jobs::list)))
        .service(at("/api/v1/jobs/{id}", "GET, HEAD").route(get_or_head(jobs::show)))
        .service(at("/api/v1/jobs/{id}/cancel", "POST").post(jobs::stop))
        .service(at("/api/v1/limits", "GET, HEAD").route(get_or_head(limits::show)))
        .service(at("/api/v1/stats", "GET, HEAD").route(get_or_head(stats::stats)))
        .service(at("/api/v1/stats/series", "GET, HEAD").route(get_or_head(series::show)))
        .service(at("/api/v1/tokens", "GET, HEAD, POST").route(get_or_head(tokens::list)).post(tokens::create))
        .service(at("/api/v1/tokens/{id}", "DELETE, GET, HEAD").route(get_or_head(tokens::show)).delete(tokens::revoke))
        .service(at("/api/v1/tokens/{id}/rotate", "POST").post(tokens::rotate))
        .service(at("/api/v1/users", "GET, HEAD, POST").route(get_or_head(users::list)).post(users::create))
        .service(at("/api/v1/users/{id}", "GET, HEAD, PATCH").route(get_or_head(users::show)).patch(users::change));
}

/// Operations, behind the guard that knows sessions.
pub fn operations(routes: &mut ServiceConfig) {
    let port = web::scope("").app_data(OperationsPort).wrap(from_fn(dashboard::guard)).configure(operations_of);
    routes.service(port);
}

fn operations_of(routes: &mut ServiceConfig) {
    routes
        .service(at("/", "GET, HEAD").route(get_or_head(dashboard::index)))
        .service(at("/login", "GET, HEAD, POST").route(get_or_head(dashboard::form)).post(dashboard::enter))
        .service(at("/logout", "POST").post(dashboard::leave))
        .service(at("/assets/{name}", "GET, HEAD").route(get_or_head(dashboard::asset)))
        .service(at("/openapi.json", "GET, HEAD").route(get_or_head(openapi::show_operations)))
        .service(at("/api/session", "GET, HEAD").route(get_or_head(dashboard::session)))
        .service(at("/api/live", "GET").get(dashboard::follow))
        .service(at("/api/live/events", "GET").get(dashboard::follow_outcomes))
        .service(at("/api/live/events/{id}", "GET").get(dashboard::follow_event))
        .service(at("/api/live/pipeline", "GET").get(dashboard::follow_node))
        .service(at("/metrics", "GET, HEAD").route(get_or_head(metrics::scrape)))
        .service(at("/api/spool", "GET, HEAD").route(get_or_head(spool::show)))
        .service(at("/api/spool/retry", "POST").post(spool::retry))
        .service(at("/api/pipeline", "GET, HEAD").route(get_or_head(ops::pipeline)))
        .service(at("/api/pipeline/pause", "POST").post(control::pause))
        .service(at("/api/pipeline/resume", "POST").post(control::resume))
        .service(at("/api/pipeline/pools/{pool}", "POST").post(control::resize_pool))
        .service(at("/api/pipeline/pools/{pool}/pause", "POST").post(control::pause_pool))
        .service(at("/api/pipeline/pools/{pool}/resume", "POST").post(control::resume_pool))
        .service(at("/api/pipeline/pools/{pool}/restart", "POST").post(control::restart_pool))
        .service(at("/api/v1/events", "GET, HEAD").route(get_or_head(events::list)))
        .configure(shared)
        .configure(both);
}

fn both(routes: &mut ServiceConfig) {
    routes
        .service(at("/health/live", "GET, HEAD").route(get_or_head(health::live)))
        .service(at("/health/ready", "GET, HEAD").route(get_or_head(health::ready)))
        .service(at("/problems", "GET, HEAD").route(get_or_head(problem_catalogue::list)))
        .service(at("/problems/{code}", "GET, HEAD").route(get_or_head(problem_catalogue::show)))
        .default_service(web::to(not_found).wrap(Answer));
}

/// A path whose other methods answer 405 with `allow`.
fn at(
    path: &'static str,
    allow: &'static str,
) -> Resource<impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>>
{
    let refuse = move |request: HttpRequest| async move {
        let detail = format!("{} is not allowed on {}", request.method(), shown_path(&request));
        Err::<HttpResponse, _>(ApiError::method_not_allowed(allow, detail))
    };
    web::resource(path).app_data(Served(facts::route(Some(path)))).default_service(web::to(refuse)).wrap(Answer)
}

/// A GET that answers HEAD as well; streams do not, since a head alone would cost as much.
fn get_or_head<F, Args>(handler: F) -> Route
where
    F: Handler<Args, Output = Result<HttpResponse, ApiError>>,
    Args: FromRequest + 'static,
{
    web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(handler)
}

async fn not_found(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(ApiError::new(Problem::NotFound, format!("there is nothing at {}", shown_path(&request))))
}

fn shown_path(request: &HttpRequest) -> String {
    request.path().chars().take(PATH_CHARS_MAX).collect()
}
