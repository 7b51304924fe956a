//! `/problems`: the catalogue for whoever follows the `type` of a problem; JSON for programs, a page for browsers.
//!
//! Needs no token: what it says is the same for everyone. The page loads nothing and runs nothing.

use std::fmt::Write;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, VARY, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;

use super::error::ApiError;
use super::problems::{CATALOGUE, Entry, Problem};
use super::request::{Call, json};

/// Longest code that is repeated in an answer, in characters.
const SHOWN_CHARS_MAX: usize = 40;
/// What the page may load: its own style, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:45rem;margin:2rem auto;padding:0 1rem;\
    color:#222;background:#fff}code{font-family:ui-monospace,monospace}a{color:#0a58ca}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}a{color:#8ab4f8}}";

#[derive(Serialize)]
struct View {
    code: &'static str,
    #[serde(rename = "type")]
    kind: String,
    status: u16,
    title: &'static str,
    explanation: &'static str,
    /// Without a key; see the problem's own `retryable`.
    retryable: bool,
}

#[derive(Serialize)]
struct Catalogue {
    data: Vec<View>,
}

/// Every problem.
pub async fn all(call: Call) -> Result<HttpResponse, ApiError> {
    if !prefers_html(call.headers()) {
        return Ok(negotiated(json(StatusCode::OK, &Catalogue { data: CATALOGUE.iter().map(View::of).collect() })));
    }
    let sections: String = CATALOGUE.iter().map(section).collect();
    Ok(page("Problems", &sections))
}

/// The problem of this code.
pub async fn one(call: Call) -> Result<HttpResponse, ApiError> {
    let code = call.request.match_info().query("code");
    let Some(entry) = CATALOGUE.iter().find(|entry| entry.code == code) else {
        let shown: String = code.chars().take(SHOWN_CHARS_MAX).collect();
        return Err(ApiError::new(Problem::NotFound, format!("there is no problem {shown:?}, /problems has them all")));
    };
    if !prefers_html(call.headers()) {
        return Ok(negotiated(json(StatusCode::OK, &View::of(entry))));
    }
    Ok(page(entry.title, &format!("{}<p><a href=\"/problems\">All problems</a></p>", section(entry))))
}

impl View {
    fn of(entry: &'static Entry) -> Self {
        let Entry { code, title, explanation, .. } = *entry;
        let (kind, status) = (path_of(entry), entry.status.as_u16());
        Self { code, kind, status, title, explanation, retryable: entry.is_retryable(false) }
    }
}

fn path_of(entry: &Entry) -> String {
    format!("/problems/{}", entry.code)
}

fn section(entry: &Entry) -> String {
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

fn page(title: &str, content: &str) -> HttpResponse {
    let title = escaped(title);
    let text = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\
         <body><h1>{title}</h1>{content}</body></html>"
    );
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/html; charset=utf-8"));
    response.insert_header((CONTENT_SECURITY_POLICY, POLICY));
    response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    negotiated(response.body(text))
}

/// Caches must keep the two forms apart.
fn negotiated(mut response: HttpResponse) -> HttpResponse {
    response.headers_mut().insert(VARY, ACCEPT.into());
    response
}

/// `text` for HTML; what stands between backticks becomes code.
fn with_code(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escaped(part);
        // Writing to a string cannot fail.
        let _ = if index % 2 == 1 { write!(html, "<code>{part}</code>") } else { write!(html, "{part}") };
    }
    html
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

/// Whether `Accept` ranks HTML above JSON, which is the default.
fn prefers_html(headers: &HeaderMap) -> bool {
    let ranges: Vec<(String, f32)> = headers
        .get_all(ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(range)
        .collect();
    // The most specific range that names a type decides about it.
    let rank = |names: [&str; 3]| {
        let rank = |name: &&str| ranges.iter().find(|(range, _)| range == name).map(|(_, rank)| *rank);
        names.iter().find_map(rank).unwrap_or(0.0)
    };
    rank(["text/html", "text/*", "*/*"]) > rank(["application/json", "application/*", "*/*"])
}

/// A media range and its quality, 1 if it has none.
fn range(text: &str) -> (String, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (range, quality.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
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
            "text/html, application/json",
        ] {
            assert!(!html(accept), "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn nothing_gets_into_the_page_as_markup() {
        assert_eq!(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
        assert_eq!(with_code("send `<b>` & `x`."), "send <code>&lt;b&gt;</code> &amp; <code>x</code>.");
    }
}
