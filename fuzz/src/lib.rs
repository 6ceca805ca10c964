//! What all fuzz targets share: the doors that their bytes go through, a folder in memory, and a limit for memory.

#[path = "../../tests/common/doors.rs"]
mod doors;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

/// More than any file within the limits of the doors can ask for at once; a file of a few bytes must not get more.
const LARGEST_ALLOCATION: usize = 1 << 28;

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// The system's memory, a piece at a time. libFuzzer's own limit for one piece needs a sanitizer, and so nightly Rust.
struct Limited;

// SAFETY: everything is handed on to the system's allocator, or the process ends.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: the caller's promises are the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        check(new_size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn check(n_bytes: usize) {
    if n_bytes > LARGEST_ALLOCATION {
        eprintln!("an allocation of {n_bytes} bytes");
        std::process::abort();
    }
}

/// Sends bytes through the door of this name.
pub fn enter(name: &str, bytes: &[u8]) {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder: PathBuf = FOLDER.get_or_init(|| tempfile::tempdir().expect("a folder for files")).path().into();
    let (_, door) = doors::DOORS.iter().find(|(known, _)| *known == name).expect("every target has a door");
    door(&folder, bytes);
}
