//! What every request goes through: its id, its timing, and an answer whatever happens, a panic included.
//!
//! It wraps handlers, not the app: a middleware would box a second future for each request of the hot path.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};

use actix_web::dev::Handler;
use actix_web::http::ConnectionType;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::web::Data;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use futures_util::FutureExt;

use super::auth::{self, Caller};
use super::bearer::Credentials;
use super::body::announced_length;
use super::connection::EXPECTATION;
use super::encoding;
use super::error::ApiError;
use super::headers::IDEMPOTENCY_KEY;
use super::lists::elements;
use super::problems::Problem;
use super::rate::Standing;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::request_trace::RequestTrace;
use super::respond::header_value;
use super::shutdown::{self, Shutdown};
use super::state::AppState;
use super::streaming;
use super::unread::Unread;
use crate::domain::scopes::Scope;
use crate::pipeline::Room;
use crate::telemetry::facts::{self, InFlightRequest, Route};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// A request on its way to a handler.
pub struct Call {
    /// What all requests share.
    pub state: Data<AppState>,
    /// The request's line and headers.
    pub request: HttpRequest,
    /// The request's body, not yet read.
    pub payload: Unread,
}

impl Call {
    /// The caller, if its token may do what `scope` covers and is within its rate; `what` names it in the refusal.
    pub async fn authorise(&self, scope: Scope, what: &str) -> Result<Arc<Caller>, ApiError> {
        permitted(self.caller().await?, scope, what)
    }

    /// The caller, with any valid token that is within its rate.
    pub async fn caller(&self) -> Result<Arc<Caller>, ApiError> {
        let caller = self.state.auth.authenticate(self.credentials()?).await?;
        let Some(rate) = self.state.rate.as_ref().filter(|_| !self.is_operations()) else { return Ok(caller) };
        let taken = rate.take(caller.parent_id.unwrap_or(caller.token_id));
        self.request.extensions_mut().insert(taken.standing);
        taken.wait.map_or(Ok(caller), |wait| {
            facts::rate_limited();
            Err(ApiError::rate_limited(wait))
        })
    }

    /// As `authorise`, however often: operators must get through when a limit was set too low.
    pub async fn authorise_operator(&self, scope: Scope, what: &str) -> Result<Arc<Caller>, ApiError> {
        permitted(self.state.auth.authenticate(self.credentials()?).await?, scope, what)
    }

    /// Room for a body. A client that holds it back until it is requested learns at once that there is none.
    pub fn room(&self) -> Result<Room, ApiError> {
        let pipeline = &self.state.pipeline;
        match announced_length(self.headers()).filter(|_| self.payload.is_held_back()) {
            Some(bytes) => Ok(pipeline.room_for(bytes)?),
            None => Ok(pipeline.room()),
        }
    }

    /// Whether it came in on the operations port.
    fn is_operations(&self) -> bool {
        self.request.app_data::<OperationsPort>().is_some()
    }

    /// What the request shows of its sender.
    pub fn credentials(&self) -> Result<Credentials, ApiError> {
        Credentials::of(&self.request)
    }

    /// The request's headers.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }
}

/// Marks the requests of the operations port: people get through there when a limit was set too low.
#[derive(Clone, Copy, Debug)]
pub struct OperationsPort;

fn permitted(caller: Arc<Caller>, scope: Scope, what: &str) -> Result<Arc<Caller>, ApiError> {
    if auth::allows(caller.scopes, scope) { Ok(caller) } else { Err(ApiError::forbidden(scope, what)) }
}

/// Makes a route's handler out of an async function from [`Call`] to an answer.
pub fn endpoint<F, Fut>(handler: F) -> impl Handler<HandlerArgs, Output = HttpResponse>
where
    F: Fn(Call) -> Fut + Clone + 'static,
    Fut: Future<Output = Result<HttpResponse, ApiError>> + 'static,
{
    move |request, payload| answer(handler.clone(), request, payload)
}

/// The arguments that a handler extracts: the request and its unread body.
pub type HandlerArgs = (HttpRequest, Unread);

