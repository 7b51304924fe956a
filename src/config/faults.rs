//! Rules that make an actor fail, for tests: only in builds with the cargo feature `fault-injection`.

use std::time::Duration;

use serde::Deserialize;
use toml::Value;

use super::errors::ConfigError;
use super::reader::ConfigReader;
use super::sources::{SourceValue, ValueOrigin};
use super::units::parse_duration;
use crate::domain::actor_kind::ActorKind;

/// One rule of `[[faults]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// Where it strikes.
    pub stage: FaultStage,
    /// At which point there.
    pub point: FaultPoint,
    /// The events concerned; "" is every event.
    pub event_name: String,
    /// What happens.
    pub action: FaultAction,
    /// How long a stall lasts.
    pub duration: Duration,
    /// How often at most; 0 is always.
    pub times: u32,
    /// Which part of the attempts it strikes, drawn by their events' ids; 1 is all.
    pub share: f64,
}

/// The actors that a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum FaultStage {
    /// Those of the line.
    Line(ActorKind),
    /// The one above it.
    Supervisor,
}

impl TryFrom<String> for FaultStage {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.as_str() {
            "supervisor" => Ok(Self::Supervisor),
            name => {
                ActorKind::of_name(name).map(Self::Line).ok_or_else(|| format!("stage is {name:?}, no actor's name"))
            }
        }
    }
}

impl FaultStage {
    /// The stage's name, as actors and log lines have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Line(kind) => kind.name(),
            Self::Supervisor => "supervisor",
        }
    }

    fn works_on_events(self) -> bool {
        matches!(self, Self::Line(kind) if kind.is_stage())
    }

    fn waits(self) -> bool {
        matches!(self, Self::Line(kind) if kind.waits())
    }
}

/// The points of an actor's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultPoint {
    /// The work on one event.
    Event,
    /// Beside all events: a look-up of users, a message to the normalizer, a flush, a timer that rings, a turn of the
    /// claimer, the replayer or the pruner, a look of the supervisor.
    Turn,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultAction {
    /// A panic; in an event's work it is caught by the stage.
    Panic,
    /// A panic that nobody catches: the actor dies.
    Crash,
    /// The whole process ends at once.
    Abort,
    /// The work takes `duration` longer, and blocks its thread.
    Stall,
    /// The work never ends and occupies its thread.
    Loop,
    /// What is waited for never comes.
    Hang,
    /// The work ends in a transient error.
    Error,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    stage: FaultStage,
    #[serde(default = "event")]
    point: FaultPoint,
    #[serde(default)]
    event_name: String,
    action: FaultAction,
    #[serde(default = "one_second")]
    duration: String,
    #[serde(default)]
    times: u32,
    #[serde(default = "all")]
    share: f64,
}

fn event() -> FaultPoint {
    FaultPoint::Event
}

fn one_second() -> String {
    "1s".to_owned()
}

fn all() -> f64 {
    1.0
}

pub(super) fn read(r: &mut ConfigReader) -> Vec<FaultRule> {
    let Some((given, origin)) = r.take("faults") else {
        return Vec::new();
    };
    let SourceValue::Typed(Value::Array(rules)) = given else {
        r.add_error(ConfigError::new(origin, "faults is not an array, allowed: [[faults]] with keys"));
        return Vec::new();
    };
    let mut read = Vec::new();
    for (index, rule) in rules.into_iter().enumerate() {
        match rule_of(rule) {
            Ok(rule) => read.push(rule),
            Err(what) => r.add_error(rule_error(&origin, index, &what)),
        }
    }
    read
}

fn rule_error(origin: &ValueOrigin, index: usize, what: &str) -> ConfigError {
    ConfigError::new(origin, format!("faults[{index}]: {}", what.trim()))
}

fn rule_of(rule: Value) -> Result<FaultRule, String> {
    let written: RawRule = rule.try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
    let duration = parse_duration(&written.duration)
        .ok_or_else(|| format!("duration is {:?}, allowed: a duration as \"2s\"", written.duration))?;
    let RawRule { stage, point, event_name, action, times, share, .. } = written;
    let rule = FaultRule { stage, point, event_name, action, duration, times, share };
    match impossible(&rule) {
        Some(what) => Err(what),
        None => Ok(rule),
    }
}

fn impossible(rule: &FaultRule) -> Option<String> {
    let stage = rule.stage.as_str();
    match (rule.point, rule.action) {
        (FaultPoint::Event, _) if !rule.stage.works_on_events() => {
            Some(format!("point is event, allowed for {stage}: turn"))
        }
        (FaultPoint::Event, FaultAction::Hang) => Some("action is hang, allowed at point turn".to_owned()),
        (FaultPoint::Turn, FaultAction::Hang) if !rule.stage.waits() => {
            Some(format!("action is hang, and the {stage} waits for nothing"))
        }
        (FaultPoint::Turn, FaultAction::Error) => Some("action is error, allowed at point event".to_owned()),
        _ => None,
    }
}
