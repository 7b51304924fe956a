//! The contract as a document: OpenAPI 3.1 of the API's port, made of the types that are answered with, the catalogue
//! of problems and the limits in effect; and the same as a page.
//!
//! `routes` and this are compared by a test, and every answer of the integration tests is looked up in it.

mod accounts;
mod events;
mod jobs;
mod operation;
mod page;
mod parameters;
mod schemas;
mod service;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use self::schemas::Schemas;
use super::error::ApiError;
use super::request::{self, Call};
use super::state::AppState;
use crate::config::Limits;

const DESCRIPTION: &str = "JSON events in, durable processed rows out. A 2xx means that the event is durable. Errors are \
    `application/problem+json` with a stable `code`, explained at `/problems`, and say whether the same request is worth \
    sending again. Every path answers a method that it does not have with 405 `method_not_allowed`, every unknown path with \
    404 `not_found`. GET stands for HEAD as well, but for exports and streams. Bodies may be packed with gzip, br, zstd or \
    deflate; unknown members are ignored, and answers may get new ones.";

/// The document for a service with these limits.
pub fn document(limits: &Limits) -> Value {
    let mut schemas = Schemas::new();
    let mut operations = events::operations(&mut schemas, limits);
    operations.extend(jobs::operations(&mut schemas));
    operations.extend(accounts::operations(&mut schemas));
    operations.extend(service::operations(&mut schemas));
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations {
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
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "parameters": parameters::parameters(),
            "headers": parameters::headers(),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token with the scope that is named."},
            },
        },
    })
}

/// `GET /openapi.json`; it needs no token, since it says the same to everyone.
pub async fn show(call: Call) -> Result<HttpResponse, ApiError> {
    Ok(request::json(StatusCode::OK, of(&call.state)))
}

/// `GET /docs`: the document as a page that loads nothing and runs nothing.
pub async fn browse(call: Call) -> Result<HttpResponse, ApiError> {
    Ok(page::of(of(&call.state)))
}

fn of(state: &AppState) -> &Value {
    state.document.get_or_init(|| document(&state.limits))
}
