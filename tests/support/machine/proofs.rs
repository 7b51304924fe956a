//! Shows that disks, freezers and limits do what the tests rely on, and that a killed run leaves nothing behind.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::lacks::{root_with, skips};
use super::super::postgres::{Cluster, Succeed};
use super::super::run;
use super::super::wait::{SOON, wait_for};
use super::disk::{self, PoweredDisk, SmallDisk};
use super::freezer::Frozen;
use super::limits::{self, Cage};
use super::network::{self, Island};

/// Set for the run that is to be killed.
const HOLD: &str = "GRISTMILL_TEST_HOLD";

fn write_synced(path: &Path, text: &str) {
    let mut file = File::create(path).expect("the disk is ours");
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).expect("the disk takes it");
}

#[test]
fn a_power_cut_keeps_what_was_synced_and_nothing_else() {
    if skips(&[root_with(&disk::PROGRAMS)]) {
        return;
    }
    let mut disk = PoweredDisk::new();
    let file = |name: &str| disk.path().join(name);
    let synced = file("synced");
    let late = file("late");
    write_synced(&synced, "synced");
    let mut log = File::options().append(true).open(&synced).expect("it is there");
    log.write_all(b" and more").expect("the disk takes it");
    fs::write(&late, "nobody synced this").expect("the disk takes it");
    let cut = disk.cut();
    write_synced(&late, "after the cut");
    disk.restore(cut);
    assert_eq!(fs::read_to_string(synced).expect("it was synced"), "synced");
    assert_eq!(fs::read_to_string(late).unwrap_or_default(), "");
}

#[test]
fn a_small_disk_runs_full_and_is_freed_again() {
    if skips(&[root_with(&disk::PROGRAMS)]) {
        return;
    }
    let disk = SmallDisk::new("8M");
    let file = disk.path().join("file");
    disk.fill();
    let error = fs::write(&file, "x").expect_err("the disk is full");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    disk.free();
    fs::write(&file, "x").expect("there is room again");
    disk.set_read_only(true);
    fs::write(&file, "x").expect_err("the disk is read-only");
    disk.set_read_only(false);
    fs::write(&file, "x").expect("it can be written again");
}

#[test]
fn a_frozen_database_stands_still_with_all_its_processes() {
    let cluster = Cluster::start();
    let postmaster = cluster.pid();
    let frozen = Frozen::new(&[postmaster]);
    assert!(frozen.count() > 3, "PostgreSQL has workers: {frozen:?}");
    frozen.kill();
    cluster.kill_postmaster();
    cluster.start_again();
    assert_eq!(cluster.sql("postgres", "SELECT 1").trim(), "1");
}

#[test]
fn a_cage_refuses_what_is_beyond_its_limit() {
    if skips(&[root_with(&limits::PROGRAMS), Cage::lacks()]) {
        return;
    }
    let cage = Cage::of_threads(1);
    let [program, arguments @ ..] = cage.wrapper();
    let two = "sleep 0 & wait";
    let output = Command::new(program).args(arguments).args(["sh", "-c", two]).output().expect("sh starts");
    assert!(!output.status.success(), "a second process was let in");
    assert!(cage.refused_threads() > 0);
}

/// Not a test of its own: what the next one kills.
#[test]
fn a_run_that_holds_parts_of_the_machine_until_it_is_killed() {
    if std::env::var_os(HOLD).is_none() {
        return;
    }
    let disk = SmallDisk::new("1M");
    let island = Island::new();
    let cage = Cage::of_threads(10);
    println!("\n{HOLD} {} {} {}", disk.path().display(), island.name(), cage.path().display());
    wait_for("the end", SOON, || None, String::new)
}

#[test]
fn a_killed_run_leaves_no_mount_no_network_and_no_limit_behind() {
    let lacks = [root_with(&disk::PROGRAMS), root_with(&network::PROGRAMS), Cage::lacks()];
    if skips(&lacks) {
        return;
    }
    let name = "support::machine::proofs::a_run_that_holds_parts_of_the_machine_until_it_is_killed";
    let mut held = Command::new(std::env::current_exe().expect("this program has a path"))
        .args(["--exact", name, "--nocapture"])
        .env(HOLD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts");
    let lines = BufReader::new(held.stdout.take().expect("it was asked for")).lines().map_while(Result::ok);
    let words = lines.filter_map(|line| line.strip_prefix(HOLD).map(str::to_owned)).next();
    let words = words.expect("the run says what it holds");
    let [mount, network, cage] = words.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{words}") };
    let there = || {
        let mounts = fs::read_to_string("/proc/mounts").expect("Linux lists mounts");
        let networks = Command::new("ip").args(["netns", "list"]).succeed();
        [mounts.contains(mount), networks.contains(network), Path::new(cage).exists(), Path::new(mount).exists()]
    };
    assert_eq!(there(), [true; 4]);
    run::signal(held.id(), "KILL");
    held.wait().expect("a child can be waited for");
    wait_for("all to be undone", SOON, || (there() == [false; 4]).then_some(()), || format!("{:?}", there()));
}
