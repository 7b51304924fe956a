//! `gristmill top`: a snapshot as text, and the screen in a terminal, which is given back whatever happens.

use std::process::Command;

use serde_json::json;

use super::run;
use crate::support::database::Database;
use crate::support::events::{EVENTS, accepted, event, finished};
use crate::support::lacks::{self, skips};
use crate::support::postgres::free_port;
use crate::support::run::{is_alive, signal};
use crate::support::server::{Server, Setup};
use crate::support::terminal::{GIVEN_BACK, Terminal};
use crate::support::wait::{SOON, wait_for};

/// The words of the line that begins with this one.
fn row<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let row = text.lines().find(|line| line.split_whitespace().next() == Some(first));
    row.unwrap_or_else(|| panic!("no {first} in\n{text}")).split_whitespace().collect()
}

/// A server with an event whose name would clear the screen and retitle the terminal.
fn server_with_a_nasty_event(database: &Database) -> Server {
    let mut server = Server::start(Setup::new(database).with_config("node.name = \"mill\""));
    let client = server.client();
    for _ in 0..3 {
        finished(&client, accepted(&client, &event("a")));
    }
    let nasty = json!({"event_name": "bad\u{1b}[2Jname\u{1b}]0;gone\u{7}", "payload": {}});
    assert_eq!(client.post_json(EVENTS, &nasty).status, 422);
    server
}

fn terminal(setup: &Setup, arguments: &[&str]) -> Terminal {
    Terminal::start(&setup.gristmill(arguments))
}

/// The screen was given back, with the terminal as it was, and the command ended with this code.
#[track_caller]
fn assert_given_back(told: &str, code: i32) {
    let (_, after) = told.rsplit_once(GIVEN_BACK).unwrap_or_else(|| panic!("the screen was not left: {told:?}"));
    assert!(after.contains("given back") && after.contains(&format!("code={code}\r\n")), "{after:?}");
    assert!(!told.contains("panicked"), "{told:?}");
    let shown = told.rfind("\u{1b}[?25h").unwrap_or_else(|| panic!("the cursor stays hidden: {told:?}"));
    assert!(told.rfind("\u{1b}[?25l").is_some_and(|hidden| hidden < shown), "{told:?}");
}

both_databases! {
    fn a_snapshot_is_printed_when_asked_for_and_where_there_is_no_terminal(database) {
        let server = server_with_a_nasty_event(&database);
        for arguments in [&["top", "--once"][..], &["top"]] {
            let said = run(server.setup(), arguments, 0);
            let text = &said.out;
            assert!(text.starts_with(&format!("gristmill at http://{}, node mill, the line is running", server.dashboard_address())), "{text}");
            assert_eq!((row(text, "processed")[2], row(text, "refused")[2]), ("3", "1"), "{text}");
            assert_eq!((row(text, "p99").last(), row(text, "pending").last()), (Some(&"ms"), Some(&"0")), "{text}");
            assert_eq!(row(text, "validators"), ["validators", "running", "2/2", "0", "0"], "{text}");
            assert_eq!((row(text, "validator-1")[1], row(text, "mill")[1..3].to_vec()), ("running", vec!["*", "alive"]), "{text}");
            assert!(text.contains(r"bad\u{1b}[2Jname\u{1b}]0;gone\u{7}") && text.contains("missing_field"), "{text}");
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
            assert_eq!(said.err, "");
        }
        let wrong = run(server.setup(), &["top", "--once", "--token", "gm_wrong"], 1);
        assert!(wrong.err.contains("401") && wrong.out.is_empty(), "{}", wrong.err);
    }
}

#[test]
fn a_snapshot_of_a_server_that_is_away_is_a_failure() {
    let setup = Setup::new(&Database::sqlite());
    let away = run(&setup, &["top", "--once", "--url", "http://127.0.0.1:1", "--token", "x"], 1);
    assert!(away.err.contains("no answer from http://127.0.0.1:1"), "{}", away.err);
    run(&setup, &["top", "--interval", "1ms"], 2);
}

