//! `/problems`: the catalogue, where the `type` of a problem leads; JSON for programs, a page for browsers.
//!
//! Needs no token: what it says is the same for everyone. The page loads nothing and runs nothing.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, HeaderMap, VARY};
use schemars::JsonSchema;
use serde::Serialize;

use super::error::ApiError;
use super::html::{escaped, page, with_code};
use super::lists::weighed;
use super::problems::{CATALOGUE, CatalogueEntry, Problem};
use super::request::Call;
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

/// Every problem.
pub async fn all(call: Call) -> Result<HttpResponse, ApiError> {
    if !prefers_html(call.headers()) {
        return Ok(negotiated(json(
            StatusCode::OK,
            &Catalogue { data: CATALOGUE.iter().map(ProblemView::of).collect() },
        )));
    }
    let sections: String = CATALOGUE.iter().map(section).collect();
    Ok(negotiated(page("Problems", &sections)))
}

/// The problem of this code.
pub async fn one(call: Call) -> Result<HttpResponse, ApiError> {
    let code = call.request.match_info().query("code");
    let Some(entry) = CATALOGUE.iter().find(|entry| entry.code == code) else {
        let shown: String = code.chars().take(SHOWN_CHARS_MAX).collect();
        return Err(ApiError::new(Problem::NotFound, format!("there is no problem {shown:?}, /problems has them all")));
    };
    if !prefers_html(call.headers()) {
        return Ok(negotiated(json(StatusCode::OK, &ProblemView::of(entry))));
    }
    let content = format!("{}<p><a href=\"/problems\">All problems</a></p>", section(entry));
    Ok(negotiated(page(entry.title, &content)))
}

impl ProblemView {
    fn of(entry: &'static CatalogueEntry) -> Self {
        let CatalogueEntry { code, title, explanation, .. } = *entry;
        let (kind, status) = (path_of(entry), entry.status.as_u16());
        Self { code, kind, status, title, explanation, retryable: entry.is_retryable(false) }
    }
}

fn path_of(entry: &CatalogueEntry) -> String {
    format!("/problems/{}", entry.code)
}

fn section(entry: &CatalogueEntry) -> String {
    let again = if entry.is_retryable(false) { "The same request may succeed later." } else { "" };
    format!(
        "<h2><a href=\"{path}\">{code}</a></h2><p><strong>{status} {title}.</strong> {explanation} {again}</p>",
        path = escaped(&path_of(entry)),
        code = escaped(entry.code),
        status = entry.status.as_u16(),
        title = escaped(entry.title),
        explanation = with_code(entry.explanation),
    )
}

/// Caches must distinguish the two forms.
fn negotiated(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(VARY, ACCEPT.into());
    response
}

/// Whether `Accept` ranks HTML above JSON, which is the default.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let ranges: Vec<(&str, u16)> = weighed(headers, ACCEPT).collect();
    // The most specific range that names a type decides about it.
    let rank = |names: [&str; 3]| {
        let rank =
            |name: &&str| ranges.iter().find(|(range, _)| range.eq_ignore_ascii_case(name)).map(|(_, rank)| *rank);
        names.iter().find_map(rank).unwrap_or(0)
    };
    rank(["text/html", "text/*", "*/*"]) > rank(["application/json", "application/*", "*/*"])
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_browser_gets_html_and_a_program_json() {
        let html = |accept: &str| {
            prefers_html(TestRequest::default().insert_header((ACCEPT, accept)).to_http_request().headers())
        };
        for accept in [
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "TEXT/HTML",
            "text/*;q=0.2",
            "text/html;q=0.1",
            ",,text/html,",
        ] {
            assert!(html(accept), "{accept}");
        }
        for accept in [
            "*/*",
            "",
            "application/json",
            "application/problem+json",
            "text/html;q=0.5, application/json",
            "text/html;q=0, */*",
            "text/html;q=x",
            "text/html;q=inf, application/json;q=0.5",
            "text/html, application/json",
        ] {
            assert!(!html(accept), "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }
}
