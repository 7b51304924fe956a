//! The configuration as a whole: order of sources, all errors at once, rules over several keys, no secret shown.

mod refused;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::reader::ConfigReader;
use super::sources::DEFAULTS;
use super::*;
#[cfg(feature = "fault-injection")]
use crate::domain::actor_kind::ActorKind;

/// Sources of a file's path, variables and flags.
fn sources(file: Option<&Path>, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
    let flags: Vec<_> = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Sources::of(file, environment, &flags)
}

/// A file in a fresh folder of its own, removed at the end.
struct TempFile(PathBuf);

impl TempFile {
    fn new(bytes: &[u8]) -> Self {
        let name = format!("gristmill-config-{}.toml", uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, bytes).expect("the temporary folder can be written");
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn errors(sources: &Sources) -> Vec<String> {
    let errors = Config::load(sources).expect_err("the sources hold mistakes");
    errors.lines().to_vec()
}

fn errors_of_text(text: &str) -> Vec<String> {
    let errors = Config::from_toml(text).expect_err(text);
    errors.lines().to_vec()
}

#[test]
fn every_key_of_the_documented_defaults_is_read_and_every_key_read_is_documented() {
    let mut reader = ConfigReader::new(Sources::default().collect());
    // A key that is read but not in config.toml panics here.
    let _ = Config::read(&mut reader);
    assert_eq!(reader.unread(), Vec::<String>::new());
    // Every key has a comment of its own or shares the one of its group.
    let undocumented =
        DEFAULTS.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty() && !paragraph.contains('#')).count();
    assert_eq!(undocumented, 0);
}

#[test]
fn the_defaults_are_those_of_the_reference() {
    let config = Config::defaults();
    assert_eq!(config.retry.max_retries, 3);
    assert_eq!(config.retry.delay, Duration::from_secs(2));
    assert_eq!(config.timeouts.processing, Duration::from_secs(300));
    assert_eq!(config.timeouts.processing_soft(), Duration::from_secs(240));
    assert_eq!(config.limits.payload_bytes, 1_048_576);
    assert_eq!(config.limits.payload_depth, 10);
    assert_eq!(config.http.bind.port(), 8000);
    assert_eq!(config.dashboard.bind.port(), 5555);
    assert_eq!(config.database_url(), "sqlite://data/gristmill.db");
    assert_eq!(config.direct_database_url(), config.database_url());
    assert_eq!(config.database_kind(), DatabaseKind::Sqlite);
    assert!(!config.node_name().is_empty());
}

#[test]
fn a_later_source_wins_over_an_earlier_one() {
    let file = TempFile::new(b"[http]\nworkers = 3\nconnections = 30\n[retry]\nmax_retries = 30\ndelay = \"30s\"");
    let environment = [
        ("GRISTMILL__HTTP__CONNECTIONS", "40"),
        ("GRISTMILL__RETRY__DELAY", "40s"),
        ("EVENT_RETRY_DELAY", "41"),
        ("EVENT_MAX_RETRIES", "42"),
        ("GRISTMILL__DATA_DIR", "/elsewhere"),
    ];
    let flags = [("retry.delay", "50s"), ("retry.delay", "51s")];
    let config = Config::load(&sources(Some(&file.0), &environment, &flags)).expect("allowed");
    assert_eq!(config.http.workers, 3);
    assert_eq!(config.http.connections, 40);
    assert_eq!(config.retry.max_retries, 42);
    assert_eq!(config.retry.delay, Duration::from_secs(51));
    assert_eq!(config.database_url(), "sqlite:///elsewhere/gristmill.db");
    let without_flags = Config::load(&sources(Some(&file.0), &environment, &[])).expect("allowed");
    assert_eq!(without_flags.retry.delay, Duration::from_secs(40));
}

#[test]
fn the_names_of_the_reference_take_seconds_or_typed_values() {
    for (value, seconds) in [("60", 60), ("5m", 300)] {
        let environment = [
            ("EVENT_RETRY_DELAY", value),
            ("EVENT_PROCESSING_TIMEOUT", value),
            ("EVENT_MAX_RETRIES", ""),
            ("DATABASE_URL", "postgres://u:p@h/db"),
        ];
        let config = Config::load(&sources(None, &environment, &[])).expect("allowed");
        assert_eq!(config.retry.delay, Duration::from_secs(seconds));
        assert_eq!(config.timeouts.processing, Duration::from_secs(seconds));
        assert_eq!(config.retry.max_retries, 3);
        assert_eq!(config.database_url(), "postgres://u:p@h/db");
        assert_eq!(config.database_kind(), DatabaseKind::Postgres);
    }
}

#[test]
fn the_file_is_named_by_flag_or_variable_and_must_then_exist() {
    let file = TempFile::new(b"[http]\nworkers = 7");
    let path = file.0.to_str().expect("a printable path");
    let config = Config::load(&sources(None, &[("GRISTMILL_CONFIG", path)], &[])).expect("allowed");
    assert_eq!(config.http.workers, 7);
    let config = Config::load(&sources(Some(&file.0), &[("GRISTMILL_CONFIG", "/no")], &[]));
    assert_eq!(config.expect("the flag wins").http.workers, 7);

    let lines = errors(&sources(Some(Path::new("/no/such.toml")), &[], &[]));
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("/no/such.toml: the file cannot be read: "), "{lines:?}");
    assert!(lines[0].ends_with("(named by --config)"), "{lines:?}");
}

