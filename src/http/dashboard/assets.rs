//! The files of the dashboard, compiled in: nothing is built, and nothing is loaded from other servers.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

use crate::http::error::ApiError;
use crate::http::headers::elements;
use crate::http::problems::Problem;

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name, media type and content of each.
const ASSETS: [(&str, &str, &str); 19] = [
    ("style.css", "text/css; charset=utf-8", include_str!("assets/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("app.js", SCRIPT, include_str!("assets/app.js")),
    ("api.js", SCRIPT, include_str!("assets/api.js")),
    ("audit.js", SCRIPT, include_str!("assets/audit.js")),
    ("chart.js", SCRIPT, include_str!("assets/chart.js")),
    ("dom.js", SCRIPT, include_str!("assets/dom.js")),
    ("event.js", SCRIPT, include_str!("assets/event.js")),
    ("events.js", SCRIPT, include_str!("assets/events.js")),
    ("exact.js", SCRIPT, include_str!("assets/exact.js")),
    ("failures.js", SCRIPT, include_str!("assets/failures.js")),
    ("jobs.js", SCRIPT, include_str!("assets/jobs.js")),
    ("live.js", SCRIPT, include_str!("assets/live.js")),
    ("nodes.js", SCRIPT, include_str!("assets/nodes.js")),
    ("overview.js", SCRIPT, include_str!("assets/overview.js")),
    ("pipeline.js", SCRIPT, include_str!("assets/pipeline.js")),
    ("times.js", SCRIPT, include_str!("assets/times.js")),
    ("tokens.js", SCRIPT, include_str!("assets/tokens.js")),
    ("users.js", SCRIPT, include_str!("assets/users.js")),
];

/// `GET /assets/{name}`; a browser caches it, and checks each time whether it is still the same.
pub async fn show(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let name = request.match_info().query("name");
    let found = ASSETS.iter().find(|(known, _, _)| *known == name);
    let (_, kind, content) = found.ok_or_else(|| ApiError::new(Problem::NotFound, "there is no such file"))?;
    let tag = tag(content);
    let mut response = if has(request.headers(), &tag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, tag.clone())).insert_header((CACHE_CONTROL, "no-cache"));
    if has(request.headers(), &tag) {
        return Ok(response.finish());
    }
    Ok(response.insert_header((CONTENT_TYPE, *kind)).body(*content))
}

/// Weak: the same content may be packed in several ways.
fn tag(content: &str) -> String {
    format!("W/\"{}\"", hex::encode(&Sha256::digest(content)[..8]))
}

/// Whether the browser has the file: how its copy was packed makes no difference.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim_start_matches("W/").to_owned();
    elements(headers, IF_NONE_MATCH).any(|known| known == "*" || opaque(known) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Action;

    #[test]
    fn every_file_is_named_once_and_loads_only_files_beside_it() {
        for (at, (name, _, content)) in ASSETS.iter().enumerate() {
            assert!(ASSETS[at + 1..].iter().all(|(other, _, _)| other != name), "{name}");
            for line in content.lines().filter(|line| line.starts_with("import ")) {
                let from = line.rsplit('"').nth(1).expect("where it comes from").trim_start_matches("./");
                assert!(ASSETS.iter().any(|(known, _, _)| *known == from), "{name}: {line}");
            }
        }
    }

    #[test]
    fn the_page_of_the_audit_log_offers_every_action() {
        let (_, _, page) = ASSETS.iter().find(|(name, _, _)| *name == "audit.js").expect("the page");
        let offered = page.split("const ACTIONS = [").nth(1).and_then(|rest| rest.split(']').next()).expect("its list");
        let offered: Vec<&str> = offered.split('"').skip(1).step_by(2).collect();
        assert_eq!(offered, Action::ALL.map(Action::as_str));
    }

    #[test]
    fn no_text_is_ever_made_into_markup() {
        for (name, _, content) in ASSETS {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                "http:",
                "https:",
            ] {
                // A namespace is a name, not an address.
                let content = content.replace("http://www.w3.org/2000/svg", "");
                assert!(!content.contains(forbidden), "{forbidden} in {name}");
            }
        }
    }
}
