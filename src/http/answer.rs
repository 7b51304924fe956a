//! What every request goes through on its way to a handler and back: its id, its timing, and an answer whatever
//! happens, a panic included.
//!
//! It stands around each resource, behind the router: a request cannot be kept aside before it is routed. Its future is
//! a type of its own, so that the hot path boxes none for it.

use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::ConnectionType;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse};
use futures_util::FutureExt;
use futures_util::future::{CatchUnwind, Either};

use super::body::RequestBody;
use super::connection::EXPECTATION;
use super::encoding;
use super::error::ApiError;
use super::headers::{IDEMPOTENCY_KEY, elements};
use super::problems::Problem;
use super::rate::Standing;
use super::request::{RequestId, X_REQUEST_ID, route_of};
use super::respond::{close_delimited, header_value};
use super::shutdown::{self, InFlightGuard, Shutdown};
use super::state::AppState;
use super::trace::RequestTrace;
use crate::telemetry::facts::{self, InFlightRequest};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The middleware around a resource.
pub struct Answer;

/// A resource with the middleware around it.
pub struct AnswerService<S> {
    service: S,
}

type Answered = Result<ServiceResponse, Error>;

/// A request under way.
pub struct Answering<F> {
    outcome: CatchUnwind<AssertUnwindSafe<Either<Ready<Answered>, F>>>,
    /// Taken when the answer is there.
    context: Option<RequestContext>,
}

/// What is needed of a request when it is answered.
struct RequestContext {
    request: HttpRequest,
    id: RequestId,
    timing: InFlightRequest,
    shutdown: Arc<Shutdown>,
    /// Counts the request as long as it lives.
    _in_flight: Option<InFlightGuard>,
}

impl<S> Transform<S, ServiceRequest> for Answer
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
    S::Future: Unpin,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Transform = AnswerService<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(AnswerService { service }))
    }
}

impl<S> Service<ServiceRequest> for AnswerService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
    S::Future: Unpin,
{
    type Response = ServiceResponse;
    type Error = Error;
    type Future = Answering<S::Future>;

    forward_ready!(service);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let timing = InFlightRequest::start();
        let state = request.app_data::<Data<AppState>>().expect("every app is given the state");
        let shutdown = Arc::clone(&state.shutdown);
        let in_flight = shutdown.enter();
        let id = RequestId::of(request.headers());
        RequestBody::keep(&mut request);
        let kept = request.request().clone();
        let outcome = match admit(&kept) {
            Ok(()) => Either::Right(self.service.call(request)),
            Err(error) => Either::Left(ready(Err(error.into()))),
        };
        Answering {
            outcome: AssertUnwindSafe(outcome).catch_unwind(),
            context: Some(RequestContext { request: kept, id, timing, shutdown, _in_flight: in_flight }),
        }
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Answered> + Unpin,
{
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Answered> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(task));
        let context = self.context.take().expect("a request is answered once");
        let response = match outcome {
            Ok(Ok(response)) => response.into_parts().1,
            Ok(Err(error)) => HttpResponse::from_error(error),
            Err(_panic) => {
                facts::handler_panicked(context.id.as_str());
                HttpResponse::from_error(ApiError::internal("the server failed on this request"))
            }
        };
        Poll::Ready(Ok(context.finish(response)))
    }
}

impl RequestContext {
    /// The answer as the client gets it.
    fn finish(self, response: HttpResponse) -> ServiceResponse {
        let Self { request, id, timing, shutdown, _in_flight } = self;
        let mut response = described(&request, &id, response);
        let body = RequestBody::of(&request);
        if body.settle() {
            // The client may send the body that was not requested, or the next request.
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        let line = (request.method().as_str(), request.path());
        let took = timing.answered(route_of(&request), line, response.status().as_u16(), id.as_str());
        response = encoding::pack(request.headers(), response);
        close_delimited(request.version(), &mut response);
        if !response.status().is_success() {
            response = body.held_by(response);
        }
        let status = response.status().as_u16();
        let headers = response.headers_mut();
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
        shutdown.mark(&request, &mut response);
        ServiceResponse::new(request, response)
    }
}

/// The problem in the place of an answer that stands for an error.
fn described(request: &HttpRequest, id: &RequestId, response: HttpResponse) -> HttpResponse {
    let Some(error) = response.error().and_then(|error| error.as_error::<ApiError>()) else { return response };
    error.respond(id, request.headers().contains_key(IDEMPOTENCY_KEY))
}

fn admit(request: &HttpRequest) -> Result<(), ApiError> {
    shutdown::refuse_behind_the_last(request)?;
    refuse_expectations(request.headers())
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
    use actix_web::http::header::HeaderValue;
    use actix_web::rt::System;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_panic_is_answered_under_the_requests_id() {
        let request = TestRequest::default().insert_header((X_REQUEST_ID, "r-1")).to_http_request();
        let context = RequestContext {
            id: RequestId::of(request.headers()),
            request,
            timing: InFlightRequest::start(),
            shutdown: Arc::new(Shutdown::new(Arc::default())),
            _in_flight: None,
        };
        let panicking = Box::pin(async { panic!("a handler that fails") });
        let outcome = AssertUnwindSafe(Either::Right(panicking)).catch_unwind();
        let answered = System::new().block_on(Answering { outcome, context: Some(context) });
        let response = answered.expect("an answer whatever happens").into_parts().1;
        assert_eq!(response.status(), 500);
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
