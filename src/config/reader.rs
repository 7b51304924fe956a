//! Reads one key at a time: checks type and range, collects every error, remembers what is in effect.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::{Table, Value};

use super::database_url::mask;
use super::errors::{ConfigError, ConfigErrors};
use super::sources::{Layers, SourceValue, ValueOrigin};
use super::units::{duration_text, parse_duration, parse_size, size_text};

/// A value in a report is cut after this many characters.
const SHOWN_CHARS_MAX: usize = 200;

/// Stands for a secret.
const HIDDEN: &str = "***";

/// Stands for a time that never comes.
const OFF: &str = "off";

/// A key as it is in effect: its TOML text (secrets masked) and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effective {
    pub(super) path: &'static str,
    pub(super) text: String,
    pub(super) origin: ValueOrigin,
}

pub(super) struct ConfigReader {
    layers: Layers,
    effective: Vec<Effective>,
    broken: BTreeSet<&'static str>,
}

impl ConfigReader {
    pub(super) fn new(layers: Layers) -> Self {
        ConfigReader { layers, effective: Vec::new(), broken: BTreeSet::new() }
    }

    /// What is in effect, if nothing was wrong.
    pub(super) fn finish(self) -> Result<Vec<Effective>, ConfigErrors> {
        if self.layers.errors.is_empty() {
            return Ok(self.effective);
        }
        Err(ConfigErrors::new(self.layers.errors))
    }

    pub(super) fn text(&mut self, path: &'static str, allowed: &str, is_allowed: impl Fn(&str) -> bool) -> String {
        let parse = |given: &SourceValue| as_text(given).filter(|t| is_allowed(t)).map(str::to_owned);
        let is_secret = path.starts_with("database.");
        let show = |text: &String| quoted(&if is_secret { mask(text) } else { text.clone() });
        self.read(path, allowed, parse, show)
    }

    /// A text that no report repeats.
    pub(super) fn secret(&mut self, path: &'static str, allowed: &str, is_allowed: impl Fn(&str) -> bool) -> String {
        let parse = |given: &SourceValue| as_text(given).filter(|text| is_allowed(text)).map(str::to_owned);
        let show = |text: &String| quoted(if text.is_empty() { "" } else { HIDDEN });
        self.read_shown(path, allowed, parse, show, |_| HIDDEN.to_owned())
    }

    pub(super) fn switch(&mut self, path: &'static str) -> bool {
        let parse = |given: &SourceValue| match given {
            SourceValue::Typed(Value::Boolean(on)) => Some(*on),
            SourceValue::Text(text) => text.parse().ok(),
            SourceValue::Typed(_) => None,
        };
        self.read(path, "true or false", parse, bool::to_string)
    }

    pub(super) fn whole<T>(&mut self, path: &'static str, range: RangeInclusive<T>) -> T
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |given: &SourceValue| {
            let number = match given {
                SourceValue::Typed(Value::Integer(number)) => *number,
                SourceValue::Text(text) => text.parse().ok()?,
                SourceValue::Typed(_) => return None,
            };
            T::try_from(number).ok().filter(|n| range.contains(n))
        };
        self.read(path, &allowed, parse, T::to_string)
    }

