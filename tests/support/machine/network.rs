//! Networks of a test's own: a namespace with one cable to this process's network, which can be unplugged.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use super::super::postgres::Succeed;
use super::super::run::{self, Undo};
use super::super::wait::{SOON, wait_for};

/// Programs that networks need.
pub const PROGRAMS: [&str; 1] = ["ip"];

/// 198.18.0.0/15 is set aside for tests of networks: no route of a real one leads there.
const FIRST: u32 = 0xc612_0000;

/// Networks of four addresses in that range.
const NETWORKS: u32 = 1 << 15;

/// A network namespace behind a cable.
#[derive(Debug)]
pub struct Island {
    name: String,
    network: u32,
    _undo: Undo,
}

impl Island {
    /// A namespace with a plugged-in cable.
    pub fn new() -> Self {
        // Names of interfaces have at most 15 characters.
        let name = format!("gm{}-{}", std::process::id(), run::number());
        let network = free_network();
        let undo = Undo::new(format!("ip netns delete {name}"));
        let island = Self { name, network, _undo: undo };
        let name = &island.name;
        let shore = island.shore();
        let inside = island.inside();
        ip(&format!("netns add {name}"));
        ip(&format!("link add {name} type veth peer name cable netns {name}"));
        ip(&format!("address add {shore}/30 dev {name}"));
        ip(&format!("link set {name} up"));
        ip(&format!("-n {name} address add {inside}/30 dev cable"));
        ip(&format!("-n {name} link set lo up"));
        island.plug_in();
        island
    }

    /// Its name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of a process on the island.
    pub fn inside(&self) -> IpAddr {
        Ipv4Addr::from(self.network + 2).into()
    }

    /// The address of this process's network that the island sees.
    pub fn shore(&self) -> IpAddr {
        Ipv4Addr::from(self.network + 1).into()
    }

    /// What a program's words have to begin with for it to run on the island.
    pub fn wrapper(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Cuts the island off: nothing arrives any more, and nobody is told.
    pub fn unplug(&self) {
        ip(&format!("-n {} link set cable down", self.name));
    }

    /// Ends [`Self::unplug`].
    pub fn plug_in(&self) {
        ip(&format!("-n {} link set cable up", self.name));
    }
}

fn free_network() -> u32 {
    let taken = Command::new("ip").args(["-o", "-4", "address"]).succeed();
    wait_for(
        "a free network",
        SOON,
        || {
            let number = std::process::id().wrapping_mul(97).wrapping_add(run::number());
            let network = FIRST + 4 * (number % NETWORKS);
            let shore = format!(" {}/", Ipv4Addr::from(network + 1));
            (!taken.contains(&shore)).then_some(network)
        },
        || taken.clone(),
    )
}

fn ip(words: &str) {
    Command::new("ip").args(words.split(' ')).succeed();
}
