//! `/problems`: the catalogue, where the `type` of a problem leads.
//!
//! Needs no token: what it says is the same for everyone.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::ApiError;
use super::problems::{CATALOGUE, CatalogueEntry, Problem};
use super::respond::json;

/// Longest code that is repeated in an answer, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// What the catalogue says of a problem.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProblemEntry")]
pub struct ProblemView {
    code: &'static str,
    #[serde(rename = "type")]
    kind: String,
    status: u16,
    title: &'static str,
    explanation: &'static str,
    /// Without a key; see the problem's own `retryable`.
    retryable: bool,
}

/// Every problem.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ProblemCatalogue")]
pub struct Catalogue {
    data: Vec<ProblemView>,
}

/// `GET /problems`: every problem.
pub async fn list() -> Result<HttpResponse, ApiError> {
    Ok(json(StatusCode::OK, &Catalogue { data: CATALOGUE.iter().map(ProblemView::of).collect() }))
}

/// `GET /problems/{code}`: the problem of this code.
pub async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let code = request.match_info().query("code");
    let Some(entry) = CATALOGUE.iter().find(|entry| entry.code == code) else {
        let shown: String = code.chars().take(SHOWN_CHARS_MAX).collect();
        return Err(ApiError::new(Problem::NotFound, format!("there is no problem {shown:?}, /problems has them all")));
    };
    Ok(json(StatusCode::OK, &ProblemView::of(entry)))
}

impl ProblemView {
    fn of(entry: &'static CatalogueEntry) -> Self {
        let CatalogueEntry { code, title, explanation, .. } = *entry;
        let kind = format!("/problems/{code}");
        let status = entry.status.as_u16();
        Self { code, kind, status, title, explanation, retryable: entry.is_retryable(false) }
    }
}
