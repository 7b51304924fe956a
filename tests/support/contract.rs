//! Holds every answer that a test client gets against the OpenAPI document: its port, status, media type and code.

use std::sync::LazyLock;

use gristmill::config::Config;
use gristmill::http::openapi;
use serde_json::Value;

use super::wire::Answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::document(&Config::defaults().limits));

/// What every answer of the operations port has, and no other.
const MARK_OF_OPERATIONS: &str = "cross-origin-resource-policy";

/// Panics if the document does not know of this answer. What no operation of the port stands for (unknown paths, other
/// methods) is not in it.
pub fn check(method: &str, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let is_of_api = answer.header(MARK_OF_OPERATIONS).is_none();
    let Some(operation) = operation(&method, path, is_of_api) else { return };
    let known = &operation["responses"][answer.status.to_string()];
    assert!(known.is_object(), "the document has no {} for {method} {path}: {answer:?}", answer.status);
    let media = answer.header("content-type").map(|kind| kind.split(';').next().unwrap_or_default().trim());
    // What actix answers by itself, before a handler is reached, has no body.
    let Some(media) = media else { return };
    let content = &known["content"][media];
    assert!(content.is_object(), "the document has no {media} for {} of {method} {path}: {answer:?}", answer.status);
    if media == "application/problem+json" && !answer.body.is_empty() {
        let codes = content["schema"]["allOf"][1]["properties"]["code"]["enum"].as_array().expect("codes");
        let code = &answer.json()["code"];
        assert!(codes.contains(code), "the document has no {code} for {} of {method} {path}", answer.status);
    }
}

/// The operation that answers; a path without anything that varies goes before one that has.
fn operation(method: &str, path: &str, is_of_api: bool) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let is_there = |item: &&Value| item.as_object().expect("operations").values().any(|one| is_on(one, is_of_api));
    let exact = paths.get(path).filter(is_there);
    let fitting = || paths.iter().filter(|(template, _)| fits(template, path)).map(|(_, item)| item).find(is_there);
    let operation = exact.or_else(fitting)?.get(method)?;
    is_on(operation, is_of_api).then_some(operation)
}

/// Whether an operation is on the API's port, or on the operations port.
pub fn is_on(operation: &Value, api: bool) -> bool {
    let other = if api { openapi::ON_OPERATIONS_PORT_ONLY } else { openapi::ON_API_PORT_ONLY };
    !operation["description"].as_str().unwrap_or_default().ends_with(other)
}

fn fits(template: &str, path: &str) -> bool {
    let same = |(wanted, given): (&str, &str)| wanted == given || (wanted.starts_with('{') && !given.is_empty());
    let wanted = template.split('/');
    let given = path.split('/');
    wanted.clone().count() == given.clone().count() && wanted.zip(given).all(same)
}
