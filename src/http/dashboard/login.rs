//! Logging in and out. A session is a token that ends with the one it was opened with, and its cookie holds the token's
//! text: there is no second way to authenticate.

use std::time::{Duration, Instant};

use actix_web::cookie::{self, Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER,
};
use actix_web::web::{Data, Query};
use actix_web::{HttpRequest, HttpResponse};

use crate::clock;
use crate::http::access::{AnyToken, Authorised};
use crate::http::accounts::{not_changed, see_change};
use crate::http::body::{self, RequestBody};
use crate::http::bounds::STORE_WAIT;
use crate::http::credentials::{Credentials, Origin};
use crate::http::error::{ApiError, whole_seconds};
use crate::http::html::escaped;
use crate::http::problems::Problem;
use crate::http::state::AppState;
use crate::telemetry::audit;

/// The path of the login.
pub const PATH: &str = "/login";
const PAGE: &str = include_str!("assets/login.html");
/// Where the page says what went wrong.
const MESSAGE_PLACE: &str = "<!-- message -->";
/// The cookie that holds a session.
pub const COOKIE: &str = "gristmill_session";
/// A day's work; a token that ends sooner takes its sessions along.
const SESSION_LASTS: Duration = Duration::from_secs(12 * 3_600);
/// Longest form that is read.
const FORM_BYTES_MAX: usize = 4_096;

/// `GET /login`.
pub async fn form(authorised: Option<Authorised<AnyToken>>) -> Result<HttpResponse, ApiError> {
    if authorised.is_some() {
        return Ok(HttpResponse::SeeOther().insert_header((LOCATION, "/")).finish());
    }
    Ok(page(StatusCode::OK, ""))
}

/// `POST /login`: a session for the token in the form.
pub async fn enter(state: Data<AppState>, request: HttpRequest, body: RequestBody) -> Result<HttpResponse, ApiError> {
    let address = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let error = match open(&state, &request, body).await {
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    let problem = error.problem().entry();
    if problem.status.is_client_error() && error.problem() != Problem::RateLimited {
        audit::login_refused(&address.map_or_else(String::new, |address| address.to_string()), problem.code);
    }
    let mut response = page(problem.status, error.detail());
    if let Some(delay) = error.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
    }
    Ok(response)
}

async fn open(state: &AppState, request: &HttpRequest, body: RequestBody) -> Result<HttpResponse, ApiError> {
    let origin = Origin::of(request);
    let limits = state.body_limits.with_bytes_max(FORM_BYTES_MAX);
    let form = body::read(request.headers(), body, &limits, |_| Ok(())).await;
    let credentials = match form.and_then(|form| Credentials::read(&bearer(&form)?, origin)) {
        Ok(credentials) => credentials,
        // Each refusal is a line in the log, so a form without a token counts as an unknown token does.
        Err(error) => {
            state.auth.unknown.admit(origin)?;
            state.auth.unknown.note(origin, Instant::now());
            return Err(error);
        }
    };
    // And one that is remembered as unknown counts again.
    state.auth.forget_unknown(&credentials.hash);
    let caller = state.auth.authenticate(credentials).await?;
    let by = state.principal(&caller);
    let opened = state.store.open_session(caller.token_id, SESSION_LASTS, clock::now(), &by, STORE_WAIT).await?;
    let Some((session, secret)) = opened else {
        return Err(ApiError::unauthorized(true, "the token opens no session: it has ended, or is a session itself"));
    };
    audit::session_opened(session.id, session.user_id, caller.token_id);
    let cookie = session_cookie(secret.expose(), SESSION_LASTS);
    Ok(HttpResponse::SeeOther().insert_header((LOCATION, "/")).cookie(cookie).finish())
}

/// The form's token as the header that carries tokens.
fn bearer(form: &[u8]) -> Result<HeaderMap, ApiError> {
    let text = std::str::from_utf8(form).unwrap_or_default();
    let pairs = Query::<Vec<(String, String)>>::from_query(text).map(Query::into_inner).unwrap_or_default();
    let token = pairs.into_iter().find(|(name, _)| name == "token").map(|(_, token)| token).unwrap_or_default();
    let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
    let value = value.map_err(|_| ApiError::unauthorized(true, "the token has characters that no token has"))?;
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

/// `POST /logout`: ends the session, or nothing if the request came with another token.
pub async fn leave(
    state: Data<AppState>,
    Authorised { caller, .. }: Authorised<AnyToken>,
) -> Result<HttpResponse, ApiError> {
    if let Some(parent_id) = caller.parent_id {
        let by = state.principal(&caller);
        if state
            .store
            .close_session(caller.token_id, parent_id, clock::now(), &by, STORE_WAIT)
            .await
            .map_err(not_changed)?
        {
            audit::session_closed(caller.token_id, parent_id);
        }
        see_change(&state).await;
    }
    Ok(HttpResponse::NoContent().cookie(session_cookie("", Duration::ZERO)).finish())
}

fn session_cookie(secret: &str, lasts: Duration) -> Cookie<'_> {
    let lasts = cookie::time::Duration::try_from(lasts).expect("a session lasts hours");
    Cookie::build(COOKIE, secret).http_only(true).same_site(SameSite::Strict).path("/").max_age(lasts).finish()
}

/// The form, with what went wrong before it.
pub(super) fn page(status: StatusCode, message: &str) -> HttpResponse {
    let message = if message.is_empty() {
        String::new()
    } else {
        format!("<p class=\"error\" role=\"alert\" id=\"message\">{}</p>", escaped(message))
    };
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        // Without a referrer browsers do not say where a form comes from.
        .insert_header((REFERRER_POLICY, "same-origin"))
        .body(PAGE.replace(MESSAGE_PLACE, &message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_token_is_read_without_what_was_pasted_around_it() {
        let token = |form: &str| {
            let headers = bearer(form.as_bytes()).map_err(|error| error.detail().to_owned())?;
            Ok::<_, String>(headers.get(AUTHORIZATION).expect("it was put there").to_str().expect("ASCII").to_owned())
        };
        assert_eq!(token("token=gm_a-_9"), Ok("Bearer gm_a-_9".to_owned()));
        assert_eq!(token("x=y&token=+gm_a%0A"), Ok("Bearer gm_a".to_owned()));
        assert_eq!(token(""), Ok("Bearer ".to_owned()), "which no token is");
        assert!(token("token=a%0D%0AX: y").is_err());
    }
}
