//! The code that runs before the first cell in every process of cells.
//!
//! It lives on the cells' side because cells share one dynamic standard library, which is not the one in this program:
//! only code compiled as a cell can flush their standard output or see their panics.

use crate::wire;

/// The function that the runtime calls after every cell.
pub const FLUSH_SYMBOL: &[u8] = b"diabolo_flush";

/// What is defined in every cell: two macros that stand before the standard library's, and a module that they use.
const ITEMS: [&str; 3] = ["eprintln", "println", "diabolo_cell"];

/// Flushes partial lines, a `print!` without a newline, well within a tenth of a second, and reports panics.
const CODE: &str = r#"{
    #[unsafe(no_mangle)]
    pub extern "C" fn diabolo_flush() {
        let _ = std::io::Write::flush(&mut std::io::stdout());
    }
    std::thread::spawn(|| loop {
        std::thread::sleep(std::time::Duration::from_millis(40));
        diabolo_flush();
    });
    let cell_thread = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(|place| place.to_string()).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("a panic without a message");
        if std::thread::current().id() == cell_thread {
            crate::diabolo_cell::tell("panic", &format!("{place}\u{1f}{message}"));
        } else {
            eprintln!("a thread panicked at {place}:\n{message}");
        }
    }));
};"#;

/// evcxr says by `println!` how a cell ends, and what a `?` met by `eprintln!("{}", error)`. These macros report it to the
/// relay instead, where a user's text cannot be mistaken for it: they know evcxr's own lines by the function in which they
/// stand, which is in the name of a closure's type.
const MACROS: &str = r#"#[allow(unused_macros)]
macro_rules! eprintln {
    ("{}", $error:ident) => { eprintln!(@error "{}", $error) };
    ("{:?}", $error:ident) => { eprintln!(@error "{:?}", $error) };
    ("{:#?}", $error:ident) => { eprintln!(@error "{:#?}", $error) };
    (@error $format:literal, $error:ident) => {
        match ::std::format_args!($format, $error) {
            text => {
                if stringify!($error) == "error" && $crate::diabolo_cell::is_question_mark(::std::any::type_name_of_val(&|| {})) {
                    $crate::diabolo_cell::tell("error", &text.to_string())
                } else {
                    ::std::eprintln!("{text}")
                }
            }
        }
    };
    ($($anything:tt)*) => { ::std::eprintln!($($anything)*) };
}
#[allow(unused_macros)]
macro_rules! println {
    ("EVCXR_PANIC_NOTIFICATION") => {
        if $crate::diabolo_cell::is_cells_end(::std::any::type_name_of_val(&|| {})) {
            $crate::diabolo_cell::tell("panicked", "")
        } else {
            ::std::println!("EVCXR_PANIC_NOTIFICATION")
        }
    };
    ("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED) => { $crate::diabolo_cell::tell("failed", "") };
    ($format:literal) => {
        match ::std::format_args!($format) {
            text => {
                if stringify!($format) == "\"{VARIABLE_CHANGED_TYPE}{name}\"" {
                    $crate::diabolo_cell::tell("lost", text.to_string().trim_start_matches("EVCXR_VARIABLE_CHANGED_TYPE:"))
                } else {
                    ::std::println!("{text}")
                }
            }
        }
    };
    ($($anything:tt)*) => { ::std::println!($($anything)*) };
}
#[allow(dead_code)]
mod diabolo_cell {
    pub fn tell(kind: &str, text: &str) {
        use std::io::Write;
        use std::os::fd::FromRawFd;
        let relay = unsafe { std::fs::File::from_raw_fd(CELLS_END) };
        let line = format!("{kind} {}\n", text.replace('\n', "\u{1e}"));
        let _ = std::mem::ManuallyDrop::new(relay).write_all(line.as_bytes());
    }
    pub fn is_question_mark(closure: &str) -> bool {
        closure.contains("EvcxrUserCodeError as ")
    }
    pub fn is_cells_end(closure: &str) -> bool {
        let function = closure.strip_suffix("::{{closure}}").unwrap_or(closure);
        function.rsplit("::").next().unwrap_or_default().starts_with("run_user_code_")
    }
}"#;

/// All of it, as one cell.
pub fn code() -> String {
    format!("{}\n{CODE}", MACROS.replace("CELLS_END", &wire::CELLS_END.to_string()))
}

/// Does a name that a cell can use come from here?
pub fn is_own_name(name: &str) -> bool {
    ITEMS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reports_in_the_words_that_the_relay_knows() {
        for kind in [wire::PANIC, wire::PANICKED, wire::ERROR, wire::FAILED, wire::LOST] {
            assert!(code().contains(&format!("tell(\"{kind}\"")), "{kind}");
        }
        assert!(code().contains(&format!("from_raw_fd({})", wire::CELLS_END)));
    }
}
