//! `/problems`: what a problem's `type` leads to.

use std::fs;
use std::path::Path;

use gristmill::http::problems::CATALOGUE;
use serde_json::json;

use crate::support::database::Database;
use crate::support::events::keys;
use crate::support::http::Client;
use crate::support::server::Server;

/// Codes that no test can provoke: the operations port answers so in an instant of a stop.
const UNPROVOKED: [&str; 1] = ["pipeline_unavailable"];
/// What a browser accepts when a link is followed.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// Both ports, without a token.
fn nobody(server: &Server) -> [Client; 2] {
    [server.address(), server.dashboard_address()].map(|address| Client::new(address, None))
}

#[test]
fn every_problem_can_be_looked_up_on_both_ports_without_a_token() {
    let server = Server::start(&Database::sqlite());
    for client in nobody(&server) {
        let answer = client.get("/problems");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
        let all = answer.json()["data"].clone();
        assert_eq!(all.as_array().map(Vec::len), Some(CATALOGUE.len()));
        for (entry, listed) in CATALOGUE.iter().zip(all.as_array().expect("a list")) {
            let path = format!("/problems/{}", entry.code);
            let one = client.get(&path);
            assert_eq!((one.status, &one.json()), (200, listed), "{path}");
            assert_eq!(keys(listed), ["code", "explanation", "retryable", "status", "title", "type"]);
            assert_eq!((&listed["type"], &listed["code"]), (&json!(path), &json!(entry.code)));
            let browsing = client.call("GET", &path, &[("Accept", BROWSER)], None);
            assert_eq!((browsing.status, &browsing.json()), (200, listed), "a browser gets the same: {browsing:?}");
        }
    }
}

#[test]
fn an_unknown_problem_is_not_found() {
    let server = Server::start(&Database::sqlite());
    for client in nobody(&server) {
        for code in ["none", "NOT_FOUND", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "a%00"] {
            let answer = client.get(&format!("/problems/{code}"));
            let status = answer.status;
            let kind = answer.header("content-type");
            assert_eq!((status, kind), (404, Some("application/problem+json")), "{answer:?}");
        }
        let answer = client.post_text("/problems", "{}");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{answer:?}");
    }
}

#[test]
fn every_code_is_met_by_some_test() {
    let tests = source_of(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")));
    let codes = CATALOGUE.iter().map(|entry| entry.code);
    let unmet: Vec<&str> = codes.filter(|code| !tests.contains(&format!("\"{code}\""))).collect();
    assert_eq!(unmet, UNPROVOKED);
}

/// The text of all tests but this one and that of the document, which name codes without meeting them.
fn source_of(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("it can be read").path()) {
        let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if entry.is_dir() {
            text += &source_of(&entry);
        } else if name.ends_with(".rs") && !["problems.rs", "openapi.rs"].contains(&name.as_str()) {
            text += &fs::read_to_string(&entry).expect("it can be read");
        }
    }
    text
}
