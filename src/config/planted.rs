//! Bugs on purpose, which the chaos tests have to find: chosen by the key `planted` when the process starts, and only
//! in builds with the cargo feature `fault-injection`. In others the answer is a constant, and nothing of a bug is left.

/// A way to break the promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Receipts are sent before the flush is committed.
    AckBeforeCommit,
    /// Outcomes are written whoever holds the lease.
    NoLeaseCheck,
    /// Keys are neither taken nor looked up.
    NoUniqueKey,
    /// COMMIT does not wait for the disk.
    SynchronousNormal,
}

impl Planted {
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
    use super::super::mistakes::Mistake;
    use super::super::reader::Reader;
    use super::super::sources::Given;
    use super::Planted;

    static CHOSEN: OnceLock<Planted> = OnceLock::new();

    const NAMES: [(&str, Planted); 4] = [
        ("ack_before_commit", Planted::AckBeforeCommit),
        ("no_lease_check", Planted::NoLeaseCheck),
        ("no_unique_key", Planted::NoUniqueKey),
        ("synchronous_normal", Planted::SynchronousNormal),
    ];

    impl Planted {
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

    pub(in crate::config) fn read(r: &mut Reader) -> Option<Planted> {
        let (given, origin) = r.take("planted")?;
        let named = |name: &str| NAMES.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug);
        let bug = match &given {
            Given::Typed(Value::String(name)) => named(name),
            _ => None,
        };
        if bug.is_none() {
            let names = NAMES.map(|(name, _)| name).join(", ");
            r.mistake(Mistake::new(origin, format!("planted is no known bug, allowed: {names}")));
        }
        bug
    }
}

#[cfg(feature = "fault-injection")]
pub(super) use choice::read;
