//! The dashboard on the operations port: a page of our own script that calls the same routes as every other client.
//!
//! A user logs in with a token and gets a session, which is a token too (`login`); the cookie that holds it is turned
//! into the bearer token that it is before a handler is reached (`guard`). So what may be seen and done is decided in
//! one place, by scopes, and the page only leaves out what would be refused.

mod accept;
mod assets;
mod guard;
mod live;
mod live_outcomes;
mod login;
mod remote_node;
mod sse;

pub use assets::show as asset;
pub use guard::guard;
pub use live::follow;
pub use live_outcomes::{follow_event, follow_outcomes};
pub use login::{COOKIE, enter, form, leave};
pub use remote_node::follow_node;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, VARY};
use actix_web::{HttpRequest, HttpResponse};
use schemars::JsonSchema;
use serde::Serialize;

use self::accept::prefers_html;
use super::access::{AnyToken, Authorised};
use super::error::ApiError;
use super::ops;
use super::respond::{header_value, json};
use crate::domain::scopes::Scope;

/// The one page; everything else is loaded by it.
const SHELL: &str = include_str!("dashboard/assets/shell.html");

/// `GET /`: the dashboard for browsers, what there is on this port for programs; both need a token.
pub async fn index(request: HttpRequest, _: Authorised<AnyToken>) -> Result<HttpResponse, ApiError> {
    let mut response = if prefers_html(request.headers()) {
        HttpResponse::Ok().insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(SHELL)
    } else {
        ops::index()
    };
    response.headers_mut().append(VARY, header_value("accept".to_owned()));
    Ok(response)
}

/// Who is logged in, so that the page shows what this token may do.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Session")]
pub struct SessionView<'a> {
    user_id: i64,
    email: &'a str,
    token_id: i64,
    scopes: Vec<&'static str>,
    version: &'static str,
}

/// `GET /api/session`.
pub async fn session(Authorised { caller, .. }: Authorised<AnyToken>) -> Result<HttpResponse, ApiError> {
    let view = SessionView {
        user_id: caller.user_id,
        email: &caller.email,
        token_id: caller.token_id,
        scopes: caller.scopes.iter().map(Scope::name).collect(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(json(StatusCode::OK, &view))
}
