//! The contract as documents: OpenAPI 3.1 of each port, made of the types that are answered with, the catalogue of problems
//! and the limits in effect; and that of the API as a page.
//!
//! `routes` and this are compared by a test, and every answer of the integration tests is looked up in it.

mod accounts;
mod events;
mod jobs;
mod operation;
mod page;
mod parameters;
mod port;
mod schemas;
mod service;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use self::operation::Operation;
use self::schemas::Schemas;
use super::dashboard::COOKIE;
use super::error::ApiError;
use super::request::Call;
use super::respond;
use super::state::AppState;
use crate::config::LimitsConfig;

const DESCRIPTION: &str = "JSON events in, durable processed rows out. A 2xx means that the event is durable. Errors are \
    `application/problem+json` with a stable `code`, explained at `/problems`, and say whether the same request is worth \
    sending again. Every path answers a method that it does not have with 405 `method_not_allowed`, every unknown path with \
    404 `not_found`. GET stands for HEAD as well, but for exports and streams. Bodies may be packed with gzip, br, zstd or \
    deflate; unknown members are ignored, and answers may get new ones.";

const OF_OPERATIONS: &str = "The operations port: the dashboard, the pipeline and its control, and the part of the API that a \
    dashboard needs. No rate is kept here. A session's cookie stands for its token. What a page of another site may have sent \
    is refused with 403 `cross_site`, and a browser without a session is sent to the login instead of a 401.";

/// The document of the API for a service with these limits.
pub fn document(limits: &LimitsConfig) -> Value {
    let mut schemas = Schemas::new();
    let operations = of_api(&mut schemas, limits);
    written("Gristmill", DESCRIPTION, operations, schemas, json!({"token": token_scheme()}))
}

/// The document of the operations port.
pub fn document_of_operations(limits: &LimitsConfig) -> Value {
    let mut schemas = Schemas::new();
    let api = of_api(&mut schemas, limits);
    let operations = port::operations(&mut schemas, api);
    let security = port::security_schemes(&token_scheme(), COOKIE);
    written("Gristmill: operations", OF_OPERATIONS, operations, schemas, security)
}

fn of_api(schemas: &mut Schemas, limits: &LimitsConfig) -> Vec<Operation> {
    let mut operations = events::operations(schemas, limits);
    operations.extend(jobs::operations(schemas));
    operations.extend(accounts::operations(schemas));
    operations.extend(service::operations(schemas));
    operations
}

fn token_scheme() -> Value {
    json!({"type": "http", "scheme": "bearer", "description": "A token with the scope that is named."})
}

fn written(title: &str, description: &str, operations: Vec<Operation>, schemas: Schemas, security: Value) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
        let method = operation.method.as_str().to_ascii_lowercase();
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[method] = operation.written();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": env!("CARGO_PKG_VERSION"),
            "description": description,
            "license": {"name": env!("CARGO_PKG_LICENSE")},
        },
        "components": {
            "schemas": schemas.finish(&paths),
            "parameters": parameters::parameters(),
            "headers": parameters::headers(),
            "securitySchemes": security,
        },
        "paths": paths,
    })
}

/// `GET /openapi.json`; it needs no token, since it says the same to everyone.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    Ok(respond::json(StatusCode::OK, of(&call.state)))
}

/// `GET /openapi.json` on the operations port, for any caller with a token.
pub async fn show_operations(call: Call) -> Result<HttpResponse, ApiError> {
    call.caller().await?;
    let state = &call.state;
    let document = state.operations_document.get_or_init(|| document_of_operations(&state.limits));
    Ok(respond::json(StatusCode::OK, document))
}

/// `GET /docs`: the document as a page that loads nothing and runs nothing.
pub async fn browse(call: Call) -> Result<HttpResponse, ApiError> {
    Ok(page::of(of(&call.state)))
}

fn of(state: &AppState) -> &Value {
    state.document.get_or_init(|| document(&state.limits))
}
