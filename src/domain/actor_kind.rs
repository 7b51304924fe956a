//! The kinds of actors, a row each: the names that metrics, logs, paths and the tables of the database know them by,
//! and what may be done with them.

/// A kind of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// What checks events.
    Validator,
    /// What makes their properties.
    Normalizer,
    /// What writes them.
    Persister,
    /// The backoff timers.
    Retry,
    /// What brings stored events back into the line.
    Claimer,
    /// What brings spooled events into the database.
    Drainer,
    /// What carries out jobs.
    Replayer,
    /// What removes old rows.
    Pruner,
}

/// What operators may do with the pool of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PoolControl {
    /// Nothing: it has one actor, which goes on.
    None,
    /// Pause it and replace its actor.
    Pause,
    /// The same with several actors, and change their number: every event passes one of them.
    Stage,
}

struct Row {
    kind: ActorKind,
    name: &'static str,
    pool: &'static str,
    control: PoolControl,
    /// The name of the span of its work on an event, if that is one.
    span: Option<&'static str>,
    /// Whether it waits for something through `Stage::wait_for`.
    waits: bool,
}

/// In the order of the flow.
const TABLE: [Row; 8] = [
    Row {
        kind: ActorKind::Validator,
        name: "validator",
        pool: "validators",
        control: PoolControl::Stage,
        span: Some("validate"),
        waits: true,
    },
    Row {
        kind: ActorKind::Normalizer,
        name: "normalizer",
        pool: "normalizers",
        control: PoolControl::Stage,
        span: Some("normalize"),
        waits: false,
    },
    Row {
        kind: ActorKind::Persister,
        name: "persister",
        pool: "persisters",
        control: PoolControl::Stage,
        // What it does is exported by its flushes.
        span: None,
        waits: true,
    },
    Row { kind: ActorKind::Retry, name: "retry", pool: "retry", control: PoolControl::None, span: None, waits: false },
    Row {
        kind: ActorKind::Claimer,
        name: "claimer",
        pool: "claimer",
        control: PoolControl::Pause,
        span: None,
        waits: true,
    },
    Row {
        kind: ActorKind::Drainer,
        name: "drainer",
        pool: "drainer",
        control: PoolControl::None,
        span: None,
        waits: false,
    },
    Row {
        kind: ActorKind::Replayer,
        name: "replayer",
        pool: "replayer",
        control: PoolControl::None,
        span: None,
        waits: true,
    },
    Row {
        kind: ActorKind::Pruner,
        name: "pruner",
        pool: "pruner",
        control: PoolControl::Pause,
        span: None,
        waits: true,
    },
];

impl ActorKind {
    /// How many there are.
    pub const COUNT: usize = TABLE.len();

    /// Every kind, in the order of the flow.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        TABLE.iter().map(|row| row.kind)
    }

    /// Those that every event passes, in the order of the flow.
    pub fn stages() -> impl DoubleEndedIterator<Item = Self> {
        Self::all().filter(|kind| kind.is_stage())
    }

    /// Those that operators may pause.
    pub fn controlled() -> impl Iterator<Item = Self> {
        Self::all().filter(|kind| kind.row().control != PoolControl::None)
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// The name of an actor of this kind.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The name of its pool.
    pub fn pool_name(self) -> &'static str {
        self.row().pool
    }

    /// Whether every event passes it; there may be several of it then.
    pub fn is_stage(self) -> bool {
        self.row().control == PoolControl::Stage
    }

    /// The name of the span of its work on an event, if that is one.
    pub fn span(self) -> Option<&'static str> {
        self.row().span
    }

    /// Whether it waits for something that may never come, such as a database.
    pub fn waits(self) -> bool {
        self.row().waits
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_row() {
        for (place, kind) in ActorKind::all().enumerate() {
            assert_eq!(kind as usize, place, "{}", kind.name());
            assert_eq!(ActorKind::of_name(kind.name()), Some(kind));
        }
    }
}