    pub(super) fn fraction(&mut self, path: &'static str, range: RangeInclusive<f64>) -> f64 {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        let parse = |given: &SourceValue| {
            let number = match given {
                SourceValue::Typed(Value::Float(number)) => *number,
                SourceValue::Typed(Value::Integer(number)) => *number as f64,
                SourceValue::Text(text) => text.parse().ok()?,
                SourceValue::Typed(_) => return None,
            };
            Some(number).filter(|n| range.contains(n))
        };
        self.read(path, &allowed, parse, |number| format!("{number:?}"))
    }

    pub(super) fn duration(&mut self, path: &'static str, range: RangeInclusive<Duration>) -> Duration {
        let allowed = durations_between(&range);
        let parse =
            |given: &SourceValue| as_text(given).and_then(parse_duration).filter(|duration| range.contains(duration));
        self.read(path, &allowed, parse, |d| quoted(&duration_text(*d)))
    }

    /// A duration, or "off".
    pub(super) fn duration_or_off(&mut self, path: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let allowed = format!("\"off\", or {}", durations_between(&range));
        let parse = |given: &SourceValue| as_text(given).and_then(|text| or_off(text, &range));
        self.read(path, &allowed, parse, |duration| quoted(&or_off_text(*duration)))
    }

    /// A table of names, each with a duration or "off".
    pub(super) fn durations_or_off(
        &mut self,
        path: &'static str,
        range: RangeInclusive<Duration>,
    ) -> BTreeMap<String, Option<Duration>> {
        let allowed = format!(
            "an inline table as {{ \"name\" = \"30d\" }}, names of at most 255 characters, each with \"off\" or {}",
            durations_between(&range)
        );
        let parse = |given: &SourceValue| {
            let of = |(name, value): (String, Value)| {
                let kept_for = or_off(value.as_str()?, &range)?;
                (name.chars().count() <= 255).then_some((name, kept_for))
            };
            as_table(given)?.into_iter().map(of).collect()
        };
        let show = |table: &BTreeMap<String, Option<Duration>>| {
            let of =
                |(name, kept_for): (&String, &Option<Duration>)| (name.clone(), Value::String(or_off_text(*kept_for)));
            Value::Table(table.iter().map(of).collect()).to_string()
        };
        self.read(path, &allowed, parse, show)
    }

    pub(super) fn size(&mut self, path: &'static str, range: RangeInclusive<usize>) -> usize {
        let least = size_text(*range.start() as u64);
        let most = size_text(*range.end() as u64);
        let allowed = format!(
            "a size from {least} to {most}, a whole number and B, KiB, MiB or GiB, as \"1MiB\", or a number of bytes"
        );
        let parse = |given: &SourceValue| {
            let bytes = match given {
                SourceValue::Typed(Value::Integer(bytes)) => u64::try_from(*bytes).ok()?,
                given => parse_size(as_text(given)?)?,
            };
            usize::try_from(bytes).ok().filter(|bytes| range.contains(bytes))
        };
        self.read(path, &allowed, parse, |b| quoted(&size_text(*b as u64)))
    }

    pub(super) fn address(&mut self, path: &'static str) -> SocketAddr {
        let allowed = "an IP address and a port, as \"127.0.0.1:8000\" or \"[::1]:8000\"";
        let parse = |given: &SourceValue| as_text(given)?.parse().ok();
        self.read(path, allowed, parse, |a: &SocketAddr| quoted(&a.to_string()))
    }

    pub(super) fn choice<T: Copy + PartialEq>(&mut self, path: &'static str, choices: &[(&str, T)]) -> T {
        let names: Vec<String> = choices.iter().map(|(name, _)| quoted(name)).collect();
        let parse = |given: &SourceValue| {
            let text = as_text(given)?;
            let found = choices.iter().find(|(name, _)| *name == text);
            found.map(|(_, choice)| *choice)
        };
        let show = |chosen: &T| {
            let found = choices.iter().find(|(_, choice)| choice == chosen);
            found.map_or_else(String::new, |(name, _)| quoted(name))
        };
        self.read(path, &names.join(" or "), parse, show)
    }

    /// A rule over several keys: an error at `path` unless it holds or one of its keys is wrong already.
    pub(super) fn require(&mut self, holds: bool, path: &'static str, others: &[&'static str], allowed: &str) {
        let is_broken = |key: &&str| self.broken.contains(*key);
        if holds || is_broken(&path) || others.iter().any(is_broken) {
            return;
        }
        let given = self.effective.iter().find(|e| e.path == path);
        let given = given.expect("a rule speaks of keys that were read");
        let error = ConfigError::value(&given.origin, path, &given.text, allowed);
        self.layers.errors.push(error);
    }

    /// An error that another module has found.
    #[cfg(feature = "fault-injection")]
    pub(super) fn add_error(&mut self, error: ConfigError) {
        self.layers.errors.push(error);
    }

    /// Takes a value that has no default and is read by another module.
    #[cfg(feature = "fault-injection")]
    pub(super) fn take(&mut self, path: &str) -> Option<(SourceValue, ValueOrigin)> {
        self.layers.values.remove(path)
    }

    fn read<T>(
        &mut self,
        path: &'static str,
        allowed: &str,
        parse: impl Fn(&SourceValue) -> Option<T>,
        show: impl Fn(&T) -> String,
    ) -> T {
        self.read_shown(path, allowed, parse, show, shown)
    }

    /// `show_wrong` shows a value that is not allowed.
    fn read_shown<T>(
        &mut self,
        path: &'static str,
        allowed: &str,
        parse: impl Fn(&SourceValue) -> Option<T>,
        show: impl Fn(&T) -> String,
        show_wrong: impl Fn(&SourceValue) -> String,
    ) -> T {
        let found = self.layers.values.remove(path);
        let (given, origin) = found.expect("every key is read once and stands in config.toml");
        let value = parse(&given).unwrap_or_else(|| {
            self.broken.insert(path);
            let error = ConfigError::value(&origin, path, &show_wrong(&given), allowed);
            self.layers.errors.push(error);
            let default = self.layers.defaults.get(path).cloned();
            let default = default.expect("every key has a default");
            parse(&SourceValue::Typed(default)).expect("every default is allowed")
        });
        let text = show(&value);
        self.effective.push(Effective { path, text, origin });
        value
    }

    /// Keys of config.toml that nothing has read.
    #[cfg(test)]
    pub(super) fn unread(&self) -> Vec<String> {
        self.layers.values.keys().cloned().collect()
    }
}

