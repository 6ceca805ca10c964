//! `kernel_info_reply`.

use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

/// The reply to a `kernel_info_request`.
pub fn kernel_info() -> Value {
    json!({
        "status": "ok",
        "protocol_version": "5.3",
        "implementation": "diabolo-kernel",
        "implementation_version": env!("CARGO_PKG_VERSION"),
        "language_info": {
            "name": "rust",
            "version": rust_version(),
            "mimetype": "text/rust",
            "file_extension": ".rs",
            "pygments_lexer": "rust",
            "codemirror_mode": "rust",
        },
        "banner": format!("Rust {} (diabolo). `:help` lists the kernel's commands.", rust_version()),
        "debugger": false,
        "help_links": [
            { "text": "Rust by Example", "url": "https://doc.rust-lang.org/rust-by-example/" },
            { "text": "The standard library", "url": "https://doc.rust-lang.org/std/" },
        ],
    })
}

/// The version of the compiler that cells are compiled with.
fn rust_version() -> &'static str {
    compiler().split_whitespace().nth(1).unwrap_or("unknown")
}

/// What `rustc --version` says; empty where it does not run.
pub fn compiler() -> &'static str {
    static COMPILER: OnceLock<String> = OnceLock::new();
    COMPILER.get_or_init(|| {
        let output = Command::new("rustc").arg("--version").output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string()).unwrap_or_default()
    })
}
