//! The kinds of actors.

use crate::store::Target;

/// The kinds of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ActorKind {
    Claimer,
    Drainer,
    Replayer,
    Retry,
    Persister,
    Normalizer,
    Validator,
}

impl ActorKind {
    /// Every kind, in the order of the flow.
    pub const ALL: [Self; 7] =
        [Self::Validator, Self::Normalizer, Self::Persister, Self::Retry, Self::Claimer, Self::Drainer, Self::Replayer];

    /// The name of an actor of this kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claimer => "claimer",
            Self::Drainer => "drainer",
            Self::Replayer => "replayer",
            Self::Retry => "retry",
            Self::Persister => "persister",
            Self::Normalizer => "normalizer",
            Self::Validator => "validator",
        }
    }

    /// The name of its pool.
    pub fn pool_name(self) -> &'static str {
        match self {
            Self::Claimer => "claimer",
            Self::Drainer => "drainer",
            Self::Replayer => "replayer",
            Self::Retry => "retry",
            Self::Persister => "persisters",
            Self::Normalizer => "normalizers",
            Self::Validator => "validators",
        }
    }

    /// What operators can control of it, if anything.
    pub fn target(self) -> Option<Target> {
        match self {
            Self::Validator => Some(Target::Validators),
            Self::Normalizer => Some(Target::Normalizers),
            Self::Persister => Some(Target::Persisters),
            Self::Claimer => Some(Target::Claimer),
            Self::Drainer | Self::Replayer | Self::Retry => None,
        }
    }

    /// Every kind that can be controlled.
    pub fn controlled() -> impl Iterator<Item = (Self, Target)> {
        Self::ALL.into_iter().filter_map(|kind| Some((kind, kind.target()?)))
    }

    /// Whether there may be more than one actor of this kind.
    pub fn is_resizable(self) -> bool {
        matches!(self, Self::Validator | Self::Normalizer | Self::Persister)
    }
}