async fn answer<F, Fut>(handler: F, request: HttpRequest, payload: Unread) -> HttpResponse
where
    F: Fn(Call) -> Fut,
    Fut: Future<Output = Result<HttpResponse, ApiError>>,
{
    let params = InFlightRequest::start();
    let shutdown = request.app_data::<Data<AppState>>().map(|state| &*state.shutdown);
    let _in_flight = shutdown.and_then(Shutdown::enter);
    let id = RequestId::of(request.headers());
    let keyed = request.headers().contains_key(IDEMPOTENCY_KEY);
    let run = AssertUnwindSafe(run(handler, request.clone(), payload.clone())).catch_unwind();
    let result = run.await.unwrap_or_else(|_| {
        facts::handler_panicked(id.as_str());
        Err(ApiError::internal("the server failed on this request"))
    });
    let mut response = result.unwrap_or_else(|error| error.respond(&id, keyed));
    if payload.settle() {
        // The client may send the body that was not requested, or the next request.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    let line = (request.method().as_str(), request.path());
    let took = params.answered(served(&request), line, response.status().as_u16(), id.as_str());
    response = encoding::pack(request.headers(), response);
    streaming::close_delimited(request.version(), &mut response);
    if !response.status().is_success() {
        response = payload.held_by(response);
    }
    let status = response.status().as_u16();
    let headers = response.headers_mut();
    // Without a limit and spans the extensions are empty, and nothing is looked for.
    let extensions = request.extensions();
    if let Some(standing) = extensions.get::<Standing>() {
        standing.write_headers(headers);
    }
    if let Some(trace) = extensions.get::<RequestTrace>() {
        trace.answered(status, took);
    }
    drop(extensions);
    headers.insert(X_REQUEST_ID, id.0);
    headers.insert(SERVER_TIMING, header_value(format!("total;dur={:.3}", took.as_secs_f64() * 1_000.0)));
    if let Some(shutdown) = shutdown {
        shutdown.mark(&request, &mut response);
    }
    response
}

/// The route that serves the request, as the router has it; unknown paths share one.
#[derive(Clone, Copy)]
pub struct Served(pub &'static Route);

/// The route that serves the request.
pub(super) fn served(request: &HttpRequest) -> &'static Route {
    static UNKNOWN: LazyLock<&'static Route> = LazyLock::new(|| facts::route(None));
    request.app_data::<Served>().map_or(*UNKNOWN, |served| served.0)
}

async fn run<F, Fut>(handler: F, request: HttpRequest, payload: Unread) -> Result<HttpResponse, ApiError>
where
    F: Fn(Call) -> Fut,
    Fut: Future<Output = Result<HttpResponse, ApiError>>,
{
    shutdown::refuse_behind_the_last(&request)?;
    refuse_expectations(request.headers())?;
    let state = request.app_data::<Data<AppState>>().expect("every app is given the state").clone();
    handler(Call { state, request, payload }).await
}

/// `100-continue` is met when the body is read; any other expectation would be ignored in silence.
fn refuse_expectations(headers: &HeaderMap) -> Result<(), ApiError> {
    match elements(headers, EXPECTATION).find(|expected| !expected.eq_ignore_ascii_case("100-continue")) {
        Some(expected) => {
            let detail = format!("the expectation {expected:?} cannot be met, only 100-continue can");
            Err(ApiError::new(Problem::ExpectationFailed, detail))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::FromRequest;
    use actix_web::http::header::HeaderValue;
    use actix_web::rt::System;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_panic_is_answered_under_the_requests_id() {
        let (request, mut payload) = TestRequest::default().insert_header((X_REQUEST_ID, "r-1")).to_http_parts();
        let unread = Unread::from_request(&request, &mut payload);
        let response = System::new().block_on(async {
            answer(|_| async { Err(ApiError::internal("not reached")) }, request, unread.await.expect("infallible"))
                .await
        });
        assert_eq!(response.status(), 500, "an app without its state panics");
        assert_eq!(response.headers().get(X_REQUEST_ID).map(HeaderValue::as_bytes), Some(&b"r-1"[..]));
        assert!(response.headers().contains_key(SERVER_TIMING));
    }

    #[test]
    fn an_expectation_other_than_100_continue_is_refused() {
        let expecting = |value: &str| {
            let request = TestRequest::default().insert_header((EXPECTATION, value)).to_http_request();
            refuse_expectations(request.headers())
        };
        assert!(expecting("100-Continue").is_ok() && expecting(", 100-continue,").is_ok());
        assert!(expecting("100-continue, x").is_err());
        assert_eq!(expecting("x").expect_err("cannot be met").problem(), Problem::ExpectationFailed);
    }
}
