//! What is written is read back: the form of a line, and that no text gets out of its field in it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::{debug, error, info, info_span, warn};

use super::*;
use crate::config::Config;
use crate::telemetry::escape::is_hidden;

/// Text that tries to break the line, to forge one, and to steer a terminal.
const ATTACK: &str = "x\r\n2026-11-23T17:20:00.123456Z INFO  [Event 1] Processing completed successfully \
    event_id=1\u{1b}[2J\u{9b}31m\u{7f}\u{0}\u{85}\u{2028}\u{2029}\u{202e}\u{2066}\u{200b}\" stage=persister \\";

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `work` logs with this section `[log]`.
fn logged(section: &str, colours: bool, work: impl FnOnce()) -> String {
    let config = Config::from_toml(&format!("[log]\n{section}")).expect("an allowed section");
    let capture = Capture::default();
    let writer = capture.clone();
    let subscriber = subscriber(&config.log, colours, move || writer.clone());
    tracing::subscriber::with_default(subscriber.expect("an allowed level"), work);
    let bytes = capture.0.lock().expect("no writer panics").clone();
    String::from_utf8(bytes).expect("log lines are UTF-8")
}

fn attack() {
    info!(event_id = 7, name = ATTACK, "[Event 7] Starting processing");
    info!(shown = %ATTACK, debugged = ?ATTACK, "{ATTACK}");
    let error = io::Error::other(ATTACK);
    error!(error = &error as &dyn std::error::Error, "failed");
    info_span!("request", path = ATTACK).in_scope(|| warn!("inside"));
}

/// The text after the time, which differs from run to run.
fn after_time(line: &str) -> &str {
    line.split_once(' ').expect("a line begins with its time").1
}

#[test]
fn a_text_line_has_time_level_message_and_fields() {
    let text = logged("", false, || {
        info!(event_id = 123, attempt = 1, stage = "validator", "[Event 123] Starting processing");
        error!(took_ms = 1.5, cause = "no \"disk\"", path = "C:\\x", empty = "", "done");
    });
    let lines: Vec<&str> = text.lines().collect();
    let (time, _) = lines[0].split_once(' ').expect("a time");
    assert!(timestamp::parse(time).is_some() && time.len() == 27, "{time}");
    assert_eq!(after_time(lines[0]), "INFO  [Event 123] Starting processing event_id=123 attempt=1 stage=validator");
    assert_eq!(after_time(lines[1]), r#"ERROR done took_ms=1.5 cause="no \"disk\"" path="C:\\x" empty="""#);
}

#[test]
fn fields_of_spans_follow_those_of_the_event() {
    let text = logged("", false, || {
        let span = info_span!("request", request_id = "r 1", user = tracing::field::Empty);
        span.record("user", 5);
        span.in_scope(|| info!(a = 1, "inside"));
    });
    assert_eq!(after_time(text.trim_end()), "INFO  inside a=1 request_id=\"r 1\" user=5");
}

#[test]
fn no_text_breaks_or_forges_a_text_line_or_reaches_the_terminal() {
    let text = logged("", false, attack);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)), "{text:?}");
    for line in text.lines() {
        let forged = after_time(line).starts_with("INFO  [Event 1]");
        assert!(!forged, "{line}");
        assert!(line.contains("x\\r\\n2026") || line.contains("x\\\\r\\\\n2026"), "{line}");
    }
    // The quote in the value does not end it.
    assert!(text.lines().next().expect("a line").contains("\\\" stage=persister \\\\\""));
}

#[test]
fn no_text_breaks_a_json_line_or_reaches_the_terminal_and_its_value_is_kept() {
    let text = logged("format = \"json\"", false, attack);
    assert_eq!(text.lines().count(), 4, "{text}");
    assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)), "{text:?}");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert_eq!(lines[0]["name"], ATTACK);
    assert_eq!(lines[0]["message"], "[Event 7] Starting processing");
    assert_eq!(lines[0]["event_id"], 7);
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[1]["message"], ATTACK);
    assert_eq!(lines[1]["shown"], ATTACK);
    assert_eq!(lines[3]["spans"][0]["path"], ATTACK);
    let time = lines[0]["timestamp"].as_str().expect("a time");
    assert!(timestamp::parse(time).is_some(), "{time}");
}

#[test]
fn colours_are_only_for_terminals() {
    let work = || warn!("careful");
    assert!(logged("", true, work).contains(" \u{1b}[33mWARN \u{1b}[0m careful"));
    assert!(!logged("", false, work).contains('\u{1b}'));
    assert!(!logged("format = \"json\"", true, work).contains('\u{1b}'));
}

#[test]
fn the_level_holds_for_all_or_per_module() {
    let work = || {
        debug!("fine");
        debug!(target: "other", "foreign");
        warn!("loud");
    };
    for (level, expected) in [
        ("info", vec!["loud"]),
        ("off", vec![]),
        ("info,gristmill=debug", vec!["fine", "loud"]),
        ("debug", vec!["fine", "foreign", "loud"]),
    ] {
        let text = logged(&format!("level = {level:?}"), false, work);
        let words: Vec<&str> = text.lines().filter_map(|l| l.split(' ').next_back()).collect();
        assert_eq!(words, expected, "{level}");
    }
}

#[test]
fn a_log_that_cannot_be_written_does_no_harm() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    let subscriber = subscriber(&Config::defaults().log, false, || Full).expect("an allowed level");
    tracing::subscriber::with_default(subscriber, || info!("lost"));
}
