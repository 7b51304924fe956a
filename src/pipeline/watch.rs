//! Which nodes are dead, judged by what this node has seen of their heartbeats.
//!
//! A node is dead only after the same heartbeat was read for a whole lease time over a database that answered
//! throughout: an outage kills nobody, nor does a jump of any clock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// What was read of one node.
#[derive(Clone, Debug)]
pub(super) struct Heartbeat {
    pub boot_id: Uuid,
    pub name: String,
    pub value: i64,
    /// Whether the node, or a later boot of it, said that it has stopped.
    pub is_stopped: bool,
}

struct Seen {
    name: String,
    value: i64,
    since: Instant,
    is_dead: bool,
    is_cleared: bool,
}

/// Remembers heartbeats.
pub(super) struct Watch {
    own: Uuid,
    lease: Duration,
    seen: HashMap<Uuid, Seen>,
}

impl Watch {
    pub fn new(own: Uuid, lease: Duration) -> Self {
        Self { own, lease, seen: HashMap::new() }
    }

    /// Takes a reading of all nodes; returns the names of those that turned out to be dead just now.
    pub fn observe(&mut self, heartbeats: &[Heartbeat], now: Instant) -> Vec<String> {
        self.seen.retain(|boot_id, _| heartbeats.iter().any(|heartbeat| heartbeat.boot_id == *boot_id));
        let mut died = Vec::new();
        for heartbeat in heartbeats.iter().filter(|heartbeat| heartbeat.boot_id != self.own) {
            let seen = self.seen.entry(heartbeat.boot_id).or_insert_with(|| Seen::new(heartbeat, now));
            if seen.value != heartbeat.value {
                *seen = Seen::new(heartbeat, now);
            }
            let is_silent = now.duration_since(seen.since) >= self.lease;
            if !seen.is_dead && (heartbeat.is_stopped || is_silent) {
                seen.is_dead = true;
                died.extend(is_silent.then(|| seen.name.clone()));
            }
        }
        died
    }

    /// A reading failed: silence cannot be told from an outage, so every count of silence starts anew.
    pub fn could_not_observe(&mut self, now: Instant) {
        for seen in self.seen.values_mut().filter(|seen| !seen.is_dead) {
            seen.since = now;
        }
    }

    /// Dead nodes that may still hold claims.
    pub fn dead(&self) -> Vec<Uuid> {
        let dead = self.seen.iter().filter(|(_, seen)| seen.is_dead && !seen.is_cleared);
        dead.map(|(boot_id, _)| *boot_id).collect()
    }

    /// All claims of these dead nodes were taken over.
    pub fn clear(&mut self, boots: &[Uuid]) {
        for boot_id in boots {
            if let Some(seen) = self.seen.get_mut(boot_id) {
                seen.is_cleared = true;
            }
        }
    }
}

impl Seen {
    fn new(heartbeat: &Heartbeat, since: Instant) -> Self {
        Self { name: heartbeat.name.clone(), value: heartbeat.value, since, is_dead: false, is_cleared: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn heartbeat(boot: u128, value: i64) -> Heartbeat {
        Heartbeat { boot_id: Uuid::from_u128(boot), name: format!("node-{boot}"), value, is_stopped: false }
    }

    #[test]
    fn a_node_is_dead_after_a_whole_lease_of_the_same_heartbeat() {
        let (mut watch, start) = (Watch::new(Uuid::from_u128(1), LEASE), Instant::now());
        let nodes = [heartbeat(1, 5), heartbeat(2, 5)];
        assert!(watch.observe(&nodes, start).is_empty());
        assert!(watch.observe(&nodes, start + LEASE / 2).is_empty());
        assert_eq!(watch.observe(&nodes, start + LEASE), ["node-2"], "and never this node itself");
        assert_eq!(watch.dead(), [Uuid::from_u128(2)]);
        watch.clear(&watch.dead());
        assert!(watch.dead().is_empty());
        watch.observe(&[heartbeat(2, 6)], start + LEASE * 2);
        assert!(watch.dead().is_empty(), "it came back");
        assert_eq!(watch.observe(&[heartbeat(2, 6)], start + LEASE * 3), ["node-2"], "and died again");
    }

    #[test]
    fn an_outage_kills_nobody() {
        let (mut watch, start) = (Watch::new(Uuid::from_u128(1), LEASE), Instant::now());
        watch.observe(&[heartbeat(2, 5)], start);
        watch.could_not_observe(start + LEASE);
        assert!(watch.observe(&[heartbeat(2, 5)], start + LEASE + LEASE / 2).is_empty());
    }

    #[test]
    fn a_node_that_said_so_is_dead_at_once() {
        let mut watch = Watch::new(Uuid::from_u128(1), LEASE);
        watch.observe(&[Heartbeat { is_stopped: true, ..heartbeat(2, 5) }], Instant::now());
        assert_eq!(watch.dead(), [Uuid::from_u128(2)]);
    }
}
