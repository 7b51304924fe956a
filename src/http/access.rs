//! Who may do what, as the signature of a handler says it: `Authorised<PostEvents>` is a caller whose token may post
//! events.
//!
//! Guaranteed: what a signature names inside of [`Authorised`] is looked at once the caller may do what it asks for.
//! Others learn nothing from their parameters.

mod local;

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::dev::Payload;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest};
use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture, Ready, ready};

pub use self::local::{AuthorisedOrLocal, is_local};
use super::caller::{Caller, allows};
use super::credentials::Credentials;
use super::error::ApiError;
use super::state::AppState;
use crate::domain::scopes::Scope;
use crate::telemetry::facts;

/// Something that needs a token.
pub trait Access: 'static {
    /// The scopes of which the token needs one, the first of which is named in a refusal; none if any token will do.
    const SCOPES: &'static [Scope];
    /// What is done, as a refusal names it.
    const WHAT: &'static str;
    /// Whether it counts for the token's rate.
    const RATE: RateCount;
}

/// Whether requests count for their token's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateCount {
    /// Each of them.
    Yes,
    /// None: operators must get through when a limit was set too low.
    No,
}

macro_rules! accesses {
    ($($name:ident, $rate:ident, [$($scope:ident),*], $what:literal;)*) => {$(
        #[doc = concat!("Access for ", $what, ".")]
        pub struct $name;

        impl Access for $name {
            const SCOPES: &'static [Scope] = &[$(Scope::$scope),*];
            const WHAT: &'static str = $what;
            const RATE: RateCount = RateCount::$rate;
        }
    )*};
}

accesses! {
    AnyToken, Yes, [], "everyone with a token";
    PostEvents, Yes, [Write], "posting events";
    ValidateEvents, Yes, [Write], "validating events";
    ReadEvents, Yes, [Read], "reading events";
    ProcessEvents, Yes, [Operate], "processing stored events";
    ReplayEvents, Yes, [Operate], "replaying events";
    CancelEvents, Yes, [Operate], "cancelling events";
    FollowJobs, Yes, [Operate], "looking after jobs";
    ManageTokens, Yes, [Admin], "managing tokens";
    ManageUsers, Yes, [Admin], "managing users";
    ReadAudit, Yes, [Admin], "reading the audit log";
    ReadStatistics, No, [ReadAll, Operate], "statistics of everyone's events";
    ReadMetrics, No, [Operate, ReadAll], "the metrics";
    ReadPipeline, No, [Operate, ReadAll], "the state of the pipeline";
    ControlPipeline, No, [Operate], "controlling the pipeline";
    ReadSpool, No, [Operate, ReadAll], "the spool";
    RetryParked, No, [Operate], "retrying parked events";
}

/// Marks the requests of the operations port: people get through there when a limit was set too low.
#[derive(Clone, Copy, Debug)]
pub struct OperationsPort;

/// A caller that may do `A`, and what else of its request is looked at once that is known.
pub struct Authorised<A, T = ()> {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The rest of the request.
    pub rest: T,
    access: PhantomData<A>,
}

/// A caller on its way to be [`Authorised`]; one whose token is remembered is there at once, without a box.
pub struct Authorising<A, T: FromRequest> {
    step: Step<T>,
    access: PhantomData<fn() -> A>,
}

enum Step<T: FromRequest> {
    Caller(HttpRequest, CallerFuture),
    Rest(Option<Arc<Caller>>, T::Future),
}

type Authenticated = Result<Arc<Caller>, ApiError>;
type CallerFuture = Either<Ready<Authenticated>, LocalBoxFuture<'static, Authenticated>>;

impl<A: Access, T> FromRequest for Authorised<A, T>
where
    T: FromRequest + 'static,
    T::Future: Unpin,
{
    type Error = Error;
    type Future = Authorising<A, T>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Authorising { step: Step::Caller(request.clone(), authenticate(request)), access: PhantomData }
    }
}

impl<A: Access, T> Future for Authorising<A, T>
where
    T: FromRequest,
    T::Future: Unpin,
{
    type Output = Result<Authorised<A, T>, Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.step {
                Step::Caller(request, caller) => {
                    let caller =
                        std::task::ready!(caller.poll_unpin(task)).and_then(|caller| permit::<A>(request, caller))?;
                    let rest = T::from_request(request, &mut Payload::None);
                    self.step = Step::Rest(Some(caller), rest);
                }
                Step::Rest(caller, rest) => {
                    let rest = std::task::ready!(rest.poll_unpin(task)).map_err(Into::into)?;
                    let caller = caller.take().expect("a request is extracted once");
                    return Poll::Ready(Ok(Authorised { caller, rest, access: PhantomData }));
                }
            }
        }
    }
}

fn authenticate(request: &HttpRequest) -> CallerFuture {
    let credentials = match Credentials::of(request) {
        Ok(credentials) => credentials,
        Err(error) => return Either::Left(ready(Err(error))),
    };
    let auth = &AppState::of(request).auth;
    match auth.remembered(&credentials.hash) {
        Some(caller) => Either::Left(ready(caller)),
        None => {
            let auth = Arc::clone(auth);
            Either::Right(async move { auth.authenticate(credentials).await }.boxed_local())
        }
    }
}

/// Whether the caller is within its rate, and may do `A`.
fn permit<A: Access>(request: &HttpRequest, caller: Arc<Caller>) -> Authenticated {
    if A::RATE == RateCount::Yes {
        count(request, &caller)?;
    }
    match A::SCOPES.first() {
        Some(first) if !A::SCOPES.iter().any(|scope| allows(caller.scopes, *scope)) => {
            Err(ApiError::forbidden(*first, A::WHAT))
        }
        _ => Ok(caller),
    }
}

/// Takes a request out of the token's bucket, if there is one.
fn count(request: &HttpRequest, caller: &Caller) -> Result<(), ApiError> {
    let is_operations = request.app_data::<OperationsPort>().is_some();
    let Some(rate) = AppState::of(request).rate.as_ref().filter(|_| !is_operations) else { return Ok(()) };
    let taken = rate.take(caller.parent_id.unwrap_or(caller.token_id));
    request.extensions_mut().insert(taken.standing);
    taken.wait.map_or(Ok(()), |wait| {
        facts::rate_limited();
        Err(ApiError::rate_limited(wait))
    })
}
