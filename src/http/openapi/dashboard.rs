//! The operations of the dashboard: its page, its session, its files.

use actix_web::http::Method;
use serde_json::json;

use super::operation::Operation;
use super::schemas::{HTML, Schemas};
use crate::http::dashboard::SessionView;
use crate::http::ops::Index;
use crate::http::problems::Problem;

/// The tag of them; all are on the operations port alone.
pub const TAG: &str = "Dashboard";
/// Statuses under which the login is shown again.
const REFUSED: [u16; 8] = [400, 401, 408, 413, 415, 429, 500, 503];

/// All of them.
pub fn operations(schemas: &mut Schemas) -> Vec<Operation> {
    let page = || json!({"type": "string"});
    let asset = Operation::new(Method::GET, "/assets/{name}", TAG, "showAsset", "A file of the dashboard")
        .parameter("Asset")
        .answers_nothing(304, "It is still the one of `If-None-Match`")
        .problems(&[Problem::NotFound]);
    let log_in = Operation::new(Method::POST, "/login", TAG, "logIn", "Open a session for a token")
        .says("The cookie is the session, a token of the same user with the same scopes that ends with this one.")
        .form(json!({"type": "object", "required": ["token"], "properties": {"token": {"type": "string"}}}))
        .answers_nothing(303, "It is open")
        .with_header(303, "Location")
        .with_header(303, "Set-Cookie");
    vec![
        Operation::new(Method::GET, "/", TAG, "showDashboard", "The dashboard, or what there is on this port")
            .needs_token()
            .answers(200, "The paths of this port, for programs", schemas.of::<Index>())
            .answers_as(200, "", HTML, page()),
        Operation::new(Method::GET, "/login", TAG, "showLogin", "The page on which one logs in")
            .answers_as(200, "The page", HTML, page())
            .answers_nothing(303, "Who is known is sent to the dashboard")
            .with_header(303, "Location"),
        REFUSED.iter().fold(log_in, |operation, status| {
            operation.answers_as(*status, "No session; the page says why", HTML, page())
        }),
        Operation::new(Method::POST, "/logout", TAG, "logOut", "End the session")
            .says("A token that is no session is left alone.")
            .needs_token()
            .answers_nothing(204, "There is no session now")
            .with_header(204, "Set-Cookie")
            .problems(&[Problem::OutcomeUnknown]),
        ["text/css", "image/svg+xml", "text/javascript"]
            .into_iter()
            .fold(asset, |operation, media| operation.answers_as(200, "The file", media, page())),
        Operation::new(Method::GET, "/api/session", TAG, "showSession", "Who the token's user is")
            .needs_token()
            .answers(200, "The user, and what the token may do", schemas.of::<SessionView<'_>>()),
    ]
}
