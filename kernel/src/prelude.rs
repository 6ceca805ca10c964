//! The code that runs before the first cell in every process of cells.
//!
//! It lives on the cells' side because cells share one dynamic standard library, which is not the one in this program:
//! only code compiled as a cell can flush their standard output or see their panics.

/// The mark before a panic's place and message; the message's newlines are [`NEWLINE`]s.
pub const PANIC_MARKER: &str = "\u{2}diabolo-panic ";

/// Stands between a panic's place and its message.
pub const SEPARATOR: char = '\u{1f}';

/// Stands for a newline in a panic's message.
pub const NEWLINE: char = '\u{1e}';

/// The function that the runtime calls after every cell.
pub const FLUSH_SYMBOL: &[u8] = b"diabolo_flush";

/// How it begins and ends the text of an error that `?` met.
pub const ERROR_MARKER: &str = "\u{2}diabolo-error ";

/// Ends an error's text.
pub const ERROR_END: &str = "\u{3}";

/// Flushes partial lines, a `print!` without a newline, well within a tenth of a second.
pub const CODE: &str = r#"{
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
            println!("\u{2}diabolo-panic {place}\u{1f}{}", message.replace('\n', "\u{1e}"));
        } else {
            eprintln!("a thread panicked at {place}:\n{message}");
        }
    }));
};"#;

/// evcxr prints what `?` met with `eprintln!("{}", error)`; this marks it, so that it can be told from other text.
pub const ERROR_MACRO: &str = r#"#[allow(unused_macros)]
macro_rules! eprintln {
    ("{}", $error:ident) => {{
        if stringify!($error) == "error" {
            ::std::eprint!("\u{2}diabolo-error {}\u{3}\n", $error)
        } else {
            ::std::eprintln!("{}", $error)
        }
    }};
    ($($anything:tt)*) => { ::std::eprintln!($($anything)*) };
}"#;
