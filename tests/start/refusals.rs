//! When the server refuses to start: it says why and what to do, and ends with a code that tells.

use std::net::TcpListener;

use crate::support::database::Database;
use crate::support::events::{accepted, event, finished};
use crate::support::run;
use crate::support::server::{Server, Setup};
use crate::support::wait::{SOON, wait_for};

/// Starts a server that has to refuse; its exit code and what it said.
fn refusal(setup: Setup) -> (Option<i32>, String) {
    let mut server = Server::not_started(setup);
    server.spawn();
    let status = server.wait_exit(SOON);
    // The pipe is read by a thread of its own, which may be behind the process's end.
    wait_for("a reason", SOON, || (!server.log().is_empty()).then_some(()), || format!("{status}, but no word"));
    (status.code(), server.log())
}

#[test]
fn a_second_server_on_the_same_folder_or_file_is_refused_and_commands_work_beside_it() {
    let database = Database::sqlite();
    let mut server = Server::start(&database);
    let same_folder = Setup::new(&Database::sqlite()).with_data(server.data().to_owned());
    let (code, text) = refusal(same_folder);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&server.data().display().to_string()), "the folder is named: {text}");
    let (code, text) = refusal(Setup::new(&database));
    assert_eq!(code, Some(1), "{text}");
    let file = database.url().trim_start_matches("sqlite://");
    assert!(text.contains(file), "the file is named: {text}");
    assert_eq!(server.client().get("/health/ready").status, 200, "the first one is not disturbed");
    assert!(server.setup().run(&["user", "list"]).contains('@'));
    server.kill9();
    server.restart();
}

// Guards the lock on the file itself in `lock_database`, and `refuse_second_name`.
#[test]
fn a_second_server_on_the_same_file_is_refused_under_every_name_of_it() {
    let database = Database::sqlite();
    let mut server = Server::start(&database);
    let id = accepted(&server.client(), &event("before"));
    let file = database.url().trim_start_matches("sqlite://").to_owned();
    let elsewhere = run::folder("elsewhere");
    let [hard, soft, folder] = ["hard.db", "soft.db", "folder"].map(|name| elsewhere.join(name).display().to_string());
    std::fs::hard_link(&file, &hard).expect("one file system");
    std::os::unix::fs::symlink(&file, &soft).expect("the folder is ours");
    let real_folder = std::path::Path::new(&file).parent().expect("a file is in a folder");
    std::os::unix::fs::symlink(real_folder, &folder).expect("the folder is ours");
    let through_folder = format!("{folder}/gristmill.db");
    let through_proc = format!("/proc/{}/root{file}", server.pid());
    for name in [&hard, &soft, &through_folder, &through_proc] {
        let (code, text) = refusal(Setup::new(&Database::sqlite_at(name.as_ref())));
        assert_eq!(code, Some(1), "{name}: {text}");
        assert!(text.contains(&format!("another gristmill serve holds {name}")), "{text}");
    }
    accepted(&server.client(), &event("meanwhile"));

    // What is in the log beside the one name cannot be seen under the other.
    server.kill9();
    let linked = Setup::new(&Database::sqlite_at(hard.as_ref()));
    let listed = linked.command(&["user", "list"]);
    let listed = String::from_utf8_lossy(&listed.stderr).into_owned();
    let (code, served) = refusal(linked);
    assert_eq!(code, Some(1), "{served}");
    for text in [listed, served] {
        assert!(text.contains("hard.db has 2 names"), "{text}");
    }
    server.restart();
    assert_eq!(finished(&server.client(), id)["status"], "processed");
    assert_eq!(database.texts("SELECT event_name FROM events ORDER BY id"), ["before", "meanwhile"]);
}

#[test]
fn on_postgres_the_data_folder_is_held_too() {
    let database = Database::postgres();
    let server = Server::start(&database);
    let (code, text) = refusal(Setup::new(&database).with_data(server.data().to_owned()));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&server.data().display().to_string()), "{text}");
}

#[test]
fn a_database_missing_beside_its_identity_or_of_another_identity_is_refused() {
    let database = Database::sqlite();
    let mut server = Server::start(&database);
    server.kill9();
    let setup = server.setup().clone();
    let file = database.url().trim_start_matches("sqlite://").to_owned();
    let aside = run::folder("aside");
    for end in ["", "-wal", "-shm"] {
        let name = format!("{file}{end}");
        if std::fs::exists(&name).expect("the folder is ours") {
            std::fs::rename(&name, aside.join(format!("db{end}"))).expect("the folder is ours");
        }
    }
    let (code, text) = refusal(setup.clone());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains(&file), "{text}");
    assert!(!std::fs::exists(&file).expect("the folder is ours"), "no new database is made in its place");

    let mut other = Server::start(&Database::sqlite());
    other.terminate();
    other.wait_exit(SOON);
    let stranger = other.database().url().trim_start_matches("sqlite://").to_owned();
    std::fs::copy(&stranger, &file).expect("the folder is ours");
    let (code, text) = refusal(setup);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("identity"), "{text}");
}

#[test]
fn every_mistake_of_the_configuration_is_reported_at_once_with_exit_code_2() {
    let setup = Setup::new(&Database::sqlite())
        .with_config("colour = 1\nretry.max_retrys = 3\nactors.validators = 0\ntimeouts.flush = \"soon\"")
        .with_env("EVENT_RETRY_DELAY", "often")
        .with_env("GRISTMILL__HTTP__PROT", "1");
    let expected = [
        ("colour", "is unknown"),
        ("retry.max_retrys", "did you mean retry.max_retries?"),
        ("actors.validators is 0", "from 1 to 64"),
        ("timeouts.flush is \"soon\"", "allowed"),
        ("EVENT_RETRY_DELAY: retry.delay is \"often\"", "allowed"),
        ("http.prot", "is unknown"),
    ];
    let check = setup.command(&["config", "check"]);
    let (code, served) = refusal(setup);
    assert_eq!((code, check.status.code()), (Some(2), Some(2)), "{served}");
    let checked = format!("{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    for text in [served, checked] {
        for (thing, allowed) in expected {
            let found = text.lines().any(|line| line.contains(thing) && line.contains(allowed));
            assert!(found, "{thing} … {allowed} in\n{text}");
        }
    }
}

#[test]
fn a_port_in_use_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    for key in ["http.bind", "dashboard.bind"] {
        let setup = Setup::new(&Database::sqlite()).with_config(&format!("{key} = {address:?}"));
        let (code, text) = refusal(setup);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(&address) && text.contains(key), "{key} = {address}: {text}");
    }
}

#[test]
fn a_database_that_is_not_there_is_named_without_its_password() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let url = format!("postgres://ana:s3cret@{closed}/nowhere");
    let setup = Setup::new(&Database::sqlite()).with_config(&format!("database.url = {url:?}"));
    let output = setup.command(&["migrate"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&closed.to_string()), "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    let shown = setup.run(&["config", "show"]);
    assert!(!shown.contains("s3cret") && shown.contains("ana"), "{shown}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let database = Database::sqlite();
    let file = database.url().trim_start_matches("sqlite://").to_owned();
    let text = "this is somebody's diary\n".repeat(100);
    std::fs::write(&file, &text).expect("the folder is ours");
    let (code, said) = refusal(Setup::new(&database));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&file), "{said}");
    assert_eq!(std::fs::read_to_string(&file).expect("still there"), text);
}
