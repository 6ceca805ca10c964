//! For tests: places at which this program waits while a file exists, so that they can order what users do by chance.
//!
//! A variable names the file. Whoever arrives makes another beside it, with `.begun` behind its name.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// In cargo's place, when rust-analyzer asks for packages.
pub const METADATA: &str = "DIABOLO_TEST_HOLD_METADATA";

/// In the thread that owns evcxr, before it warms up.
pub const WARM_UP: &str = "DIABOLO_TEST_HOLD_WARM_UP";

/// There, before evcxr evaluates a cell.
pub const CELL: &str = "DIABOLO_TEST_HOLD_CELL";

/// Waits while the file that `variable` names exists. Without the variable, as for all users, it does nothing.
pub fn at(variable: &str) {
    let Some(file) = env::var_os(variable).map(PathBuf::from) else { return };
    while file.exists() {
        let mut begun = file.clone().into_os_string();
        begun.push(".begun");
        // The test fails without it, and says so.
        let _ = fs::write(begun, "");
        thread::sleep(Duration::from_millis(10));
    }
}
