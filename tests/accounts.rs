//! Users and tokens over HTTP, and what a token of the scope `admin` cannot do.

mod audit;
mod tokens;
mod users;

use serde_json::Value;

use crate::support::http::{Answer, Client};

const TOKENS: &str = "/api/v1/tokens";
const USERS: &str = "/api/v1/users";

/// PATCH with a text that claims to be JSON.
fn patch(client: &Client, path: &str, body: &str) -> Answer {
    client.call("PATCH", path, &[("Content-Type", "application/json")], Some(body.as_bytes()))
}

/// The body of an answer with this status.
fn body(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    answer.json()
}

/// Asserts a problem of this code, with exactly these pointers in its `errors`.
fn assert_refused(what: &str, answer: &Answer, status: u16, code: &str, pointers: &[&str]) {
    assert_eq!(answer.status, status, "{what} gets {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what} gets {answer:?}");
    let problem = answer.json();
    assert_eq!(problem["code"], code, "{what} gets {problem}");
    assert_eq!(problem["retryable"], false, "{what} gets {problem}");
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert_eq!(found, pointers, "{what} gets {problem}");
    assert!(problem.get("outcome").is_none(), "no event was refused: {problem}");
}

/// Every page of a list, at this limit, by `next_cursor` and by `Link`, which have to agree.
fn walk(client: &Client, path: &str, limit: usize) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut next = format!("{path}limit={limit}");
    loop {
        let answer = client.get(&next);
        let page = body(&answer, 200);
        let data = page["data"].as_array().unwrap_or_else(|| panic!("no page: {page}"));
        assert!(data.len() <= limit, "{page}");
        rows.extend(data.iter().cloned());
        let link = answer.header("link").map(|link| link.trim_start_matches('<').split('>').next().unwrap_or_default());
        match page["next_cursor"].as_str() {
            None => {
                assert_eq!(link, None, "{answer:?}");
                return rows;
            }
            Some(cursor) => {
                next = link.unwrap_or_else(|| panic!("no link: {answer:?}")).to_owned();
                assert!(next.contains(cursor), "{answer:?}");
            }
        }
    }
}

/// Bodies that are no object of fields, the same for every path that takes one.
fn assert_only_objects_are_taken(call: impl Fn(&str) -> Answer) {
    for text in ["", "{", "{}x", "[1", "{'a':1}", "{\"email\":\"\u{1}\"}"] {
        assert_refused(text, &call(text), 400, "invalid_json", &[]);
    }
    for text in ["[]", "1", "null", "\"a\""] {
        assert_refused(text, &call(text), 422, "invalid_field", &[""]);
    }
    let long = format!("{{\"email\":\"{}\"}}", "a".repeat(70_000));
    assert_refused("a long body", &call(&long), 413, "body_too_large", &[]);
}