#[test]
fn the_screen_follows_the_keys_and_is_given_back_when_it_is_quit() {
    if skips(&[lacks::program("script")]) {
        return;
    }
    let server = server_with_a_nasty_event(&Database::sqlite());
    for quit in ["q", "\u{1b}", "\u{3}"] {
        let mut screen = terminal(server.setup(), &["top", "--interval", "200ms"]);
        for text in
            ["node mill, the line is running", "processed        0.0", " 3 75.0 %", "validators  running    2/2", "p99"]
        {
            screen.shows(text);
        }
        screen.press("2");
        screen.shows("validator-1  running");
        screen.shows("mill * alive");
        screen.press("\t");
        screen.shows(r"bad\u{1b}[2Jname\u{1b}]0 refused missing_field");
        screen.press("?");
        screen.shows("q, Esc, Ctrl-C   quit");
        screen.press("?p");
        screen.shows("[paused: p goes on]");
        screen.press(quit);
        let told = screen.ended();
        assert_given_back(&told, 0);
        assert!(!told.contains("\u{1b}[2Jname") && !told.contains("\u{1b}]0;"), "{told:?}");
        assert!(told.contains("\u{1b}[38;5;"), "there are colours: {told:?}");
    }
}

#[test]
fn the_screen_grows_with_its_terminal_and_has_no_colours_where_none_are_wanted() {
    if skips(&[lacks::program("script")]) {
        return;
    }
    let server = Server::start(&Database::sqlite());
    let by_variable = server.setup().clone().with_env("NO_COLOR", "1");
    for (setup, arguments) in
        [(server.setup(), &["top", "--interval", "1h", "--no-color"][..]), (&by_variable, &["top", "--interval", "1h"])]
    {
        let mut screen = terminal(setup, arguments);
        screen.shows("q quit");
        assert!(screen.screen()[23].contains("q quit"), "{:?}", screen.screen());
        let tty = screen.said("tty=");
        let resized = Command::new("stty").args(["-F", &tty, "rows", "40", "cols", "120"]).status();
        assert!(resized.expect("stty is installed").success());
        let last = || screen.screen()[39].contains("q quit").then_some(());
        wait_for("the keys in the last line", SOON, last, || screen.screen().join("\n"));
        screen.press("2");
        screen.shows("validator-1  running");
        screen.press("q");
        let told = screen.ended();
        assert_given_back(&told, 0);
        for colour in ["\u{1b}[38;5;", "\u{1b}[48;5;", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[36m"] {
            assert!(!told.contains(colour), "{colour:?} is in {told:?}");
        }
    }
}

#[test]
fn a_signal_ends_the_screen_and_gives_the_terminal_back() {
    if skips(&[lacks::program("script")]) {
        return;
    }
    let server = Server::start(&Database::sqlite());
    for name in ["TERM", "INT", "HUP"] {
        let screen = terminal(server.setup(), &["top"]);
        screen.shows("validators");
        signal(screen.said("pid=").parse().expect("a number"), name);
        assert_given_back(&screen.ended(), 1);
    }
}

// Guards `gone` in `watch.rs`: without it the command would read the terminal's end for ever.
#[test]
fn a_terminal_that_is_closed_ends_the_command() {
    if skips(&[lacks::program("script")]) {
        return;
    }
    let server = Server::start(&Database::sqlite());
    let screen = terminal(server.setup(), &["top"]);
    screen.shows("validators");
    let pid = screen.said("pid=").parse().expect("a number");
    assert!(is_alive(pid));
    screen.close();
    wait_for("the command to end", SOON, || (!is_alive(pid)).then_some(()), || format!("{pid} lives"));
}

#[test]
fn a_server_that_goes_away_is_waited_for_on_the_screen() {
    if skips(&[lacks::program("script")]) {
        return;
    }
    let bind = format!("dashboard.bind = \"127.0.0.1:{}\"", free_port());
    let mut server = Server::start(Setup::new(&Database::sqlite()).with_config(&bind));
    let mut screen = terminal(server.setup(), &["top", "--interval", "100ms"]);
    screen.shows("the line is running");
    server.terminate();
    server.wait_exit(SOON);
    screen.shows("no connection, trying again: ");
    server.restart();
    screen.shows("the line is running");
    screen.press("q");
    assert_given_back(&screen.ended(), 0);
}
