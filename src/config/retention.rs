//! The section that says how long rows are kept.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::ConfigReader;
use crate::domain::outcome::Status;
use crate::domain::retention::RetentionPolicy;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// What is removed, and how often that is looked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RetentionConfig {
    /// Time between the end of a run and the next one.
    pub interval: Duration,
    /// The folder into which rows are written before they go, if they are.
    pub archive: Option<PathBuf>,
    /// How long everything is kept.
    pub policy: RetentionPolicy,
}

impl RetentionConfig {
    pub(super) fn read(r: &mut ConfigReader) -> Self {
        let ages = HOUR..=36_500 * DAY;
        let statuses = [
            (Status::Processed, "retention.processed"),
            (Status::ValidationError, "retention.validation_error"),
            (Status::Failed, "retention.failed"),
            (Status::Cancelled, "retention.cancelled"),
            (Status::Duplicate, "retention.duplicate"),
        ];
        RetentionConfig {
            interval: r.duration("retention.interval", SECOND..=7 * DAY),
            archive: archive(r),
            policy: RetentionPolicy {
                statuses: statuses.map(|(status, key)| (status, r.duration_or_off(key, ages.clone()))).to_vec(),
                types: r.durations_or_off("retention.types", ages.clone()),
                attempts: r.duration_or_off("retention.attempts", ages.clone()),
                audit: r.duration_or_off("retention.audit", ages.clone()),
                jobs: r.duration_or_off("retention.jobs", ages),
            },
        }
    }
}

fn archive(r: &mut ConfigReader) -> Option<PathBuf> {
    let folder = r.text("retention.archive", "the path of a folder, or empty", |text| !text.contains('\0'));
    (!folder.is_empty()).then(|| folder.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn times_are_off_or_durations_by_status_and_by_type() {
        let defaults = Config::defaults().retention.policy;
        assert_eq!(defaults.statuses[0], (Status::Processed, None));
        assert_eq!(defaults.statuses[2], (Status::Failed, Some(90 * DAY)));
        let text =
            "[retention]\nfailed = \"off\"\nprocessed = \"400d\"\n[retention.types]\n\"a b\" = \"1h\"\nview = \"off\"";
        let config = Config::from_toml(text).expect("a configuration");
        let policy = &config.retention.policy;
        assert_eq!((policy.statuses[0].1, policy.statuses[2].1), (Some(400 * DAY), None));
        assert_eq!(policy.types["a b"], Some(HOUR));
        assert_eq!(policy.types["view"], None);
        assert!(config.show().contains("types = { \"a b\" = \"1h\", view = \"off\" }  # "), "{}", config.show());
    }

    #[test]
    fn types_come_from_the_environment_too() {
        let variable = |text: &str| [("GRISTMILL__RETENTION__TYPES".to_owned(), text.into())];
        let config = Config::load(&Sources::of(None, variable("{ view = \"30d\" }"), &[])).expect("a configuration");
        assert_eq!(config.retention.policy.types["view"], Some(30 * DAY));
        for wrong in ["{ view = 30 }", "view = \"30d\"", "{ view = \"30m\" }", "30d", "{}\nx = 1"] {
            let errors = Config::load(&Sources::of(None, variable(wrong), &[])).expect_err(wrong);
            assert!(errors.to_string().contains("retention.types is "), "{errors}");
        }
    }
}
