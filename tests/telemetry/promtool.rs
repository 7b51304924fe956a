//! What Prometheus' own checker says of the page and of the alert rules.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::documents::ops;
use super::{METRICS, scrape};
use crate::support::database::Database;
use crate::support::events::{accepted, event};
use crate::support::lacks::{self, skips};
use crate::support::server::Server;

/// Where `./test` puts it, if it is not there already.
const FETCHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/promtool");

fn program() -> &'static str {
    if Path::new(FETCHED).exists() { FETCHED } else { "promtool" }
}

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it is installed");
    child.stdin.take().expect("it was asked for").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends")
}

/// Whether it finds nothing to say against this page.
fn is_clean(page: &str) -> Result<(), String> {
    let Output { status, stdout, stderr } = promtool(&["check", "metrics"], page);
    let words = [stdout, stderr].map(|words| String::from_utf8_lossy(&words).into_owned()).concat();
    if status.success() && words.is_empty() { Ok(()) } else { Err(format!("{status}: {words}")) }
}

#[test]
fn promtool_has_nothing_to_say_against_the_page() {
    if skips(&[lacks::program(program())]) {
        return;
    }
    assert!(is_clean("# HELP a A.\n# TYPE a counter\na 1\n").is_err(), "a counter without its ending passes");
    for database in [Database::sqlite(), Database::postgres()] {
        let mut server = Server::start(&database);
        let client = server.client();
        accepted(&client, &event("page_view"));
        assert_eq!(client.get(METRICS).status, 404);
        scrape(&server);
        let page = scrape(&server);
        assert_eq!(is_clean(&page.text), Ok(()), "{}", page.text);
    }
}

#[test]
fn promtool_takes_the_alert_rules_and_their_tests() {
    if skips(&[lacks::program(program())]) {
        return;
    }
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts-test.yml"]] {
        let output = Command::new(program()).args(arguments).current_dir(ops()).output().expect("it is installed");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
