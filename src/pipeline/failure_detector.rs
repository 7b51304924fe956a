//! Which nodes are dead, judged by what this node has seen of their heartbeats.
//!
//! A node is dead only after the same heartbeat was read for a whole lease time over a database that answered
//! throughout: an outage kills nobody, nor does a jump of any clock. Nothing is concluded from what was taken over
//! before: a claim that was under way when its node ended may be committed later.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::store::{Death, Peer};

struct PeerState {
    name: String,
    heartbeat: i64,
    since: Instant,
    is_dead: bool,
    holds_leases: bool,
    /// Whether its heartbeat has grown since it was first read: else it may have ended long ago.
    has_lived: bool,
}

/// Remembers heartbeats.
pub(super) struct FailureDetector {
    own: Uuid,
    lease: Duration,
    seen: HashMap<Uuid, PeerState>,
    /// The last reading.
    read_at: Option<Instant>,
}

impl FailureDetector {
    pub fn new(own: Uuid, lease: Duration) -> Self {
        Self { own, lease, seen: HashMap::new(), read_at: None }
    }

    /// Takes a reading of all nodes; returns the names of those that died just now, or left something behind.
    pub fn observe(&mut self, peers: &[Peer], now: Instant) -> Vec<String> {
        // A node that has not looked for long has seen no silence: it may have been frozen itself.
        if self.read_at.is_some_and(|at| now.duration_since(at) > self.lease) {
            self.observation_failed(now);
        }
        self.read_at = Some(now);
        self.seen.retain(|boot_id, _| peers.iter().any(|peer| peer.boot_id == *boot_id));
        let mut died = Vec::new();
        for peer in peers.iter().filter(|peer| peer.boot_id != self.own) {
            let seen = self.seen.entry(peer.boot_id).or_insert_with(|| PeerState::new(peer, now));
            if seen.heartbeat != peer.heartbeat {
                *seen = PeerState { has_lived: true, ..PeerState::new(peer, now) };
            }
            seen.holds_leases = peer.holds_leases;
            let is_silent = now.duration_since(seen.since) >= self.lease;
            if !seen.is_dead && (peer.is_stopped || is_silent) {
                seen.is_dead = true;
                let is_news = !peer.is_stopped && (seen.has_lived || seen.holds_leases);
                died.extend(is_news.then(|| seen.name.clone()));
            }
        }
        died
    }

    /// A reading failed: silence looks like an outage, so every count of silence starts anew.
    pub fn observation_failed(&mut self, now: Instant) {
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

impl PeerState {
    fn new(peer: &Peer, since: Instant) -> Self {
        let name = peer.name.clone();
        let heartbeat = peer.heartbeat;
        let holds_leases = peer.holds_leases;
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

    fn peer(boot: u128, heartbeat: i64) -> Peer {
        let name = format!("node-{boot}");
        Peer { boot_id: Uuid::from_u128(boot), name, heartbeat, is_stopped: false, holds_leases: true }
    }

    fn death(boot: u128, heartbeat: i64) -> Death {
        Death { boot_id: Uuid::from_u128(boot), name: format!("node-{boot}"), heartbeat }
    }

    #[test]
    fn a_node_is_dead_after_a_whole_lease_of_the_same_heartbeat() {
        let mut detector = FailureDetector::new(Uuid::from_u128(1), LEASE);
        let start = Instant::now();
        let nodes = [peer(1, 5), peer(2, 5)];
        assert!(detector.observe(&nodes, start).is_empty());
        assert!(detector.observe(&nodes, start + LEASE / 2).is_empty());
        assert_eq!(detector.observe(&nodes, start + LEASE), ["node-2"], "and never this node itself");
        assert_eq!(detector.deaths(), [death(2, 5)]);
        assert!(detector.observe(&nodes, start + LEASE).is_empty(), "it died once");
        detector.observe(&[peer(2, 6)], start + LEASE * 2);
        assert!(detector.deaths().is_empty(), "it came back");
        assert_eq!(detector.observe(&[peer(2, 6)], start + LEASE * 3), ["node-2"], "and died again");
    }

    #[test]
    fn an_outage_kills_nobody() {
        let mut detector = FailureDetector::new(Uuid::from_u128(1), LEASE);
        let start = Instant::now();
        detector.observe(&[peer(2, 5)], start);
        detector.observation_failed(start + LEASE);
        assert!(detector.observe(&[peer(2, 5)], start + LEASE + LEASE / 2).is_empty());
    }

    #[test]
    fn a_node_that_said_so_is_dead_at_once() {
        let mut detector = FailureDetector::new(Uuid::from_u128(1), LEASE);
        let died = detector.observe(&[Peer { is_stopped: true, ..peer(2, 5) }], Instant::now());
        assert_eq!((detector.deaths(), died.len()), (vec![death(2, 5)], 0));
    }

    #[test]
    fn a_lease_that_appears_after_its_nodes_death_is_seen() {
        let mut detector = FailureDetector::new(Uuid::from_u128(1), LEASE);
        let start = Instant::now();
        let taken_over = Peer { holds_leases: false, ..peer(2, 5) };
        detector.observe(std::slice::from_ref(&taken_over), start);
        assert!(detector.observe(&[taken_over], start + LEASE).is_empty(), "it ended long ago");
        assert_eq!((detector.dead().len(), detector.deaths().len()), (1, 0));
        detector.observe(&[peer(2, 5)], start + LEASE * 5);
        assert_eq!(detector.deaths(), [death(2, 5)]);
    }
}
