//! Rules that make a stage fail, for tests: only in builds with the cargo feature `fault-injection`.

use std::time::Duration;

use serde::Deserialize;
use toml::Value;

use super::mistakes::Mistake;
use super::reader::Reader;
use super::sources::{Given, Origin};
use super::units::parse_duration;

/// One rule of `[[faults]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    /// Where it strikes.
    pub stage: FaultStage,
    /// The events concerned; "" is every event.
    pub event_name: String,
    /// What happens.
    pub action: FaultAction,
    /// How long a stall lasts.
    pub duration: Duration,
    /// How often at most; 0 is always.
    pub times: u32,
}

/// The stages that a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultStage {
    /// The validator.
    Validator,
    /// The normalizer.
    Normalizer,
    /// The persister.
    Persister,
}

impl FaultStage {
    /// The stage's name, as actors and log lines have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Normalizer => "normalizer",
            Self::Persister => "persister",
        }
    }
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultAction {
    /// A panic in the event's work, caught by the stage.
    Panic,
    /// A panic that the stage does not catch: its actor dies.
    Crash,
    /// The whole process ends at once.
    Abort,
    /// The work takes `duration` longer.
    Stall,
    /// The work ends in a transient error.
    Error,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    stage: FaultStage,
    #[serde(default)]
    event_name: String,
    action: FaultAction,
    #[serde(default = "one_second")]
    duration: String,
    #[serde(default)]
    times: u32,
}

fn one_second() -> String {
    "1s".to_owned()
}

pub(super) fn read(r: &mut Reader) -> Vec<FaultRule> {
    let Some((given, origin)) = r.take("faults") else {
        return Vec::new();
    };
    let Given::Typed(Value::Array(rules)) = given else {
        r.mistake(Mistake::new(origin, "faults is not an array, allowed: [[faults]] with keys"));
        return Vec::new();
    };
    let mut read = Vec::new();
    for (index, rule) in rules.into_iter().enumerate() {
        match rule_of(rule) {
            Ok(rule) => read.push(rule),
            Err(what) => r.mistake(mistake(&origin, index, &what)),
        }
    }
    read
}

fn mistake(origin: &Origin, index: usize, what: &str) -> Mistake {
    Mistake::new(origin, format!("faults[{index}]: {}", what.trim()))
}

fn rule_of(rule: Value) -> Result<FaultRule, String> {
    let written: Written = rule.try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
    let duration = parse_duration(&written.duration)
        .ok_or_else(|| format!("duration is {:?}, allowed: a duration as \"2s\"", written.duration))?;
    Ok(FaultRule {
        stage: written.stage,
        event_name: written.event_name,
        action: written.action,
        duration,
        times: written.times,
    })
}
