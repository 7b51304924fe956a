//! Disks: one that can run full, and one that can lose its power.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::postgres::Succeed;
use super::super::run::{self, Undo};

/// Programs that disks need.
pub const PROGRAMS: [&str; 3] = ["mkfs.ext4", "mount", "truncate"];

/// Room for what a test writes to a disk that loses its power; the image has holes, so it costs what is used.
const IMAGE: &str = "768M";

/// Room for two images and the copy between them.
const IMAGES: &str = "3G";

/// Seconds between commits of the journal that nobody asked for: longer than any test, so that what is on the disk was
/// synced by somebody.
const COMMIT_SECONDS: u32 = 300;

/// A mounted file system; unmounted when dropped, also under who still uses it.
#[derive(Debug)]
struct Mount {
    path: PathBuf,
    _undo: Undo,
}

impl Mount {
    /// Mounts with these arguments of `mount` at `path`, an empty folder.
    fn new(arguments: &[&str], path: &Path) -> Self {
        let undo = Undo::new(format!("umount --lazy '{}'", path.display()));
        Command::new("mount").args(arguments).arg(path).succeed();
        Self { path: path.to_owned(), _undo: undo }
    }
}

/// A disk of few bytes, in memory.
#[derive(Debug)]
pub struct SmallDisk {
    mount: Mount,
}

impl SmallDisk {
    /// An empty disk with this much room (`64M`).
    pub fn new(size: &str) -> Self {
        let options = format!("size={size},mode=755");
        Self { mount: Mount::new(&["-t", "tmpfs", "-o", &options, "tmpfs"], &run::folder("small-disk")) }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount.path
    }

    /// Takes all room that is left.
    pub fn fill(&self) {
        let mut ballast = File::options().append(true).create(true).open(self.ballast()).expect("the disk is ours");
        for size in [1 << 20, 4096] {
            let block = vec![0; size];
            let full = std::iter::repeat_with(|| ballast.write_all(&block)).find_map(Result::err);
            let error = full.expect("a disk ends some day");
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
    }

    /// Frees what [`Self::fill`] took.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("the disk was filled");
    }

    /// Lets nothing be written any more, or lets it again.
    pub fn set_read_only(&self, read_only: bool) {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        Command::new("mount").args(["-o", options]).arg(self.path()).succeed();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

/// A disk with an ext4 file system, whose power can be cut: then it holds what was synced, and little else.
///
/// The image is a file in memory. What the kernel has written to the disk is in the image; what it still holds in the
/// mounted file system's cache is not.
#[derive(Debug)]
pub struct PoweredDisk {
    mount: Option<Mount>,
    folder: PathBuf,
    images: SmallDisk,
}

impl PoweredDisk {
    /// An empty disk.
    pub fn new() -> Self {
        let images = SmallDisk::new(IMAGES);
        let image = images.path().join("image");
        Command::new("truncate").args(["-s", IMAGE]).arg(&image).succeed();
        // Nothing may be left to be written later, by the kernel itself.
        let options = ["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        Command::new("mkfs.ext4").args(options).arg(&image).succeed();
        let mut disk = Self { mount: None, folder: run::folder("powered-disk"), images };
        disk.mount();
        disk
    }

    /// Where it is mounted, the same before and after a cut.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes durable all that was written so far.
    pub fn sync(&self) {
        Command::new("sync").arg("-f").arg(self.path()).succeed();
    }

    /// Keeps what the disk holds at this moment. Nobody may be inside of a write: stop all who use it first.
    pub fn cut(&self) -> PowerCut {
        let copy = self.images.path().join("copy");
        Command::new("cp").arg("--sparse=always").arg(self.images.path().join("image")).arg(&copy).succeed();
        PowerCut { copy }
    }

    /// Mounts what the disk held at the cut. Who used it must be dead.
    pub fn restore(&mut self, cut: PowerCut) {
        self.mount = None;
        fs::rename(cut.copy, self.images.path().join("image")).expect("both are ours");
        self.mount();
    }

    fn mount(&mut self) {
        let options = format!("loop,commit={COMMIT_SECONDS}");
        let image = self.images.path().join("image");
        let image = image.to_str().expect("our paths are text");
        self.mount = Some(Mount::new(&["-t", "ext4", "-o", &options, image], &self.folder));
    }
}

/// What a disk held when its power was cut.
#[derive(Debug)]
pub struct PowerCut {
    copy: PathBuf,
}
