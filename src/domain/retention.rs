//! How long rows are kept: which events a given age removes, by status and by type.
//!
//! A pending event is never among them, whatever the configuration says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::outcome::Status;

/// How long something is kept; `None` is for ever.
pub type KeptFor = Option<Duration>;

/// How long rows are kept, by what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Events in a final status; a status that is absent is kept.
    pub statuses: Vec<(Status, KeptFor)>,
    /// Events of these types, in any final status: this wins over their status.
    pub types: BTreeMap<String, KeptFor>,
    /// Attempts that failed, of events that stay.
    pub attempts: KeptFor,
    /// Rows of the audit log.
    pub audit: KeptFor,
    /// Jobs that ended.
    pub jobs: KeptFor,
}

/// Which events go once they are of this age: also those that a younger age removes, so that what an earlier pass has
/// left behind goes too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovalRule {
    /// Time since the event came to its end.
    pub age: Duration,
    /// Final statuses that go, whatever the type.
    pub statuses: Vec<Status>,
    /// Types that go, whatever the final status.
    pub types: Vec<String>,
    /// Types that stay, whatever the status.
    pub kept_types: Vec<String>,
}

impl RetentionPolicy {
    /// A rule for each age by which events go, the youngest first.
    pub fn rules(&self) -> Vec<RemovalRule> {
        let ages = self.statuses.iter().map(|(_, age)| age).chain(self.types.values());
        let ages: BTreeSet<Duration> = ages.flatten().copied().collect();
        ages.into_iter().map(|age| self.rule(age)).collect()
    }

    fn rule(&self, age: Duration) -> RemovalRule {
        let goes = |kept_for: &KeptFor| kept_for.is_some_and(|kept_for| kept_for <= age);
        let named = |of: &dyn Fn(&KeptFor) -> bool| {
            self.types.iter().filter(|(_, kept_for)| of(kept_for)).map(|(name, _)| name.clone()).collect()
        };
        let statuses = self.statuses.iter().filter(|(status, kept_for)| status.is_final() && goes(kept_for));
        RemovalRule {
            age,
            statuses: statuses.map(|(status, _)| *status).collect(),
            types: named(&goes),
            kept_types: named(&|kept_for| !goes(kept_for)),
        }
    }
}

impl RemovalRule {
    /// The rule as a text: two rules are the same if their texts are.
    pub fn text(&self) -> String {
        format!("{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn policy() -> RetentionPolicy {
        RetentionPolicy {
            statuses: vec![
                (Status::Pending, Some(DAY)),
                (Status::Processed, None),
                (Status::ValidationError, Some(30 * DAY)),
                (Status::Failed, Some(90 * DAY)),
            ],
            types: BTreeMap::from([
                ("view".to_owned(), Some(7 * DAY)),
                ("click".to_owned(), Some(30 * DAY)),
                ("order".to_owned(), None),
            ]),
            attempts: None,
            audit: None,
            jobs: None,
        }
    }

    #[test]
    fn there_is_a_rule_for_each_age_and_it_takes_what_younger_ones_take() {
        let rules = policy().rules();
        let ages: Vec<u64> = rules.iter().map(|rule| rule.age.as_secs() / DAY.as_secs()).collect();
        assert_eq!(ages, [1, 7, 30, 90]);
        assert_eq!(rules[1].statuses, []);
        assert_eq!((rules[1].types.clone(), rules[1].kept_types.len()), (vec!["view".to_owned()], 2));
        assert_eq!(rules[2].statuses, [Status::ValidationError]);
        assert_eq!(rules[2].types, ["click", "view"]);
        assert_eq!(rules[3].statuses, [Status::ValidationError, Status::Failed]);
        assert_eq!(rules[3].kept_types, ["order"]);
    }

    #[test]
    fn pending_events_are_in_no_rule() {
        assert!(policy().rules().iter().all(|rule| !rule.statuses.contains(&Status::Pending)));
    }
}
