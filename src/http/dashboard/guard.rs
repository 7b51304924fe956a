//! What every request of the operations port goes through: the session's cookie becomes its bearer token, nothing that a
//! foreign page sends changes anything, and answers say what a browser may do with them.
//!
//! Guaranteed: with the cookie alone nothing is changed without [`OWN_HEADER`], which a page of another origin cannot
//! send without a preflight request, and that is never granted. A token in `Authorization` needs no such header: a
//! browser does not send it by itself.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpResponse};

use super::accept::prefers_html;
use super::login::COOKIE;
use crate::http::error::ApiError;
use crate::http::fields::shown;
use crate::http::problems::Problem;
use crate::http::request::RequestId;
use crate::http::respond::header_value;
use crate::http::state::AppState;

/// What our script sends with every change.
const OWN_HEADER: &str = "x-gristmill-request";
/// What a page of this port may load: its own files, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'",
);
/// What every answer says, unless its handler says otherwise.
const PROTECTION: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Lets a request through to its handler, and its answer out.
pub async fn guard(mut request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Err(refused) = admit(&mut request) {
        let id = RequestId::of(request.headers());
        let mut response = if request.path() == super::login::PATH && prefers_html(request.headers()) {
            super::login::page(refused.problem().entry().status, refused.detail())
        } else {
            refused.respond(&id, false)
        };
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), header_value(id.as_str().to_owned()));
        protect(response.headers_mut());
        if let Some(state) = request.app_data::<Data<AppState>>() {
            state.shutdown.mark(request.request(), &mut response);
        }
        return Ok(request.into_response(response));
    }
    let is_page = is_safe(request.method()) && prefers_html(request.headers());
    let mut response = next.call(request).await?;
    if is_page && response.status() == StatusCode::UNAUTHORIZED {
        let mut redirect = HttpResponse::build(StatusCode::SEE_OTHER);
        response = response.into_response(redirect.insert_header((header::LOCATION, "/login")).finish());
    }
    protect(response.headers_mut());
    Ok(response)
}

fn protect(headers: &mut HeaderMap) {
    for (name, value) in PROTECTION {
        if !headers.contains_key(&name) {
            headers.insert(name, value);
        }
    }
}

/// Refuses what a foreign page may have sent, and puts the session's token where tokens stand.
fn admit(request: &mut ServiceRequest) -> Result<(), ApiError> {
    let is_change = !is_safe(request.method());
    if is_change {
        refuse_foreign_page(request.headers())?;
    }
    if request.headers().contains_key(header::AUTHORIZATION) {
        return Ok(());
    }
    let Some(session) = request.request().cookie_raw(COOKIE) else { return Ok(()) };
    // Logging in needs no session, and an old one must not stand in its way.
    if is_change && request.path() != super::login::PATH && !request.headers().contains_key(OWN_HEADER) {
        let detail =
            "a change with a session needs the header X-Gristmill-Request: 1, which a foreign page cannot send";
        return Err(ApiError::new(Problem::CrossSite, detail));
    }
    if let Ok(value) = HeaderValue::try_from(format!("Bearer {}", session.value())) {
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    Ok(())
}

/// Browsers say where a request comes from: in `Sec-Fetch-Site` where the connection can be trusted, else in `Origin`.
fn refuse_foreign_page(headers: &HeaderMap) -> Result<(), ApiError> {
    let host = only(headers, "host").unwrap_or_default();
    let refused = |detail| ApiError::new(Problem::CrossSite, detail);
    match (only(headers, "sec-fetch-site"), only(headers, "origin")) {
        (Some("same-origin" | "none"), _) | (None, None) => Ok(()),
        (Some(_), _) => Err(refused("the request comes from a page of another site".to_owned())),
        (None, Some(origin)) => match origin.split_once("://") {
            Some((_, authority)) if host.eq_ignore_ascii_case(authority) => Ok(()),
            _ => Err(refused(format!(
                "the request comes from a page at {}, and was sent to {}. If that is this dashboard behind a proxy, the proxy \
                 has to keep the Host with its port (nginx: proxy_set_header Host $http_host)",
                shown(origin),
                shown(host)
            ))),
        },
    }
}

/// The header's one value; empty if it is repeated or not text.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name);
    let value = values.next()?;
    Some(if values.next().is_some() { "" } else { value.to_str().unwrap_or_default() })
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn admitted(method: Method, headers: &[(&str, &str)]) -> Result<Option<String>, &'static str> {
        let mut request = TestRequest::with_uri("/api/x").method(method);
        for header in headers {
            request = request.append_header(*header);
        }
        let mut request = request.to_srv_request();
        admit(&mut request).map_err(|error| error.problem().entry().code)?;
        let token = request.headers().get(header::AUTHORIZATION);
        Ok(token.map(|value| value.to_str().expect("visible ASCII").to_owned()))
    }

    #[test]
    fn a_cookie_is_a_token_for_reading_and_with_our_header_for_changes() {
        let cookie = ("cookie", "a=b; gristmill_session=gm_x; c=d");
        let token = Ok(Some("Bearer gm_x".to_owned()));
        assert_eq!(admitted(Method::GET, &[cookie]), token);
        assert_eq!(admitted(Method::HEAD, &[cookie]), token);
        assert_eq!(admitted(Method::POST, &[cookie, (OWN_HEADER, "1")]), token);
        for method in [Method::POST, Method::DELETE, Method::PATCH, Method::PUT] {
            assert_eq!(admitted(method, &[cookie]), Err("cross_site"));
        }
        let both = [cookie, ("authorization", "Bearer gm_y")];
        assert_eq!(admitted(Method::POST, &both), Ok(Some("Bearer gm_y".to_owned())), "the cookie does not count then");
        assert_eq!(admitted(Method::POST, &[]), Ok(None), "the handler asks for a token");
    }

    #[test]
    fn a_page_of_another_site_changes_nothing_whatever_it_sends() {
        let own = [("cookie", "gristmill_session=gm_x"), (OWN_HEADER, "1"), ("host", "localhost:5555")];
        let with = |headers: &[(&'static str, &'static str)]| {
            let all: Vec<_> = own.iter().chain(headers).copied().collect();
            admitted(Method::POST, &all).is_ok()
        };
        assert!(with(&[("sec-fetch-site", "same-origin"), ("origin", "https://behind.a.proxy")]));
        assert!(with(&[("origin", "http://localhost:5555")]));
        for headers in [
            [("sec-fetch-site", "cross-site"), ("origin", "http://localhost:5555")],
            [("sec-fetch-site", "same-site"), ("origin", "http://localhost:5555")],
            [("origin", "http://localhost:8080"), ("x", "y")],
            [("origin", "http://evil.example"), ("x", "y")],
            [("origin", "null"), ("x", "y")],
            [("origin", "http://localhost"), ("x", "y")],
            [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            [("origin", "http://localhost:5555"), ("origin", "http://localhost:5555")],
        ] {
            assert!(!with(&headers), "{headers:?}");
        }
    }
}
