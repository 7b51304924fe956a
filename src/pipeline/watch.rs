//! Which nodes are dead, judged by what this node has seen of their heartbeats.
//!
//! A node is dead only after the same heartbeat was read for a whole lease time over a database that answered
//! throughout: an outage kills nobody, nor does a jump of any clock. Nothing is concluded from what was taken over
//! before: a claim that was under way when its node ended may be committed later.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::store::{Death, Neighbour};

struct Seen {
    name: String,
    heartbeat: i64,
    since: Instant,
    is_dead: bool,
    holds_leases: bool,
    /// Whether its heartbeat has grown since it was first read: else it may have ended long ago.
    has_lived: bool,
}

/// Remembers heartbeats.
pub(super) struct Watch {
    own: Uuid,
    lease: Duration,
    seen: HashMap<Uuid, Seen>,
    /// The last reading.
    read_at: Option<Instant>,
}

impl Watch {
    pub fn new(own: Uuid, lease: Duration) -> Self {
        Self { own, lease, seen: HashMap::new(), read_at: None }
    }

    /// Takes a reading of all nodes; returns the names of those that died just now, or left something behind.
    pub fn observe(&mut self, neighbours: &[Neighbour], now: Instant) -> Vec<String> {
        // Who has not looked for long has seen no silence: this node may have been frozen itself.
        if self.read_at.is_some_and(|at| now.duration_since(at) > self.lease) {
            self.could_not_observe(now);
        }
        self.read_at = Some(now);
        self.seen.retain(|boot_id, _| neighbours.iter().any(|neighbour| neighbour.boot_id == *boot_id));
        let mut died = Vec::new();
        for neighbour in neighbours.iter().filter(|neighbour| neighbour.boot_id != self.own) {
            let seen = self.seen.entry(neighbour.boot_id).or_insert_with(|| Seen::new(neighbour, now));
            if seen.heartbeat != neighbour.heartbeat {
                *seen = Seen { has_lived: true, ..Seen::new(neighbour, now) };
            }
            seen.holds_leases = neighbour.holds_leases;
            let is_silent = now.duration_since(seen.since) >= self.lease;
            if !seen.is_dead && (neighbour.is_stopped || is_silent) {
                seen.is_dead = true;
                let is_news = !neighbour.is_stopped && (seen.has_lived || seen.holds_leases);
                died.extend(is_news.then(|| seen.name.clone()));
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

    /// Dead nodes that hold leases, each with the heartbeat by which it was judged.
    pub fn deaths(&self) -> Vec<Death> {
        let holders = self.seen.iter().filter(|(_, seen)| seen.is_dead && seen.holds_leases);
        holders.map(|(boot_id, seen)| seen.death(*boot_id)).collect()
    }

    /// All dead nodes.
    pub fn dead(&self) -> Vec<Uuid> {
        self.seen.iter().filter(|(_, seen)| seen.is_dead).map(|(boot_id, _)| *boot_id).collect()
    }
}

impl Seen {
    fn new(neighbour: &Neighbour, since: Instant) -> Self {
        let (name, heartbeat, holds_leases) = (neighbour.name.clone(), neighbour.heartbeat, neighbour.holds_leases);
        Self { name, heartbeat, since, is_dead: false, holds_leases, has_lived: false }
    }

    fn death(&self, boot_id: Uuid) -> Death {
        Death { boot_id, name: self.name.clone(), heartbeat: self.heartbeat }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn neighbour(boot: u128, heartbeat: i64) -> Neighbour {
        let name = format!("node-{boot}");
        Neighbour { boot_id: Uuid::from_u128(boot), name, heartbeat, is_stopped: false, holds_leases: true }
    }

    fn death(boot: u128, heartbeat: i64) -> Death {
        Death { boot_id: Uuid::from_u128(boot), name: format!("node-{boot}"), heartbeat }
    }

    #[test]
    fn a_node_is_dead_after_a_whole_lease_of_the_same_heartbeat() {
        let (mut watch, start) = (Watch::new(Uuid::from_u128(1), LEASE), Instant::now());
        let nodes = [neighbour(1, 5), neighbour(2, 5)];
        assert!(watch.observe(&nodes, start).is_empty());
        assert!(watch.observe(&nodes, start + LEASE / 2).is_empty());
        assert_eq!(watch.observe(&nodes, start + LEASE), ["node-2"], "and never this node itself");
        assert_eq!(watch.deaths(), [death(2, 5)]);
        assert!(watch.observe(&nodes, start + LEASE).is_empty(), "it died once");
        watch.observe(&[neighbour(2, 6)], start + LEASE * 2);
        assert!(watch.deaths().is_empty(), "it came back");
        assert_eq!(watch.observe(&[neighbour(2, 6)], start + LEASE * 3), ["node-2"], "and died again");
    }

    #[test]
    fn an_outage_kills_nobody() {
        let (mut watch, start) = (Watch::new(Uuid::from_u128(1), LEASE), Instant::now());
        watch.observe(&[neighbour(2, 5)], start);
        watch.could_not_observe(start + LEASE);
        assert!(watch.observe(&[neighbour(2, 5)], start + LEASE + LEASE / 2).is_empty());
    }

    #[test]
    fn a_node_that_said_so_is_dead_at_once() {
        let mut watch = Watch::new(Uuid::from_u128(1), LEASE);
        let told = watch.observe(&[Neighbour { is_stopped: true, ..neighbour(2, 5) }], Instant::now());
        assert_eq!((watch.deaths(), told.len()), (vec![death(2, 5)], 0));
    }

    #[test]
    fn a_lease_that_appears_after_its_nodes_death_is_seen() {
        let (mut watch, start) = (Watch::new(Uuid::from_u128(1), LEASE), Instant::now());
        let taken_over = Neighbour { holds_leases: false, ..neighbour(2, 5) };
        watch.observe(std::slice::from_ref(&taken_over), start);
        assert!(watch.observe(&[taken_over], start + LEASE).is_empty(), "it ended long ago");
        assert_eq!((watch.dead().len(), watch.deaths().len()), (1, 0));
        watch.observe(&[neighbour(2, 5)], start + LEASE * 5);
        assert_eq!(watch.deaths(), [death(2, 5)]);
    }
}
