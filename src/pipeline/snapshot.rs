//! What a node publishes about its line, so that any node can show every other.
//!
//! Guaranteed: the heartbeat never waits for it, nothing is published twice within some seconds, and no more than 8 KiB
//! a second on average. Not guaranteed: that each state is published, only that the last one is, with its age.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::deps::Deps;
use super::supervisor::{Describe, Supervisor};
use super::view::SnapshotView;
use super::{Pipeline, WAIT};
use crate::store::StoreError;
use crate::telemetry::condition::Condition;

/// How often the line is looked at; a large one is published less often.
const PERIOD: Duration = Duration::from_secs(1);

/// Bytes that are published in a [`PERIOD`]: a line of a dozen actors has two thousand.
const BYTES_MAX: usize = 8 << 10;

/// An unchanged snapshot is published again after this time, which shows that it is still true.
const CONFIRM: Duration = Duration::from_secs(5);

/// What another node published.
#[derive(Debug)]
pub struct RemoteSnapshot {
    /// Its line, with whatever members its version has.
    pub line: Map<String, Value>,
    /// When that was.
    pub snapshot: SnapshotView,
}

/// Publishes what the line looks like from now on, for as long as it lives.
pub(super) fn start(deps: Arc<Deps>, supervisor: Addr<Supervisor>) {
    deps.store.clone().spawn(publish(deps, supervisor));
}

async fn publish(deps: Arc<Deps>, supervisor: Addr<Supervisor>) {
    let condition = Condition::new("publishing what the line looks like");
    let mut published: Option<(String, Instant)> = None;
    while let Ok(view) = supervisor.send(Describe).await {
        let line = serde_json::to_string(&view).expect("views have text keys only");
        let pause = pause_after(line.len());
        if !published.as_ref().is_some_and(|(before, at)| *before == line && at.elapsed() < CONFIRM) {
            let written = deps.store.publish_snapshot(deps.identity.boot_id, line.clone(), WAIT).await;
            condition.note(&written);
            published = written.ok().map(|()| (line, Instant::now()));
        }
        tokio::time::sleep(pause).await;
    }
}

/// How long nothing is published after so many bytes.
fn pause_after(bytes: usize) -> Duration {
    PERIOD * u32::try_from(bytes.div_ceil(BYTES_MAX).max(1)).unwrap_or(u32::MAX)
}

impl Pipeline {
    /// The last snapshot that another node's boot published of its line; `None` if there is none.
    pub async fn remote_snapshot(&self, boot_id: Uuid) -> Result<Option<RemoteSnapshot>, StoreError> {
        let Some(snapshot) = self.inner.deps.store.snapshot_of(boot_id, WAIT).await? else { return Ok(None) };
        // Nodes write objects only; of anything else there is nothing to show.
        let Ok(line) = serde_json::from_str(&snapshot.line) else { return Ok(None) };
        Ok(Some(RemoteSnapshot { line, snapshot: SnapshotView::of(snapshot.age) }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::view::OLD;
    use super::*;

    #[test]
    fn a_large_line_is_published_less_often_but_before_it_is_old() {
        assert_eq!(pause_after(2_000), PERIOD);
        assert_eq!(pause_after(BYTES_MAX + 1), PERIOD * 2);
        let largest = 3 * 64 * 200;
        assert!(CONFIRM + pause_after(largest) < OLD, "{:?}", pause_after(largest));
    }
}
