//! Whether a request comes from a browser that wants a page, or from a program that wants JSON.

use actix_web::http::header::{ACCEPT, HeaderMap};

use crate::http::headers::weighed;

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