fn as_text(given: &SourceValue) -> Option<&str> {
    match given {
        SourceValue::Text(text) | SourceValue::Typed(Value::String(text)) => Some(text),
        SourceValue::Typed(_) => None,
    }
}

/// A table of TOML; from the environment or a flag its text.
fn as_table(given: &SourceValue) -> Option<Table> {
    match given {
        SourceValue::Typed(Value::Table(table)) => Some(table.clone()),
        SourceValue::Text(text) => {
            let mut read: Table = format!("value = {text}").parse().ok()?;
            match read.remove("value")? {
                Value::Table(table) if read.is_empty() => Some(table),
                _ => None,
            }
        }
        SourceValue::Typed(_) => None,
    }
}

fn durations_between(range: &RangeInclusive<Duration>) -> String {
    let least = duration_text(*range.start());
    let most = duration_text(*range.end());
    format!("a duration from {least} to {most}, a whole number and ms, s, m, h or d, as \"2s\"")
}

/// A duration of `range`, or none for "off".
fn or_off(text: &str, range: &RangeInclusive<Duration>) -> Option<Option<Duration>> {
    if text == OFF {
        return Some(None);
    }
    parse_duration(text).filter(|duration| range.contains(duration)).map(Some)
}

fn or_off_text(duration: Option<Duration>) -> String {
    duration.map_or_else(|| OFF.to_owned(), duration_text)
}

/// TOML's text of a string.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

/// A value for a report: masked, cut, and without characters that could break the line.
fn shown(given: &SourceValue) -> String {
    match given {
        SourceValue::Text(text) | SourceValue::Typed(Value::String(text)) => {
            let masked = mask(text);
            let cut: String = masked.chars().take(SHOWN_CHARS_MAX).collect();
            let dots = if cut.len() < masked.len() { "…" } else { "" };
            format!("{cut:?}{dots}")
        }
        SourceValue::Typed(Value::Array(_)) => "an array".to_owned(),
        SourceValue::Typed(Value::Table(_)) => "a table".to_owned(),
        SourceValue::Typed(value) => value.to_string(),
    }
}
