//! What is known of the cluster, as it was last reported.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::text::Text;
use crate::domain::histogram::{CLASSES, DurationHistogram};

/// Silence after which what is shown is called old: a server that lives sends new figures every five seconds.
const SILENCE: Duration = Duration::from_secs(20);

/// Without an update of the line for so long nothing was at work.
const IDLE: Duration = Duration::from_millis(2_500);

/// Something that was received.
#[derive(Debug)]
pub(super) enum Update {
    Course(SeriesReply),
    Figures(FiguresReply),
    Line(Box<PipelineStatus>),
    Failures(Result<Vec<FailedEvent>, Text>),
    /// The connection is lost, or did not come about, for this reason.
    Lost(Text),
    /// A signal requests the end.
    Stop,
}

/// The figures of the last minutes, in buckets.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct SeriesReply {
    pub(super) step_seconds: i64,
    pub(super) buckets: Vec<FigureBucket>,
}

/// The newest buckets, and what waits.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FiguresReply {
    pub(super) buckets: Vec<FigureBucket>,
    pending: i64,
    pending_and_more: bool,
    spooled: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct FigureBucket {
    pub(super) at: Text,
    pub(super) received: i64,
    pub(super) processed: i64,
    pub(super) duplicate: i64,
    pub(super) validation_error: i64,
    pub(super) failed: i64,
    pub(super) retried: i64,
    processing_times: [i64; CLASSES],
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PipelineStatus {
    pub(super) node: Name,
    pub(super) generation: u64,
    pub(super) state: Value<Text>,
    pub(super) pools: Vec<PoolStatus>,
    pub(super) in_flight: InFlight,
    pub(super) retries_waiting: i64,
    pub(super) claims_held: i64,
    /// `None` while the database does not answer.
    pub(super) nodes: Option<Vec<NodeStatus>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Name {
    pub(super) name: Text,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Value<T> {
    pub(super) value: T,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct InFlight {
    pub(super) events: i64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PoolStatus {
    pub(super) name: Text,
    pub(super) state: Option<Value<Text>>,
    pub(super) held: i64,
    pub(super) actors: Vec<Actor>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Actor {
    pub(super) name: Text,
    pub(super) state: Text,
    pub(super) restarts: i64,
    pub(super) panics: i64,
    pub(super) mailbox: i64,
    pub(super) events: i64,
    pub(super) busy_ms: u64,
    pub(super) last_error: Option<Text>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct NodeStatus {
    pub(super) name: Text,
    pub(super) this: bool,
    pub(super) state: Text,
    pub(super) heartbeat_age_ms: u64,
    pub(super) claims: i64,
    pub(super) spool_events: i64,
    pub(super) control_generation: i64,
}

/// An event that was given up or refused.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct FailedEvent {
    pub(super) id: i64,
    pub(super) received_at: Text,
    pub(super) event_name: Option<Text>,
    pub(super) status: Text,
    pub(super) error_code: Option<Text>,
    pub(super) processing_error: Option<Text>,
}

/// Sums over the series.
#[derive(Clone, Debug, Default)]
pub(super) struct WindowSums {
    pub(super) all: FigureBucket,
    pub(super) times: DurationHistogram,
}

/// All that is known.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// The server's URL.
    pub(super) base: String,
    pub(super) course: Vec<FigureBucket>,
    pub(super) step_seconds: i64,
    figures: Option<FiguresReply>,
    pub(super) line: Option<PipelineStatus>,
    line_at: Option<Instant>,
    /// Which part of the time between the last two looks each actor was at work.
    busy: HashMap<Text, f64>,
    received_at: Option<Instant>,
    pub(super) failures: Result<Vec<FailedEvent>, Text>,
    /// Why there is no connection.
    pub(super) lost: Option<Text>,
}

impl Model {
    pub(super) fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            course: Vec::new(),
            step_seconds: 1,
            figures: None,
            line: None,
            line_at: None,
            busy: HashMap::new(),
            received_at: None,
            failures: Ok(Vec::new()),
            lost: None,
        }
    }

    /// Takes what was received at `now`.
    pub(super) fn apply(&mut self, news: Update, now: Instant) {
        match news {
            Update::Failures(failures) => self.failures = failures,
            Update::Lost(why) => self.lost = Some(why),
            Update::Stop => {}
            Update::Course(course) => {
                self.step_seconds = course.step_seconds.max(1);
                self.course = course.buckets;
                self.connected(now);
            }
            Update::Figures(figures) => {
                self.merge(&figures.buckets);
                self.figures = Some(figures);
                self.connected(now);
            }
            Update::Line(line) => {
                self.compare(&line, now);
                (self.line, self.line_at) = (Some(*line), Some(now));
                self.connected(now);
            }
        }
    }

    /// Whether there is something since then that nobody should wait for: the first update, other failures, a
    /// connection that was lost or came back.
    pub(super) fn has_turned_since(&self, shown: &Self) -> bool {
        let has_first = |model: &Self| (model.line.is_some(), model.figures.is_some());
        has_first(self) != has_first(shown) || self.lost != shown.lost || self.failures != shown.failures
    }

    fn connected(&mut self, now: Instant) {
        (self.lost, self.received_at) = (None, Some(now));
    }

    /// A bucket that is there gets its new figures, a later one pushes the oldest out.
    fn merge(&mut self, news: &[FigureBucket]) {
        for bucket in news {
            match self.course.iter().position(|known| known.at == bucket.at) {
                Some(place) => self.course[place] = bucket.clone(),
                None if self.course.last().is_some_and(|last| last.at.as_str() < bucket.at.as_str()) => {
                    self.course.push(bucket.clone());
                    self.course.remove(0);
                }
                None => {}
            }
        }
    }

    fn compare(&mut self, line: &PipelineStatus, now: Instant) {
        let before: HashMap<&Text, u64> = self.line.iter().flat_map(actors).map(|a| (&a.name, a.busy_ms)).collect();
        let span = self.line_at.map_or(0.0, |line_at| (now - line_at).as_secs_f64() * 1_000.0);
        let share = |actor: &Actor| {
            let worked = actor.busy_ms.saturating_sub(*before.get(&actor.name)?);
            (span > 0.0).then(|| (actor.name.clone(), (worked as f64 / span).min(1.0)))
        };
        self.busy = actors(line).filter_map(share).collect();
    }

    /// Which part of its time an actor was at work lately.
    pub(super) fn busy(&self, actor: &Text, now: Instant) -> f64 {
        let is_idle = self.line_at.is_none_or(|line_at| now - line_at > IDLE);
        if is_idle { 0.0 } else { self.busy.get(actor).copied().unwrap_or_default() }
    }

    /// What is wrong with what is shown, if anything.
    pub(super) fn trouble(&self, now: Instant) -> Option<String> {
        if let Some(why) = &self.lost {
            return Some(format!("no connection, trying again: {why}"));
        }
        match self.received_at {
            None => Some("connecting".to_owned()),
            Some(received_at) if now - received_at > SILENCE => {
                Some(format!("silent for {} s", (now - received_at).as_secs()))
            }
            Some(_) => None,
        }
    }

    /// What waits in the database, as far as it was counted.
    pub(super) fn pending(&self) -> String {
        let text = |figures: &FiguresReply| {
            format!("{}{}", super::text::grouped(figures.pending), if figures.pending_and_more { "+" } else { "" })
        };
        self.figures.as_ref().map_or_else(|| "–".to_owned(), text)
    }

    /// What waits on the disks of nodes.
    pub(super) fn spooled(&self) -> String {
        self.figures.as_ref().map_or_else(|| "–".to_owned(), |figures| super::text::grouped(figures.spooled))
    }

    /// The last bucket that is full, or what there is.
    pub(super) fn newest(&self) -> Option<&FigureBucket> {
        self.course.iter().rev().nth(1).or(self.course.last())
    }

    pub(super) fn sums(&self) -> WindowSums {
        let mut sums = WindowSums::default();
        for bucket in &self.course {
            sums.all.received += bucket.received;
            sums.all.processed += bucket.processed;
            sums.all.duplicate += bucket.duplicate;
            sums.all.validation_error += bucket.validation_error;
            sums.all.failed += bucket.failed;
            sums.all.retried += bucket.retried;
            sums.times.merge(&bucket.times());
        }
        sums
    }
}

impl FigureBucket {
    pub(super) fn times(&self) -> DurationHistogram {
        DurationHistogram::of(self.processing_times)
    }
}

fn actors(line: &PipelineStatus) -> impl Iterator<Item = &Actor> {
    line.pools.iter().flat_map(|pool| &pool.actors)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A bucket of some second with so many events processed, each in a millisecond.
    pub(in super::super) fn bucket(second: u32, processed: i64) -> serde_json::Value {
        let mut times = [0; CLASSES];
        times[4] = processed;
        json!({"at": format!("2026-11-29T10:00:{second:02}.000000Z"), "received": processed, "processed": processed,
            "duplicate": 0, "validation_error": 1, "failed": 2, "cancelled": 0, "retried": 3, "flushes": 1,
            "average_processing_ms": 1.0, "p50_ms": 1.0, "p95_ms": 1.0, "p99_ms": 1.0, "processing_times": times})
    }

    pub(in super::super) fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).expect("it is as a server tells it")
    }

    /// The line of a server with one actor that was at work for so long.
    pub(in super::super) fn line(busy_ms: u64) -> Box<PipelineStatus> {
        let actor = json!({"name": "validator-1", "state": "running", "restarts": 4, "panics": 0, "mailbox": 5,
            "events": 12345, "busy_ms": busy_ms, "last_error": "stuck"});
        let node = json!({"name": "mill\u{1b}[2J", "boot_id": "b", "this": true, "state": "alive", "heartbeat_age_ms": 0,
            "claims": 6, "spool_events": 7, "spool_bytes": 1, "started_at": "", "control_generation": 8});
        Box::new(read(
            json!({"node": {"name": "mill\u{1b}[2J", "boot_id": "b"}, "generation": 1, "control_generation": 8,
            "state": {"value": "paused", "source": "stored", "by": 1, "at": ""},
            "pools": [{"name": "validators", "size": {"value": 1}, "state": {"value": "paused"}, "held": 9, "actors": [actor]}],
            "in_flight": {"events": 3, "bytes": 4}, "retries_waiting": 1, "claims_held": 2, "stale_writes_rejected": 0,
            "nodes": [node]}),
        ))
    }

    pub(in super::super) fn failure() -> FailedEvent {
        read(json!({"id": 17, "received_at": "2026-11-29T10:00:01.500000Z", "event_name": "bad\u{7}name",
            "event_type": "e", "status": "failed", "error_code": "refused", "processing_error": "line\nbreak\u{1b}]0;x",
            "payload": {"x": 1}}))
    }

    /// A model that received everything once.
    pub(in super::super) fn filled_model(now: Instant) -> Model {
        let mut model = Model::new("http://127.0.0.1:5555");
        let course =
            json!({"window": "5m", "step_seconds": 5, "buckets": [bucket(0, 10), bucket(5, 20), bucket(10, 0)]});
        let figures = json!({"step_seconds": 5, "buckets": [bucket(5, 20), bucket(10, 30)], "pending": 10_000,
            "pending_and_more": true, "spooled": 7});
        model.apply(Update::Course(read(course)), now);
        model.apply(Update::Figures(read(figures)), now);
        model.apply(Update::Line(line(1_000)), now);
        model.apply(Update::Failures(Ok(vec![failure()])), now);
        model
    }

    #[test]
    fn new_buckets_take_their_place_and_push_the_oldest_out() {
        let now = Instant::now();
        let mut model = filled_model(now);
        let course = |model: &Model| model.course.iter().map(|bucket| bucket.processed).collect::<Vec<_>>();
        assert_eq!(course(&model), [10, 20, 30]);
        assert_eq!(model.newest().map(|bucket| bucket.processed), Some(20), "the last one is still being filled");
        let sums = model.sums();
        assert_eq!((sums.all.processed, sums.all.failed), (60, 6));
        assert!(sums.times.quantile_us(0.5).is_some_and(|us| (512.0..1_024.0).contains(&us)));
        model.merge(&[read(bucket(15, 40)), read(bucket(0, 99))]);
        assert_eq!(course(&model), [20, 30, 40], "an old one does not come back");
        assert_eq!((model.pending(), model.spooled()), ("10,000+".to_owned(), "7".to_owned()));
    }

    #[test]
    fn an_actor_is_busy_as_long_as_it_worked_between_two_looks() {
        let now = Instant::now();
        let mut model = filled_model(now);
        let actor = Text::of("validator-1");
        assert_eq!(model.busy(&actor, now), 0.0, "one look tells nothing");
        let later = now + Duration::from_secs(1);
        model.apply(Update::Line(line(1_250)), later);
        assert!((model.busy(&actor, later) - 0.25).abs() < 1e-9);
        assert_eq!(model.busy(&actor, later + Duration::from_secs(3)), 0.0, "what does not change is not told");
        model.apply(Update::Line(line(7)), later + Duration::from_secs(1));
        assert_eq!(model.busy(&actor, later + Duration::from_secs(1)), 0.0, "the server was started anew");
    }

    #[test]
    fn a_lost_connection_and_silence_are_shown_until_there_is_news() {
        let now = Instant::now();
        assert_eq!(Model::new("").trouble(now).as_deref(), Some("connecting"));
        let mut model = filled_model(now);
        assert_eq!(model.trouble(now), None);
        assert!(model.trouble(now + Duration::from_secs(21)).is_some_and(|text| text.contains("silent for 21 s")));
        model.apply(Update::Lost(Text::of("refused\n")), now);
        assert_eq!(model.trouble(now).as_deref(), Some("no connection, trying again: refused\\n"));
        let lost = model.clone();
        model.apply(Update::Line(line(1)), now);
        assert_eq!(model.trouble(now), None);
        assert!(model.has_turned_since(&lost) && lost.has_turned_since(&Model::new("")));
        let mut later = model.clone();
        later.apply(Update::Line(line(2)), now);
        assert!(!later.has_turned_since(&model), "this can wait");
    }
}
