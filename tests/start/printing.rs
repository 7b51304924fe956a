//! Commands whose standard output or error is full, or closed by its reader.

use std::fs::File;
use std::io::{PipeReader, pipe};
use std::process::Stdio;

use crate::support::accounts::prefix_of;
use crate::support::database::Database;
use crate::support::events::{accepted, event};
use crate::support::run;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// An output whose reader has gone.
fn closed() -> Stdio {
    pipe().map(|(reader, writer)| (drop::<PipeReader>(reader), writer).1).expect("a pipe").into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("Linux has it").into()
}

/// Runs a command twice, its standard output being full and closed.
fn cannot_be_written(setup: &Setup, arguments: &[&str]) {
    for (output, is_closed) in [(full(), false), (closed(), true)] {
        let said =
            setup.gristmill(arguments).stdout(output).stderr(Stdio::piped()).output().expect("the binary starts");
        let text = String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(1), "{arguments:?}: {text}");
        let is_told = text.contains("cannot write the output: No space left on device");
        assert!(
            is_told != is_closed && !text.contains("panic") && !text.contains("Broken pipe"),
            "{arguments:?}: {text}"
        );
    }
}

#[test]
fn a_command_whose_output_takes_nothing_fails_and_says_so_unless_its_reader_has_gone() {
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    let setup = server.setup().clone();
    let id = accepted(&client, &event("page_view")).to_string();
    std::fs::write(server.data().join("one.ndjson"), format!("{}\n", event("imported"))).expect("the folder is ours");
    setup.create_user("ana@example.org");
    let tokens = [(); 2].map(|()| setup.create_token("ana@example.org", "read"));
    let commands: [&[&str]; 26] = [
        &["--help"],
        &["--version"],
        &["migrate"],
        &["config", "show"],
        &["config", "check"],
        &["user", "list"],
        &["user", "list", "--json"],
        &["user", "disable", "ana@example.org"],
        &["user", "enable", "ana@example.org"],
        &["token", "list"],
        &["token", "list", "--json"],
        &["token", "create", "--user", "ana@example.org", "--scopes", "read"],
        &["token", "create", "--user", "ana@example.org", "--scopes", "read", "--json"],
        &["token", "rotate", prefix_of(&tokens[0])],
        &["token", "revoke", prefix_of(&tokens[1])],
        &["spool", "status"],
        &["spool", "status", "--json"],
        &["spool", "verify"],
        &["spool", "drain"],
        &["send", "--name", "a", "--type", "b"],
        &["export"],
        &["stats"],
        &["pipeline", "show"],
        &["pipeline", "resume"],
        &["retry", &id],
        &["retry", "--status", "failed", "--dry-run"],
    ];
    for command in commands {
        cannot_be_written(&setup, command);
    }
    for command in [&["top", "--once"][..], &["stats", "--json"], &["import", "one.ndjson"]] {
        cannot_be_written(&setup, command);
    }
    for output in [full(), closed()] {
        let email = format!("{}@example.org", run::number());
        let status = setup.gristmill(&["user", "create", &email]).stdout(output).stderr(Stdio::null()).status();
        assert_eq!(status.expect("the binary starts").code(), Some(1));
    }
}

#[test]
fn a_tail_ends_with_its_reader() {
    let mut server = Server::start(&Database::sqlite());
    let client = server.client();
    for output in [full(), closed()] {
        let mut tail =
            server.setup().gristmill(&["tail"]).stdout(output).stderr(Stdio::null()).spawn().expect("it starts");
        let _guard = run::Guard::new(&tail, run::Ending::Kill);
        let ended = || {
            accepted(&client, &event("page_view"));
            tail.try_wait().expect("a child can be waited for")
        };
        let status = wait_for("the end of the tail", SOON, ended, String::new);
        assert_eq!(status.code(), Some(1));
    }
}

#[test]
fn remarks_and_complaints_that_find_no_reader_change_no_exit_code() {
    let setup = Setup::new(&Database::sqlite());
    setup.run(&["migrate"]);
    setup.create_user("ana@example.org");
    let with_complaint = |arguments: &[&str], complaint: Stdio| {
        let output = setup.gristmill(arguments).stderr(complaint).stdout(Stdio::piped()).output();
        let output = output.expect("the binary starts");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    for complaint in [full, closed] {
        let (code, token) =
            with_complaint(&["token", "create", "--user", "ana@example.org", "--scopes", "read"], complaint());
        assert_eq!((code, token.starts_with("gm_")), (Some(0), true), "{token}");
        assert_eq!(with_complaint(&["user", "disable", "nobody@example.org"], complaint()).0, Some(1));
        assert_eq!(with_complaint(&["fly"], complaint()).0, Some(2));
        assert_eq!(with_complaint(&["--set", "colour=1", "config", "check"], complaint()).0, Some(2));
    }
}
