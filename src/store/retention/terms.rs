//! Which events go, as a condition that each statement repeats.

use std::time::Duration;

use sea_orm::{DbBackend, Value};

use crate::domain::retention::RemovalRule;
use crate::store::dialect::{micros_ago, placeholder};
use crate::store::key_clock;
use crate::store::plans::hidden;

/// How much longer than its key an event stays: clocks of nodes are apart, and a key is a little younger than its event.
const AFTER_KEY: Duration = Duration::from_secs(3_600);

/// Which events go.
#[derive(Clone, Debug)]
pub struct EventTerms {
    /// The rule.
    pub rule: RemovalRule,
    /// How long keys live: no event goes before its key.
    pub keys_live_for: Duration,
}

impl EventTerms {
    /// The age by which events go.
    pub(super) fn age(&self) -> Duration {
        self.rule.age.max(self.keys_live_for + AFTER_KEY)
    }

    /// What makes an event go, with the values that its placeholders stand for, from `first` on.
    pub(super) fn condition(&self, backend: DbBackend, first: usize) -> (String, Vec<Value>) {
        let RemovalRule { statuses, types, kept_types, .. } = &self.rule;
        let mut values = vec![micros_ago(self.age())];
        let age = key_clock::expiry_sql(backend, &placeholder(backend, first));
        let mut is_named = |names: &[String], goes: &str| {
            let places: Vec<String> = names
                .iter()
                .map(|name| {
                    values.push(name.as_str().into());
                    placeholder(backend, first + values.len() - 1)
                })
                .collect();
            if places.is_empty() {
                String::new()
            } else {
                format!("WHEN event_type IN ({}) THEN {goes} ", places.join(", "))
            }
        };
        let by_type = format!("{}{}", is_named(types, "TRUE"), is_named(kept_types, "FALSE"));
        let statuses: Vec<String> = statuses.iter().map(|status| format!("'{}'", status.as_str())).collect();
        let by_status =
            if statuses.is_empty() { "FALSE".to_owned() } else { format!("status IN ({})", statuses.join(", ")) };
        let goes = format!("CASE {by_type}WHEN {by_status} THEN TRUE ELSE FALSE END");
        (hidden(&format!("status <> 'pending' AND finished_at <= {age} AND {goes}")), values)
    }

    /// The name of its walk.
    pub(super) fn name(&self) -> String {
        format!("events {}s", self.rule.age.as_secs())
    }
}
