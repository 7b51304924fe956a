//! The contract as a document: OpenAPI 3.1 of both ports, made of the types that are answered with, the catalogue of
//! problems and the limits in effect; and the same as a page.
//!
//! `routes` and this are compared by a test, and every answer of the integration tests is looked up in it. It names no
//! servers: their addresses depend on where the service runs, and a tool takes the one that gave it the document.

mod accounts;
mod dashboard;
mod events;
mod jobs;
mod operation;
mod page;
mod parameters;
mod pipeline;
mod schemas;
mod service;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde_json::{Map, Value, json};

use self::operation::{Operation, ServedOn};
use self::schemas::Schemas;
use super::access::{AnyToken, Authorised};
use super::dashboard::COOKIE;
use super::error::ApiError;
use super::state::AppState;
use super::{html, respond};
use crate::config::LimitsConfig;

pub use self::operation::{ON_API_PORT_ONLY, ON_OPERATIONS_PORT_ONLY};

const DESCRIPTION: &str = "JSON events in, durable processed rows out. A 2xx means that the event is durable. Errors are \
    `application/problem+json` with a stable `code`, explained at `/problems`, and say whether the same request is worth \
    sending again. Every path answers a method that it does not have with 405 `method_not_allowed`, every unknown path with \
    404 `not_found`. GET stands for HEAD as well, but for exports and streams. Bodies may be packed with gzip, br, zstd or \
    deflate; unknown members are ignored, and answers may get new ones. There are two ports. The operations port has the \
    dashboard, the pipeline and its control, and the part of the API that a dashboard needs. An operation that is on one of \
    them only says so in its description. On the operations port no rate is kept, and a session's cookie stands for its \
    token. What a page of another site may have sent is refused there with 403 `cross_site`, and a browser without a session \
    is sent to the login instead of a 401.";

/// The groups of operations, in the order of the page.
const TAGS: [(&str, &str); 9] = [
    (events::TAG, "Events are submitted, read and processed again."),
    (jobs::TAG, "All events that match a filter are processed again or cancelled."),
    (accounts::TOKENS, "Tokens and what they may do."),
    (accounts::USERS, "The users whose tokens and events they are."),
    (accounts::AUDIT, "Who changed what."),
    (service::SERVICE, "Figures, limits, health."),
    (service::DOCUMENTS, "What explains the API."),
    (dashboard::TAG, "The dashboard, on the operations port only."),
    (pipeline::TAG, "The pipeline and its control, on the operations port only."),
];

/// The document for a service with these limits.
pub fn document(limits: &LimitsConfig) -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations(&mut schemas, limits) {
        let method = operation.method.as_str().to_ascii_lowercase();
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[method] = operation.written();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gristmill",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "tags": TAGS.map(|(name, description)| json!({"name": name, "description": description})),
        "components": {
            "schemas": schemas.finish(&paths),
            "parameters": parameters::parameters(),
            "headers": parameters::headers(),
            "securitySchemes": security_schemes(),
        },
        "paths": paths,
    })
}

fn operations(schemas: &mut Schemas, limits: &LimitsConfig) -> Vec<Operation> {
    let mut operations = events::operations(schemas, limits);
    operations.extend(jobs::operations(schemas));
    operations.extend(accounts::operations(schemas));
    operations.extend(service::operations(schemas));
    let of_operations_port = dashboard::operations(schemas).into_iter().chain(pipeline::operations(schemas));
    operations.extend(of_operations_port.map(|operation| operation.on(ServedOn::Operations)));
    operations
}

fn security_schemes() -> Value {
    json!({
        "token": {"type": "http", "scheme": "bearer", "description": "A token with the scope that is named."},
        "session": {
            "type": "apiKey", "in": "cookie", "name": COOKIE,
            "description": "The session of a token, on the operations port. A change with it needs the header \
                `X-Gristmill-Request: 1`.",
        },
    })
}

/// `GET /openapi.json`; it needs no token, since it says the same to everyone.
pub async fn show(state: Data<AppState>) -> Result<HttpResponse, ApiError> {
    let bytes = state.document.get_or_init(|| document(&state.limits).to_string().into());
    Ok(respond::json_bytes(StatusCode::OK, bytes.clone()))
}

/// `GET /openapi.json` on the operations port, for any caller with a token.
pub async fn show_operations(state: Data<AppState>, _: Authorised<AnyToken>) -> Result<HttpResponse, ApiError> {
    show(state).await
}

/// `GET /docs`: the document as a page that loads nothing and runs nothing.
pub async fn browse(state: Data<AppState>) -> Result<HttpResponse, ApiError> {
    let content = state.docs_page.get_or_init(|| page::content(&document(&state.limits)));
    Ok(html::page("Gristmill: the API", content))
}
