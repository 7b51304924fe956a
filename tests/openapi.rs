//! The document: it has the routes that there are on each port, and the service keeps to it.

use std::collections::BTreeSet;
use std::fs;

use gristmill::http::problems::CATALOGUE;
use serde_json::{Value, json};

use crate::support::contract::is_on;
use crate::support::database::Database;
use crate::support::events::EVENTS;
use crate::support::http::Client;
use crate::support::lacks::skips;
use crate::support::python;
use crate::support::server::{Server, Setup};

/// Where routes stand, a line each.
const ROUTES: &str = include_str!("../src/http/routes.rs");
/// How schemathesis is told what it cannot know.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/openapi");
/// Examples for each operation and phase; the long form has more.
const EXAMPLES: &str = "10";
const EXAMPLES_VARIABLE: &str = "GRISTMILL_OPENAPI_EXAMPLES";
/// The tags of what the API's port does not have.
const OPERATIONS_TAGS: [&str; 2] = ["Dashboard", "Pipeline"];

fn document(server: &Server) -> Value {
    Client::new(server.address(), None).get("/openapi.json").json()
}

/// Path and method of every route that these functions of `routes.rs` name.
fn routes(functions: &[&str]) -> BTreeSet<(String, String)> {
    let of = |name: &&str| {
        let begin = ROUTES.find(&format!("fn {name}(")).expect("the function");
        ROUTES[begin..].split_once("\n}").expect("its end").0
    };
    let lines = functions.iter().map(of).flat_map(str::lines);
    let routes = lines.filter_map(|line| line.split_once(".service(at(\"")).flat_map(|(_, rest)| {
        let (path, rest) = rest.split_once("\", \"").expect("a path");
        let (methods, _) = rest.split_once('"').expect("its methods");
        let methods = methods.split(", ").filter(|method| *method != "HEAD");
        methods.map(|method| (path.to_owned(), method.to_ascii_lowercase())).collect::<Vec<_>>()
    });
    routes.collect()
}

/// Every operation with its path and its method.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("operations").iter();
        operations.extend(methods.map(|(method, operation)| (path.as_str(), method.as_str(), operation)));
    }
    operations
}

/// Path and method of every operation of the API's port, or of the operations port.
fn described(document: &Value, of_api: bool) -> BTreeSet<(String, String)> {
    let of_port = operations(document).into_iter().filter(|(_, _, operation)| is_on(operation, of_api));
    of_port.map(|(path, method, _)| (path.to_owned(), method.to_owned())).collect()
}

#[test]
fn the_document_has_every_route_of_each_port_and_no_other() {
    let server = Server::start(&Database::sqlite());
    let document = document(&server);
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(described(&document, true), routes(&["api", "shared", "both"]));
    assert_eq!(described(&document, false), routes(&["operations_of", "shared", "both"]));
    assert_eq!(server.dashboard().get("/openapi.json").json(), document, "it is the same on both ports");
    let nobody = Client::new(server.dashboard_address(), None).get("/openapi.json");
    assert_eq!(nobody.status, 401, "on the operations port it is for whoever has a token: {nobody:?}");
}

#[test]
fn operations_have_ids_of_their_own_and_tags_tell_those_of_the_operations_port() {
    let document = document(&Server::start(&Database::sqlite()));
    let tags: Vec<&str> =
        document["tags"].as_array().expect("tags").iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().expect("an id");
        assert!(ids.insert(id), "{id} is there twice");
        let tag = operation["tags"][0].as_str().expect("a tag");
        assert!(tags.contains(&tag), "{tag}");
        assert_eq!(OPERATIONS_TAGS.contains(&tag), !is_on(operation, true), "{method} {path}");
    }
}

#[test]
fn every_problem_but_those_of_no_operation_is_in_the_document() {
    let known = codes(&document(&Server::start(&Database::sqlite())));
    let codes = CATALOGUE.iter().map(|entry| entry.code);
    let missing: Vec<&str> = codes.filter(|code| !known.contains(&format!("\"{code}\""))).collect();
    assert_eq!(missing, ["method_not_allowed"]);
}

