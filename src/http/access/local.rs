//! Callers on this very machine, who may look without a token if `dashboard.trust_local` says so.
//!
//! Not if the request came through a proxy that says so, or under a foreign host name: a web page whose name was rebound
//! to 127.0.0.1 must not read along. A proxy that says nothing cannot be recognised.

use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::http::header::HOST;
use actix_web::{Error, FromRequest, HttpRequest};
use futures_util::FutureExt;
use futures_util::future::{Either, Map};

use super::{Access, Authorised, Authorising};
use crate::http::state::AppState;

/// Headers that a proxy adds, behind which every peer looks local, or a browser, which may stand behind a proxy that
/// adds none: people with a browser log in.
const FOREIGN_HEADERS: [&str; 7] =
    ["forwarded", "x-forwarded-for", "x-real-ip", "via", "origin", "sec-fetch-site", "sec-fetch-mode"];

/// A caller that may do `A`, with a token or as one of this machine, and what else of its request is looked at then.
pub struct AuthorisedOrLocal<A, T = ()> {
    /// The rest of the request.
    pub rest: T,
    access: PhantomData<A>,
}

type Extracted<T> = Result<T, Error>;
type Local<A, T> =
    Map<<T as FromRequest>::Future, fn(Result<T, <T as FromRequest>::Error>) -> Extracted<AuthorisedOrLocal<A, T>>>;
type WithToken<A, T> = Map<Authorising<A, T>, fn(Extracted<Authorised<A, T>>) -> Extracted<AuthorisedOrLocal<A, T>>>;

impl<A: Access, T> FromRequest for AuthorisedOrLocal<A, T>
where
    T: FromRequest + 'static,
    T::Future: Unpin,
{
    type Error = Error;
    type Future = Either<Local<A, T>, WithToken<A, T>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if AppState::of(request).trusts_local && is_local(request) {
            let of_rest: fn(_) -> _ = |rest: Result<T, T::Error>| rest.map(Self::with).map_err(Into::into);
            Either::Left(T::from_request(request, payload).map(of_rest))
        } else {
            let of_caller: fn(_) -> _ =
                |authorised: Extracted<Authorised<A, T>>| authorised.map(|of| Self::with(of.rest));
            Either::Right(Authorised::from_request(request, payload).map(of_caller))
        }
    }
}

impl<A, T> AuthorisedOrLocal<A, T> {
    fn with(rest: T) -> Self {
        Self { rest, access: PhantomData }
    }
}

/// Whether the request comes from this very machine, and not through a proxy or under a foreign name.
pub fn is_local(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let is_peer_local = request.peer_addr().is_some_and(|peer| peer.ip().to_canonical().is_loopback());
    let is_foreign = FOREIGN_HEADERS.iter().any(|name| headers.contains_key(*name));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    is_peer_local && !is_foreign && host.is_none_or(is_loopback_name)
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn local(peer: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = TestRequest::default().peer_addr(peer.parse().expect("an address"));
        for header in headers {
            request = request.insert_header(*header);
        }
        is_local(&request.to_http_request())
    }

    #[test]
    fn only_a_direct_caller_on_this_machine_is_local() {
        for host in ["localhost:5555", "127.0.0.1:5555", "[::1]:5555", "[::1]", "LOCALHOST"] {
            assert!(local("127.0.0.1:9", &[("host", host)]), "{host}");
        }
        assert!(local("[::ffff:127.0.0.1]:9", &[("host", "localhost")]));
        assert!(!local("10.0.0.1:9", &[("host", "localhost")]));
        assert!(!local("127.0.0.1:9", &[("host", "evil.example")]));
        for (name, value) in [("x-forwarded-for", "10.0.0.1"), ("x-real-ip", "10.0.0.1"), ("sec-fetch-site", "none")] {
            assert!(!local("127.0.0.1:9", &[("host", "localhost"), (name, value)]), "{name}");
        }
    }
}
