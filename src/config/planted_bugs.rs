//! Bugs on purpose, which the chaos tests have to find: chosen by the key `planted` when the process starts, and only
//! in builds with the cargo feature `fault-injection`. In others the answer is a constant, and nothing of a bug is left.

/// A way to break the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedBug {
    /// Receipts are sent before the flush is committed.
    AckBeforeCommit,
    /// Outcomes are written whether or not the lease is held.
    NoLeaseCheck,
    /// Keys are neither taken nor looked up.
    NoUniqueKey,
    /// COMMIT does not wait for the disk.
    SynchronousNormal,
}

impl PlantedBug {
    /// Whether this process was started with the bug.
    #[cfg(not(feature = "fault-injection"))]
    pub fn is_chosen(self) -> bool {
        false
    }
}

#[cfg(feature = "fault-injection")]
mod choice {
    use std::sync::OnceLock;

    use toml::Value;

    use super::super::Config;
    use super::super::errors::ConfigError;
    use super::super::reader::ConfigReader;
    use super::super::sources::SourceValue;
    use super::PlantedBug;

    static CHOSEN: OnceLock<PlantedBug> = OnceLock::new();

    const NAMES: [(&str, PlantedBug); 4] = [
        ("ack_before_commit", PlantedBug::AckBeforeCommit),
        ("no_lease_check", PlantedBug::NoLeaseCheck),
        ("no_unique_key", PlantedBug::NoUniqueKey),
        ("synchronous_normal", PlantedBug::SynchronousNormal),
    ];

    impl PlantedBug {
        /// Whether this process was started with the bug.
        pub fn is_chosen(self) -> bool {
            CHOSEN.get() == Some(&self)
        }
    }

    impl Config {
        /// Plants the bug of the key `planted` for the life of the process.
        pub fn plant(&self) {
            if let Some(bug) = self.planted {
                CHOSEN.get_or_init(|| bug);
            }
        }
    }

    pub(in crate::config) fn read(r: &mut ConfigReader) -> Option<PlantedBug> {
        let (given, origin) = r.take("planted")?;
        let named = |name: &str| NAMES.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug);
        let bug = match &given {
            SourceValue::Typed(Value::String(name)) => named(name),
            _ => None,
        };
        if bug.is_none() {
            let names = NAMES.map(|(name, _)| name).join(", ");
            r.add_error(ConfigError::new(origin, format!("planted is not a known bug, allowed: {names}")));
        }
        bug
    }
}

#[cfg(feature = "fault-injection")]
pub(super) use choice::read;
