//! Holds every answer that a test client gets against the OpenAPI document of its port: its status, its media type, its code.

use std::sync::LazyLock;

use gristmill::config::Config;
use gristmill::http::openapi;
use serde_json::Value;

use super::wire::Answer;

static API: LazyLock<Value> = LazyLock::new(|| openapi::document(&Config::defaults().limits));
static OPERATIONS: LazyLock<Value> = LazyLock::new(|| openapi::document_of_operations(&Config::defaults().limits));

/// What every answer of the operations port has, and no other.
const MARK_OF_OPERATIONS: &str = "cross-origin-resource-policy";

/// Panics if the document does not know of this answer. What no operation stands for (unknown paths, other methods) is
/// not in it.
pub fn check(method: &str, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let document = if answer.header(MARK_OF_OPERATIONS).is_some() { &OPERATIONS } else { &API };
    let Some(operation) = operation(document, &method, path) else { return };
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
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> Option<&'a Value> {
    let paths = document["paths"].as_object().expect("paths");
    let item =
        paths.get(path).or_else(|| paths.iter().find(|(template, _)| fits(template, path)).map(|(_, item)| item));
    item.and_then(|item| item.get(method))
}

fn fits(template: &str, path: &str) -> bool {
    let same = |(wanted, given): (&str, &str)| wanted == given || (wanted.starts_with('{') && !given.is_empty());
    let (wanted, given) = (template.split('/'), path.split('/'));
    wanted.clone().count() == given.clone().count() && wanted.zip(given).all(same)
}
