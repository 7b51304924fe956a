//! Where values come from: the compiled-in text, a file, the environment, flags; laid over each other by key path.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::errors::{ConfigError, sections};

/// The documented defaults.
pub(super) const DEFAULTS: &str = include_str!("../../config.toml");

/// A configuration file is text for people; a larger one is a mistaken path.
const FILE_BYTES_MAX: u64 = 1 << 20;

const PREFIX: &str = "GRISTMILL__";
const FILE_VARIABLE: &str = "GRISTMILL_CONFIG";

/// Names that deployments of the reference, or of OpenTelemetry, know: variable, key path, and whether a plain number means seconds.
const ALIASES: [(&str, &str, bool); 7] = [
    ("DATABASE_URL", "database.url", false),
    ("EVENT_MAX_RETRIES", "retry.max_retries", false),
    ("EVENT_RETRY_DELAY", "retry.delay", true),
    ("EVENT_PROCESSING_TIMEOUT", "timeouts.processing", true),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "tracing.endpoint", false),
    ("OTEL_EXPORTER_OTLP_HEADERS", "tracing.headers", false),
    ("OTEL_SERVICE_NAME", "tracing.service_name", false),
];

/// What a configuration is made from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    file: File,
    environment: Vec<(String, OsString)>,
    flags: Vec<(String, String)>,
}

#[derive(Debug, Clone, Default)]
enum File {
    #[default]
    None,
    Named {
        path: PathBuf,
        by: &'static str,
    },
    IfPresent(PathBuf),
    Text(String),
}

impl Sources {
    /// The sources of this process: the file that the flag, else GRISTMILL_CONFIG names, else ./config.toml if it exists;
    /// the environment; and the `key=value` flags.
    pub fn of_process(config_flag: Option<&Path>, settings: &[(String, String)]) -> Self {
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self::of(config_flag, environment, settings)
    }

    /// Sources with a given environment instead of the process's own.
    pub fn of(
        config_flag: Option<&Path>,
        environment: impl IntoIterator<Item = (String, OsString)>,
        settings: &[(String, String)],
    ) -> Self {
        let mut environment: Vec<_> = environment.into_iter().collect();
        environment.sort();
        let variable = environment
            .iter()
            .find(|(name, value)| name == FILE_VARIABLE && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value));
        let file = match (config_flag, variable) {
            (Some(path), _) => File::Named { path: path.to_owned(), by: "--config" },
            (None, Some(path)) => File::Named { path, by: FILE_VARIABLE },
            (None, None) => File::IfPresent(PathBuf::from("config.toml")),
        };
        Sources { file, environment, flags: settings.to_vec() }
    }

    pub(super) fn of_text(text: &str) -> Self {
        Sources { file: File::Text(text.to_owned()), ..Self::default() }
    }

    /// Lays the sources over the defaults; unknown keys and unreadable sources become errors.
    pub(super) fn collect(&self) -> Layers {
        let mut layers = Layers::of_defaults();
        if let Some((origin, table)) = self.file_table(&mut layers.errors) {
            layers.overlay_table(&table, &origin);
        }
        for (alias, path, seconds) in ALIASES {
            if let Some(value) = self.variable(alias).filter(|value| !value.is_empty()) {
                layers.overlay_variable(alias, path, value, seconds);
            }
        }
        for (name, value) in &self.environment {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if name.chars().any(|c| c.is_ascii_lowercase()) {
                let what =
                    format!("the name is not in upper case, allowed: {}", name.to_ascii_uppercase().escape_debug());
                layers.errors.push(ConfigError::new(ValueOrigin::Variable(name.clone()), what));
                continue;
            }
            let path = rest.to_ascii_lowercase().replace("__", ".");
            layers.overlay_variable(name, &path, value, false);
        }
        for (path, value) in &self.flags {
            layers.overlay(path, SourceValue::Text(value.clone()), ValueOrigin::Flag);
        }
        layers
    }

    fn variable(&self, name: &str) -> Option<&OsString> {
        let found = self.environment.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value)
    }

    fn file_table(&self, errors: &mut Vec<ConfigError>) -> Option<(ValueOrigin, Table)> {
        let (label, text) = match &self.file {
            File::None => return None,
            File::Text(text) => ("text".to_owned(), Ok(text.clone())),
            File::Named { path, by } => (label(path), read(path).map_err(|e| format!("{e} (named by {by})"))),
            File::IfPresent(path) => match read(path) {
                Err(ReadError::Io(ErrorKind::NotFound, _)) => return None,
                other => (label(path), other.map_err(|e| e.to_string())),
            },
        };
        let parsed = text.and_then(|text| text.parse::<Table>().map_err(|error| syntax_error(&text, &error)));
        match parsed {
            Ok(table) => Some((ValueOrigin::File(label), table)),
            Err(what) => {
                errors.push(ConfigError::new(label, what));
                None
            }
        }
    }
}

