//! A disk that is soon full, or read-only: what even root cannot write to.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A file system of some hundred kilobytes in memory.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Where it may be mounted; elsewhere `None`, and it is said that `what` was not tested.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    pub fn mount(what: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=900k", "tmpfs"]).arg(folder.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self { folder });
        }
        eprintln!("skipped: {what}, since no file system can be mounted here");
        None
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves no room for another byte.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.path().join("filler")).unwrap();
        for size in [1 << 14, 1 << 10, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Makes room again.
    pub fn empty(&self) {
        fs::remove_file(self.path().join("filler")).unwrap();
    }

    /// As a disk with errors becomes, or one whose switch was moved.
    pub fn make_read_only(&self) {
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", "remount,ro"]).arg(self.path()).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process of a failed test may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
