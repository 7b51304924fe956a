//! Whether an event that is posted now would be stored: what the Persisters note about the database and the spool.
//!
//! Where both fail no request comes here any more, and a recovery would go unnoticed. So what fails and is not
//! tried by a request is tried with an event of our own, of which nothing is stored.

use std::sync::Arc;
use std::time::Duration;

use super::deps::Deps;
use super::node_health::Trouble;
use super::persister::Writer;
use crate::store::StoreError;
use crate::telemetry::condition::{Condition, FailingCondition};

/// How often to check whether something has to be tried.
const LOOK: Duration = Duration::from_millis(250);

/// How long no other try must have been made.
const UNATTENDED: Duration = Duration::from_millis(500);

/// Both ways onto a disk.
pub(super) struct StorageHealth {
    deps: Arc<Deps>,
    writer: Arc<Writer>,
}

impl StorageHealth {
    pub fn new(deps: Arc<Deps>, writer: Arc<Writer>) -> Arc<Self> {
        Arc::new(Self { deps, writer })
    }

    /// Why an event would not be stored; nothing if it would.
    pub fn reasons(&self) -> Vec<String> {
        let trouble = self.deps.health.trouble();
        let writing = self.deps.writing.failure().filter(|_| self.deps.writing_fails_for_long());
        let of_database = trouble.as_ref().map(Trouble::to_string).or_else(|| writing.as_ref().map(reason));
        let Some(of_database) = of_database else { return Vec::new() };
        let is_barred = matches!(trouble, Some(Trouble::Barred(_)));
        match self.of_spool() {
            // What cannot go into the database goes into the spool.
            Some(None) if !is_barred => Vec::new(),
            of_spool => std::iter::once(of_database).chain(of_spool.flatten()).collect(),
        }
    }

    /// What fails now, also if events are stored all the same.
    pub fn failing(&self) -> Vec<FailingCondition> {
        let spooling = self.deps.spool_for_new().and_then(|_| self.deps.spooling.failure());
        self.deps.writing.failure().into_iter().chain(spooling).collect()
    }

    /// Why the spool takes nothing, if so; `None` if there is no spool.
    fn of_spool(&self) -> Option<Option<String>> {
        let spool = self.deps.spool_for_new()?;
        Some(spool.refusal().or_else(|| self.deps.spooling.failure().as_ref().map(reason)))
    }

    /// Tries what fails and is not tried otherwise; runs until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut id = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let writing = &self.deps.writing;
            if writing.is_unattended_for(UNATTENDED) {
                note(writing, &self.probe_database(&mut id).await);
            }
            if let Some(spool) = self.deps.spool_for_new()
                && self.deps.spooling.is_unattended_for(UNATTENDED)
            {
                let probed = spool.probe(self.writer.probe_event(0), self.deps.config.timeouts.flush).await;
                note(&self.deps.spooling, &probed);
            }
        }
    }

    /// One id serves all probes, since nothing is stored under it.
    async fn probe_database(&self, id: &mut Option<i64>) -> Result<(), StoreError> {
        if id.is_none() {
            *id = self.writer.ids.take(1).await?.pop();
        }
        self.writer.probe(id.unwrap_or_default()).await
    }
}

fn note(condition: &Condition, result: &Result<(), StoreError>) {
    match result {
        Ok(()) => condition.succeeded(),
        Err(error) => condition.failed_as(error, error.outline()),
    }
}

fn reason(failure: &FailingCondition) -> String {
    format!("{} fails: {}", failure.what, failure.outline)
}