fn label(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("the file cannot be read: {1}")]
    Io(ErrorKind, std::io::Error),
    #[error("the file is larger than {FILE_BYTES_MAX} bytes")]
    Size,
    #[error("the file is not UTF-8")]
    Utf8,
}

fn read(path: &Path) -> Result<String, ReadError> {
    let io = |error: std::io::Error| ReadError::Io(error.kind(), error);
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ReadError::Size);
    }
    String::from_utf8(bytes).map_err(|_| ReadError::Utf8)
}

/// Place and reason only: the parser's own display repeats the line, which may hold a password.
fn syntax_error(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    let before = text.get(..at).unwrap_or("");
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let reason = error.message();
    format!("line {line}, column {column}: not valid TOML: {reason}")
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ValueOrigin {
    Default,
    File(String),
    Variable(String),
    Flag,
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueOrigin::Default => f.write_str("default"),
            ValueOrigin::File(label) => f.write_str(label),
            ValueOrigin::Variable(name) => f.write_str(&name.escape_debug().to_string()),
            ValueOrigin::Flag => f.write_str("--set"),
        }
    }
}

/// A value before it is understood: typed by TOML, or text from the environment or a flag.
#[derive(Debug, Clone)]
pub(super) enum SourceValue {
    Text(String),
    Typed(Value),
}

/// The last value of each key with its origin, and what was wrong on the way.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) defaults: BTreeMap<String, Value>,
    pub(super) values: BTreeMap<String, (SourceValue, ValueOrigin)>,
    pub(super) errors: Vec<ConfigError>,
}

impl Layers {
    fn of_defaults() -> Self {
        let table: Table = DEFAULTS.parse().expect("the compiled-in defaults are valid TOML");
        let mut defaults = BTreeMap::new();
        for (key, value) in table {
            match value {
                Value::Table(section) => {
                    defaults.extend(section.into_iter().map(|(k, v)| (format!("{key}.{k}"), v)));
                }
                value => {
                    defaults.insert(key, value);
                }
            }
        }
        let values = defaults
            .iter()
            .map(|(path, value)| (path.clone(), (SourceValue::Typed(value.clone()), ValueOrigin::Default)))
            .collect();
        Layers { defaults, values, errors: Vec::new() }
    }

    fn overlay_table(&mut self, table: &Table, origin: &ValueOrigin) {
        for (key, value) in table {
            let key = bare(key);
            match value {
                Value::Table(section) if self.is_section(&key) => {
                    for (k, v) in section {
                        let path = format!("{key}.{}", bare(k));
                        self.overlay(&path, SourceValue::Typed(v.clone()), origin.clone());
                    }
                }
                value => self.overlay(&key, SourceValue::Typed(value.clone()), origin.clone()),
            }
        }
    }

    fn overlay_variable(&mut self, name: &str, path: &str, value: &OsString, seconds: bool) {
        let origin = ValueOrigin::Variable(name.to_owned());
        let Some(text) = value.to_str() else {
            let what = format!("the value of {} is not UTF-8", path.escape_debug());
            self.errors.push(ConfigError::new(origin, what));
            return;
        };
        let plain_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let unit = if seconds && plain_number { "s" } else { "" };
        self.overlay(path, SourceValue::Text(format!("{text}{unit}")), origin);
    }

    fn overlay(&mut self, path: &str, given: SourceValue, origin: ValueOrigin) {
        if self.defaults.contains_key(path) || is_for_tests(path, &given) {
            self.values.insert(path.to_owned(), (given, origin));
            return;
        }
        let shown = path.escape_debug().to_string();
        let error = if self.is_section(path) {
            ConfigError::new(origin, format!("{shown} is a section, allowed: [{shown}] with keys"))
        } else {
            let known: Vec<&str> = self.defaults.keys().map(String::as_str).collect();
            ConfigError::unknown_key(origin, &shown, &known)
        };
        self.errors.push(error);
    }

    fn is_section(&self, name: &str) -> bool {
        let known: Vec<&str> = self.defaults.keys().map(String::as_str).collect();
        sections(&known).contains(&name)
    }
}

/// Rules for faults and planted bugs are known only to builds for tests, and only from a file.
fn is_for_tests(path: &str, given: &SourceValue) -> bool {
    cfg!(feature = "fault-injection") && matches!(path, "faults" | "planted") && matches!(given, SourceValue::Typed(_))
}

/// A key as a path segment; one with a dot or other unusual letters is quoted, so that it cannot pass for a path.
fn bare(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(plain) {
        return key.to_owned();
    }
    format!("{key:?}")
}
