//! What is wrong with a configuration: every error, one line each.

use std::fmt;

use strsim::levenshtein;

/// Every error found in the configuration; displays as one line per error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    lines: Vec<String>,
}

impl ConfigErrors {
    pub(super) fn new(errors: Vec<ConfigError>) -> Self {
        let lines = errors.into_iter().map(|m| m.to_string()).collect();
        ConfigErrors { lines }
    }

    /// The errors in the order of the sources and keys, secrets masked.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

/// One error: where it came from, the thing (key path and value), and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfigError {
    pub(super) origin: String,
    pub(super) what: String,
}

impl ConfigError {
    pub(super) fn new(origin: impl fmt::Display, what: impl Into<String>) -> Self {
        ConfigError { origin: origin.to_string(), what: one_line(&what.into()) }
    }

    /// A key whose value is not among those allowed; `value` must be printable and masked already.
    pub(super) fn value(origin: impl fmt::Display, path: &str, value: &str, allowed: &str) -> Self {
        Self::new(origin, format!("{path} is {value}, allowed: {allowed}"))
    }

    /// A key that does not exist. Its value is not repeated: a misspelt key may hold a secret.
    pub(super) fn unknown_key(origin: impl fmt::Display, path: &str, known: &[&str]) -> Self {
        Self::new(origin, format!("{path} is unknown, {}", suggestion(path, known)))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.what)
    }
}

/// Parsers and systems put line ends and worse into their texts.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

fn suggestion(path: &str, known: &[&str]) -> String {
    if path == "faults" || path.starts_with("faults.") {
        return "allowed: [[faults]] in a file, in builds with the cargo feature fault-injection".to_owned();
    }
    if path == "planted" {
        return "allowed: in a file, in builds with the cargo feature fault-injection".to_owned();
    }
    if let Some(nearest) = nearest(path, known) {
        return format!("did you mean {nearest}?");
    }
    let section = path.split_once('.').map(|(section, _)| section);
    let inside: Vec<&str> = known
        .iter()
        .copied()
        .filter(|key| section.is_some() && key.split_once('.').map(|(s, _)| s) == section)
        .collect();
    if inside.is_empty() {
        return format!("allowed: data_dir and the sections {}", sections(known).join(", "));
    }
    format!("allowed: {}", inside.join(", "))
}

/// The sections among `known`, in their order.
pub(super) fn sections<'a>(known: &[&'a str]) -> Vec<&'a str> {
    let mut sections: Vec<&str> =
        known.iter().filter_map(|key| key.split_once('.').map(|(section, _)| section)).collect();
    sections.dedup();
    sections
}

/// The key or section that was probably meant: few letters away, or of the same name in another section.
fn nearest<'a>(path: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = path.replace('"', "");
    let distance_max = (plain.len() / 4).clamp(1, 3);
    let close = known
        .iter()
        .copied()
        .chain(sections(known))
        .map(|key| (levenshtein(&plain, key), key))
        .min()
        .filter(|(distance, _)| *distance <= distance_max)
        .map(|(_, key)| key);
    let (_, name) = plain.rsplit_once('.').unwrap_or(("", &plain));
    let mut namesakes = known.iter().copied().filter(|key| key.rsplit_once('.').is_some_and(|(_, last)| last == name));
    close.or_else(|| namesakes.next().filter(|_| namesakes.next().is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["data_dir", "http.bind", "http.workers", "dashboard.bind", "retry.max_retries"];

    #[test]
    fn an_unknown_key_gets_the_nearest_key_or_the_allowed_ones() {
        for (path, expected) in [
            ("http.bnd", "did you mean http.bind?"),
            ("htp", "did you mean http?"),
            ("datadir", "did you mean data_dir?"),
            ("\"http.bind\"", "did you mean http.bind?"),
            ("actors.max_retries", "did you mean retry.max_retries?"),
            ("http.colour", "allowed: http.bind, http.workers"),
            ("zebra", "allowed: data_dir and the sections http, dashboard, retry"),
            ("faults", "allowed: [[faults]] in a file, in builds with the cargo feature fault-injection"),
        ] {
            let line = ConfigError::unknown_key("here", path, &KNOWN).to_string();
            assert_eq!(line, format!("here: {path} is unknown, {expected}"));
        }
    }
}
