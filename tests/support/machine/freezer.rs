//! Stops processes with all their children, so that nobody is in the midst of a write.

use std::collections::BTreeSet;
use std::fs;

use super::super::run;
use super::super::wait::{SOON, wait_for};

/// Processes that stand still, until they are killed or this is dropped.
#[derive(Debug)]
pub struct Frozen {
    pids: BTreeSet<u32>,
}

impl Frozen {
    /// Stops these processes and their children, and returns when no thread of them runs or waits for a disk.
    pub fn new(roots: &[u32]) -> Self {
        let mut pids = BTreeSet::new();
        wait_for(
            "all processes to stand still",
            SOON,
            || {
                let family: BTreeSet<u32> = roots.iter().flat_map(|root| family_of(*root)).collect();
                for pid in family.difference(&pids) {
                    run::signal(*pid, "STOP");
                }
                // A child that was born meanwhile is found at the next look.
                let is_whole = family == pids;
                pids = family;
                (is_whole && pids.iter().all(|pid| is_still(*pid))).then_some(())
            },
            || format!("{roots:?}"),
        );
        Self { pids }
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.pids.len()
    }

    /// Kills them all. Who started them still has to wait for them.
    pub fn kill(mut self) {
        for pid in std::mem::take(&mut self.pids) {
            run::signal(pid, "KILL");
        }
    }
}

impl Drop for Frozen {
    /// Lets those go on that were not killed: who stops them in an orderly way would wait for ever.
    fn drop(&mut self) {
        for pid in self.pids.iter().filter(|pid| run::is_alive(**pid)) {
            run::signal(*pid, "CONT");
        }
    }
}

/// A process with its children and theirs; those that are already dead are left out.
fn family_of(pid: u32) -> Vec<u32> {
    let children = tasks_of(pid).filter_map(|task| fs::read_to_string(task.join("children")).ok());
    let children: Vec<u32> = children.flat_map(|text| numbers(&text)).filter(|child| state(*child) != "Z").collect();
    let mut family = vec![pid];
    family.extend(children.into_iter().flat_map(family_of));
    family
}

fn is_still(pid: u32) -> bool {
    tasks_of(pid).all(|task| state_in(&task.join("status")) == "T")
}

fn tasks_of(pid: u32) -> impl Iterator<Item = std::path::PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|task| task.path())
}

fn state(pid: u32) -> String {
    state_in(format!("/proc/{pid}/status").as_ref())
}

/// The letter of the state: T is stopped, D in a system call that cannot be interrupted, Z dead.
fn state_in(status: &std::path::Path) -> String {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("State:"));
    line.and_then(|line| line.split_whitespace().next()).unwrap_or("Z").to_owned()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}
