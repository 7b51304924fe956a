//! What is refused, and in which words.

use super::*;

#[test]
fn files_that_are_not_configurations_are_refused_without_repeating_their_text() {
    for (bytes, expected) in [
        (&b"a = s3cret"[..], "line 1, column 5: not valid TOML: "),
        (b"x = 1\n[http\nurl = \"s3cret\"", "line 2, column "),
        (b"\xff\xfe", "the file is not UTF-8"),
        (&[b'#'; (1 << 20) + 1], "the file is larger than 1048576 bytes"),
    ] {
        let file = TempFile::new(bytes);
        let lines = errors(&sources(Some(&file.0), &[("GRISTMILL__HTTP__WORKERS", "x")], &[]));
        assert_eq!(lines.len(), 2, "the environment is still checked: {lines:?}");
        assert!(lines[0].contains(expected), "{lines:?}");
        assert!(!lines.concat().contains("s3cret"), "{lines:?}");
    }
}

#[test]
fn all_errors_of_all_sources_are_reported_at_once() {
    let file = TempFile::new(
        b"data_dir = 7\ncolour = 1\nlog = 3\n[http]\nbnd = \"x\"\nworkers = \"2\"\n[htp]\nbind = 1\n[pipeline.flush_bytes]\nx = 1",
    );
    let environment = [
        ("EVENT_RETRY_DELAY", "soon"),
        ("GRISTMILL__HTTP__BIND", "localhost"),
        ("GRISTMILL__HTTP__PROT", "1"),
        ("GRISTMILL__http__bind", "127.0.0.1:1"),
        ("GRISTMILL_PORT", "tcp://10.0.0.1:8000"),
    ];
    let flags = [("retry.jitter", "0.6"), ("actors.validators", "0"), ("http", "1")];
    let lines = errors(&sources(Some(&file.0), &environment, &flags));
    let file = file.0.to_string_lossy().into_owned();
    for expected in [
        format!("{file}: colour is unknown, allowed: data_dir and the sections "),
        format!("{file}: log is a section, allowed: [log] with keys"),
        format!("{file}: http.bnd is unknown, did you mean http.bind?"),
        format!("{file}: htp is unknown, did you mean http?"),
        format!("{file}: data_dir is 7, allowed: the path of a folder"),
        format!("{file}: http.workers is \"2\", allowed: a whole number from 1 to 256"),
        format!("{file}: pipeline.flush_bytes is a table, allowed: a size from 1KiB to 256MiB, "),
        "EVENT_RETRY_DELAY: retry.delay is \"soon\", allowed: a duration from 1ms to 30d, ".into(),
        "GRISTMILL__HTTP__BIND: http.bind is \"localhost\", allowed: an IP address and a port".into(),
        "GRISTMILL__HTTP__PROT: http.prot is unknown, allowed: http.answer_timeout, ".into(),
        "GRISTMILL__http__bind: the name is not in upper case, allowed: GRISTMILL__HTTP__BIND".into(),
        "--set: retry.jitter is \"0.6\", allowed: a number from 0 to 0.5".into(),
        "--set: actors.validators is \"0\", allowed: a whole number from 1 to 64".into(),
        "--set: http is a section, allowed: [http] with keys".into(),
    ] {
        let found = lines.iter().any(|line| line.starts_with(&expected));
        assert!(found, "{expected}\nnot in\n{}", lines.join("\n"));
    }
    assert_eq!(lines.len(), 14, "{}", lines.join("\n"));
}

/// A text and the one error in it.
const RULES: [(&str, &str); 13] = [
    ("[timeouts]\nflush = \"11s\"", "text: timeouts.flush is \"11s\", allowed: at most timeouts.accept (10s)"),
    ("[timeouts]\naccept = \"1s\"", "default: timeouts.flush is \"2s\", allowed: at most timeouts.accept (1s)"),
    (
        "[pipeline]\nflush_bytes = \"3MiB\"\nin_flight_bytes = 2097152",
        "text: pipeline.flush_bytes is \"3MiB\", allowed: at most pipeline.in_flight_bytes (2MiB)",
    ),
    (
        "[pipeline]\nflush_events = 600\nin_flight_events = 599",
        "text: pipeline.flush_events is 600, allowed: at most pipeline.in_flight_events (599)",
    ),
    (
        "[lease]\nclaim_events = 9\n[pipeline]\nflush_events = 1\nin_flight_events = 8",
        "text: lease.claim_events is 9, allowed: at most pipeline.in_flight_events (8)",
    ),
    (
        "[limits]\nbody_bytes = \"1KiB\"",
        "text: limits.body_bytes is \"1KiB\", allowed: at least limits.payload_bytes (1MiB)",
    ),
    (
        "[limits]\nbody_bytes = \"256MiB\"\n[pipeline]\nin_flight_bytes = \"255MiB\"",
        "text: pipeline.in_flight_bytes is \"255MiB\", allowed: at least limits.body_bytes (256MiB)",
    ),
    ("[lease]\npoll = \"10s\"", "text: lease.poll is \"10s\", allowed: less than lease.duration (10s)"),
    ("[retry]\ndelay = \"2h\"", "text: retry.delay is \"2h\", allowed: at most retry.delay_max (1h)"),
    (
        "[database]\nlock_timeout = \"31s\"",
        "text: database.lock_timeout is \"31s\", allowed: at most database.statement_timeout (30s)",
    ),
    (
        "[database]\ndirect_url = \"postgres://h/d\"",
        "text: database.direct_url is \"postgres://h/d\", allowed: the same kind of database as database.url",
    ),
    (
        "[http]\nbody_timeout = \"31s\"",
        "text: http.body_timeout is \"31s\", allowed: at most http.request_timeout (30s)",
    ),
    (
        "[dashboard]\nbind = \"0.0.0.0:8000\"",
        "text: dashboard.bind is \"0.0.0.0:8000\", allowed: an address other than http.bind (127.0.0.1:8000)",
    ),
];

#[test]
fn rules_over_several_keys_name_both() {
    for (text, expected) in RULES {
        assert_eq!(errors_of_text(text), [expected]);
    }
    let free_ports = "[http]\nbind = \"127.0.0.1:0\"\n[dashboard]\nbind = \"127.0.0.1:0\"";
    assert!(Config::from_toml(free_ports).is_ok());
}

#[test]
fn a_rule_over_several_keys_is_silent_while_one_of_them_is_wrong() {
    let lines = errors_of_text("[timeouts]\nflush = \"11s\"\naccept = \"often\"");
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[test]
fn values_out_of_range_are_refused_key_by_key() {
    for (key, value) in [
        ("dedupe.window", "\"0s\""),
        ("database.pool", "1"),
        ("database.pool", "-1"),
        ("database.url", "\"mysql://h/d\""),
        ("database.url", "\"sqlite::memory:\""),
        ("actors.mailbox", "0"),
        ("actors.persisters", "65"),
        ("retry.jitter", "nan"),
        ("retry.jitter", "-0.1"),
        ("retry.max_retries", "9223372036854775807"),
        ("http.bind", "\"127.0.0.1:65536\""),
        ("log.format", "\"xml\""),
        ("log.level", "\"ifno\""),
        ("log.user_email", "\"yes\""),
        ("data_dir", "\"\""),
        ("node.name", "\"a\\nb\""),
        ("lease.duration", "10"),
    ] {
        let lines = errors_of_text(&format!("{key} = {value}"));
        assert!(lines[0].starts_with(&format!("text: {key} is ")), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    }
}