/// Codes of problems that the document knows.
fn codes(document: &Value) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (_, _, operation) in operations(document) {
        for answer in operation["responses"].as_object().expect("responses").values() {
            let schema = &answer["content"]["application/problem+json"]["schema"]["allOf"][1];
            codes.extend(schema["properties"]["code"]["enum"].as_array().into_iter().flatten().map(Value::to_string));
        }
    }
    codes
}

#[test]
fn the_document_tells_the_limits_in_effect() {
    let setup = Setup::new(&Database::sqlite()).with_config("[limits]\nbatch_events = 7");
    let document = document(&Server::start(setup));
    assert_eq!(document.pointer("/components/schemas/NewBatch/anyOf/1/maxItems"), Some(&json!(7)), "{document}");
}

#[test]
fn every_reference_leads_somewhere_and_something_to_every_schema() {
    let document = document(&Server::start(&Database::sqlite()));
    let text = document.to_string();
    let references = text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().expect("its end"));
    let references: BTreeSet<&str> = references.collect();
    let dangling: Vec<&&str> = references.iter().filter(|pointer| document.pointer(pointer).is_none()).collect();
    assert!(dangling.is_empty(), "{dangling:?}");
    let schemas = document["components"]["schemas"].as_object().expect("schemas").keys();
    let idle: Vec<&String> =
        schemas.filter(|name| !references.contains(format!("/components/schemas/{name}").as_str())).collect();
    assert!(idle.is_empty(), "nothing leads to {idle:?}");
}

#[test]
fn the_page_has_every_operation_and_runs_and_loads_nothing() {
    let server = Server::start(&Database::sqlite());
    let page = Client::new(server.address(), None).get("/docs");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("script"), "{policy}");
    let text = page.body.to_lowercase();
    for forbidden in ["<script", "javascript:", "http:", "https:", "src=", "<link", "onload", "@import", "url("] {
        assert!(!text.contains(forbidden), "{forbidden} in the page");
    }
    let document = document(&server);
    for (path, _, operation) in operations(&document) {
        assert!(page.body.contains(&format!("<code>{path}</code>")), "{path}");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(page.body.contains(&format!("<details id=\"{id}\">")), "{id}");
    }
}

both_databases! {
    // Not with a stream of outcomes, which has no end, nor as one of several users, whom it is not told of; and tokens are all
    // that is deleted, of which one that was revoked is still there and says so.
    fn schemathesis_finds_no_answer_beside_the_document(database) {
        if skips(&[python::lacks()]) {
            return;
        }
        let mut server = Server::start(&database);
        let admin = server.client();
        let scopes = json!({"scopes": ["write", "read", "read:all", "operate", "admin"]});
        let token = admin.post_json("/api/v1/tokens", &scopes).json();
        let long_form = std::env::var(EXAMPLES_VARIABLE).ok();
        // What the short form looks at is the same in every run: news are for the long form to find.
        let seed = if long_form.is_some() { vec![] } else { vec!["--seed", "1"] };
        let examples = long_form.as_deref().unwrap_or(EXAMPLES);
        let file = server.data().join("openapi.json");
        fs::write(&file, document(&server).to_string()).expect("the data folder is ours");
        let output = python::program("schemathesis")
            .current_dir(server.data())
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("PYTHONPATH", FOLDER)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("OWN_TOKEN_ID", token["id"].to_string())
            .env("OWN_USER_ID", token["user_id"].to_string())
            .args(["--config-file", &format!("{FOLDER}/schemathesis.toml"), "run"])
            .arg(&file)
            .args(["--url", admin.base(), "--header", &format!("Authorization: Bearer {}", token["token"].as_str().expect("a secret"))])
            .args(["--exclude-operation-id", "streamOutcomes", "--checks", "all"])
            .args(OPERATIONS_TAGS.iter().flat_map(|tag| ["--exclude-tag", *tag]))
            .args(["--exclude-checks", "object_level_authorization,use_after_free", "--max-examples", examples])
            .args(seed)
            .args(["--request-timeout", "30", "--generation-database", "none", "--no-color", "--warnings", "off"])
            .output()
            .expect("schemathesis starts");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(told.contains("No issues found"), "{told}");
        let own = server.client_with(token["token"].as_str().expect("a secret"));
        assert_eq!(own.get(EVENTS).status, 200, "the service is well afterwards, and its token was left alone");
    }
}
