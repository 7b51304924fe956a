//! The section `[tracing]`: what is taken, refused and never shown.

use super::{TRACE, post_traced};
use crate::support::collector::Collector;
use crate::support::database::Database;
use crate::support::events::event;
use crate::support::server::{Server, Setup};

fn said(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.command(arguments);
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_collector_gets_the_headers_and_nobody_else_sees_them() {
    let collector = Collector::start();
    let setup = Setup::new(&Database::sqlite()).with_config(&collector.config()).with_config("log.level = \"debug\"");
    let setup = setup.with_config("tracing.headers = \"authorization=Bearer%20s3cret,x-scope=a\"");
    let shown = said(&setup, &["config", "show"]);
    assert!(shown.contains("headers = \"***\"") && !shown.contains("s3cret"), "{shown}");
    let mut server = Server::start(setup);
    post_traced(&server.client(), &event("traced"));
    collector.await_spans(TRACE, |spans| !spans.is_empty());
    let heads = collector.heads().to_lowercase();
    assert!(heads.contains("authorization: bearer s3cret\r\n") && heads.contains("x-scope: a\r\n"), "{heads}");
    assert!(!server.log().contains("s3cret"), "{}", server.log());
}

#[test]
fn opentelemetrys_variables_set_the_collector_and_the_name() {
    let collector = Collector::start();
    let endpoint = collector.config().split('"').nth(1).expect("an address").to_owned();
    let setup = Setup::new(&Database::sqlite())
        .with_env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .with_env("OTEL_EXPORTER_OTLP_HEADERS", "x-scope=b")
        .with_env("OTEL_SERVICE_NAME", "mill");
    let mut server = Server::start(setup);
    post_traced(&server.client(), &event("traced"));
    let spans = collector.await_spans(TRACE, |spans| !spans.is_empty());
    assert_eq!(spans[0].resource("service.name"), "mill");
    assert!(collector.heads().to_lowercase().contains("x-scope: b\r\n"), "{}", collector.heads());
}

#[test]
fn wrong_settings_are_reported_without_their_secrets() {
    for (config, expected) in [
        (
            "tracing.endpoint = \"https://collector:4318\"",
            "tracing.endpoint is \"https://collector:4318\", allowed: \"\", or http://",
        ),
        (
            "tracing.endpoint = \"http://user:s3cret@collector\"",
            "tracing.endpoint is \"http://user:***@collector\", allowed: ",
        ),
        ("tracing.headers = \"s3cret\"", "tracing.headers is ***, allowed: name=value,name=value"),
        ("tracing.ratio = 1.5", "tracing.ratio is 1.5, allowed: a number from 0 to 1"),
    ] {
        let told = said(&Setup::new(&Database::sqlite()).with_config(config), &["config", "check"]);
        assert!(told.contains(expected) && !told.contains("s3cret"), "{config}: {told}");
    }
}