#[test]
fn no_secret_is_shown_anywhere() {
    let url = "postgres://user:s3cret@host/db";
    let config = Config::from_toml(&format!("[database]\nurl = \"{url}\"\ndirect_url = \"{url}\"")).expect("allowed");
    assert_eq!(config.database_url(), url);
    assert_eq!(config.database_url_masked(), "postgres://user:***@host/db");
    assert!(!config.show().contains("s3cret"), "{}", config.show());
    assert!(!format!("{config:?}").contains("s3cret"));
    for text in [
        "[database]\nurl = \"postgrs://user:s3cret@host/db\"",
        "[database]\nurl = [\"postgres://user:s3cret@host/db\"]",
        "[database]\nurll = \"postgres://user:s3cret@host/db\"",
        "[database]\npassword = \"s3cret\"",
        "[database]\nurl = \"postgres://user:s3cret@host/db\"\ndirect_url = \"sqlite://x\"",
        "[log]\nlevel = \"postgres://user:s3cret@host/db\"",
    ] {
        let lines = errors_of_text(text);
        assert!(!lines.concat().contains("s3cret"), "{lines:?}");
    }
}

#[test]
fn what_is_shown_can_be_used_as_a_file_and_names_each_origin() {
    let flags = [("http.workers", "9"), ("timeouts.processing", "90s"), ("data_dir", "/a \"b\" c")];
    let sources = sources(None, &[("EVENT_MAX_RETRIES", "5")], &flags);
    let config = Config::load(&sources).expect("allowed");
    let shown = config.show();
    for line in [
        "data_dir = '/a \"b\" c'  # --set",
        "workers = 9  # --set",
        "processing = \"90s\"  # --set, soft 72s",
        "max_retries = 5  # EVENT_MAX_RETRIES",
    ] {
        assert!(shown.lines().any(|l| l == line), "{line}\nnot in\n{shown}");
    }
    let again = Config::from_toml(&shown).expect("what is shown is allowed");
    let of_file =
        |text: &str| -> Vec<String> { text.lines().map(|l| l.split("  # ").next().unwrap_or(l).to_owned()).collect() };
    assert_eq!(of_file(&again.show()), of_file(&shown));
}

#[cfg(not(feature = "fault-injection"))]
#[test]
fn fault_rules_are_unknown_to_a_usual_build() {
    let lines = errors_of_text("[[faults]]\nstage = \"validator\"\naction = \"panic\"");
    assert!(lines[0].contains("faults is unknown, allowed: "), "{lines:?}");
    assert!(lines[0].contains("fault-injection"), "{lines:?}");
    let lines = errors_of_text("planted = \"no_unique_key\"");
    assert!(lines[0].contains("planted is unknown, allowed: "), "{lines:?}");
}

#[cfg(feature = "fault-injection")]
#[test]
fn fault_rules_are_read_and_checked() {
    let rule =
        "[[faults]]\nstage = \"validator\"\nevent_name = \"x\"\naction = \"stall\"\nduration = \"5s\"\ntimes = 2\n";
    let config = Config::from_toml(&format!("{rule}[[faults]]\nstage = \"persister\"\naction = \"abort\""));
    let faults = config.expect("allowed").faults;
    assert_eq!(faults.len(), 2);
    assert_eq!(faults[0].stage, FaultStage::Line(ActorKind::Validator));
    assert_eq!(faults[0].action, FaultAction::Stall);
    assert_eq!(faults[0].duration, Duration::from_secs(5));
    assert_eq!((faults[0].times, faults[1].times), (2, 0));
    assert_eq!((faults[1].event_name.as_str(), faults[1].point, faults[1].share), ("", FaultPoint::Event, 1.0));
    for text in [
        "faults = 1",
        "[faults]\nstage = 1",
        "[[faults]]\nstage = \"miller\"\naction = \"panic\"",
        "[[faults]]\nstage = \"validator\"",
        "[[faults]]\nstage = \"validator\"\naction = \"panic\"\nwhen = 1",
        "[[faults]]\nstage = \"validator\"\naction = \"stall\"\nduration = \"5\"",
        "[[faults]]\nstage = \"validator\"\naction = \"hang\"",
        "[[faults]]\nstage = \"retry\"\naction = \"panic\"",
        "[[faults]]\nstage = \"retry\"\npoint = \"turn\"\naction = \"hang\"",
    ] {
        let lines = errors_of_text(text);
        assert!(lines[0].starts_with("text: faults"), "{lines:?}");
    }
}

#[cfg(feature = "fault-injection")]
#[test]
fn a_planted_bug_is_read_by_its_name() {
    assert_eq!(Config::defaults().planted, None);
    let config = Config::from_toml("planted = \"no_unique_key\"").expect("allowed");
    assert_eq!(config.planted, Some(PlantedBug::NoUniqueKey));
    assert!(config.show().contains("NoUniqueKey"), "{}", config.show());
    for text in ["planted = \"no_bug\"", "planted = 1"] {
        let lines = errors_of_text(text);
        assert!(lines[0].starts_with("text: planted is not a known bug"), "{lines:?}");
    }
}
