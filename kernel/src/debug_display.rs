//! A cell's last value, shown by one build where evcxr makes two.
//!
//! evcxr first calls `evcxr_display` on the value; only where the compiler finds no such method does it compile the cell once
//! more, to show the value's `Debug`. For numbers, texts and the collections of the standard library that is known before.
//! So while such a cell is compiled, traits stand at the end of it that give these types the method, and show what evcxr
//! would show. A method of a type of the user's own comes first by the rules of the language, and where a trait of theirs
//! gives one of these types the method, the compiler finds two, and the cell is compiled without these.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::cell::Cell;

/// What evcxr calls on a cell's last value.
const CALL: &str = ").evcxr_display();";

/// The compiler's name of the error that there are two such methods.
const TWO_METHODS: &str = "E0034";

/// Beside the cells: the user has chosen by `:fmt` or `:types` how values are shown, which the traits do not know.
const CHOSEN: &str = "display-is-chosen";

/// The commands by which they do.
const COMMANDS: [&str; 2] = [":fmt", ":types"];

/// For types without `Deref`, and for what leads to one of them by up to three, as a `String`, a `Vec`, a `Box` of one and a
/// user's own type may: its own `Debug` is shown, not that of what it leads to.
const TRAITS: &str = r#"
trait __EvcxrDebugDisplay { fn evcxr_display(&self); }
macro_rules! __evcxr_debug_display { ($([$($generics:tt)*] $shown:ty;)*) => { $(
    impl<$($generics)*> __EvcxrDebugDisplay for $shown where Self: ::std::fmt::Debug {
        fn evcxr_display(&self) { __evcxr_debug_display(self) }
    }
)* } }
macro_rules! __evcxr_deref_display { ($($name:ident [$($step:ident),*] {$($bounds:tt)*})*) => { $(
    trait $name { fn evcxr_display(&self); }
    impl<T: ::std::fmt::Debug, $($step: ?Sized),*> $name for T where $($bounds)* {
        fn evcxr_display(&self) { __evcxr_debug_display(self) }
    }
)* } }
fn __evcxr_debug_display(shown: &(impl ::std::fmt::Debug + ?Sized)) {
    let text = ::std::format!("EVCXR_BEGIN_CONTENT text/plain\n{shown:?}\nEVCXR_END_CONTENT\n");
    if let Err(error) = ::std::io::Write::write_all(&mut ::std::io::stdout(), text.as_bytes()) {
        ::std::eprintln!("Failed to send content to parent: {error:?}");
        ::std::process::exit(1);
    }
}
__evcxr_debug_display! {
    [] i8; [] i16; [] i32; [] i64; [] i128; [] isize; [] u8; [] u16; [] u32; [] u64; [] u128; [] usize;
    [] f32; [] f64; [] bool; [] char; [] str; [] (); [] ::std::path::Path; [] ::std::time::Duration;
    [T] [T]; [T, const N: usize] [T; N]; [T] ::std::option::Option<T>; [T, E] ::std::result::Result<T, E>;
    [T] ::std::collections::VecDeque<T>; [T] ::std::ops::Range<T>;
    [K, V, S] ::std::collections::HashMap<K, V, S>; [K, V] ::std::collections::BTreeMap<K, V>;
    [T, S] ::std::collections::HashSet<T, S>; [T] ::std::collections::BTreeSet<T>;
    [A] (A,); [A, B] (A, B); [A, B, C] (A, B, C); [A, B, C, D] (A, B, C, D);
}
__evcxr_deref_display! {
    __EvcxrDerefDisplay1 [A] { T: ::std::ops::Deref<Target = A>, A: __EvcxrDebugDisplay }
    __EvcxrDerefDisplay2 [A, B] {
        T: ::std::ops::Deref<Target = A>, A: ::std::ops::Deref<Target = B>, B: __EvcxrDebugDisplay
    }
    __EvcxrDerefDisplay3 [A, B, C] {
        T: ::std::ops::Deref<Target = A>, A: ::std::ops::Deref<Target = B>, B: ::std::ops::Deref<Target = C>,
        C: __EvcxrDebugDisplay
    }
}
"#;

/// A cell's source with the traits at its end, cut off again on drop: the cell itself is not written anew, as on a full disk it
/// might not come back.
pub struct WithTraits {
    source: File,
    n_bytes: u64,
}

impl WithTraits {
    /// Adds the traits to the cell in `folder`. `None` where evcxr looks for no method, or would show something else.
    pub fn add(folder: &Path) -> Option<Self> {
        let path = folder.join("src/lib.rs");
        let cell = fs::read_to_string(&path).ok()?;
        if !cell.contains(CALL) || folder.join(CHOSEN).exists() {
            return None;
        }
        let mut with_traits =
            Self { source: File::options().append(true).open(path).ok()?, n_bytes: cell.len() as u64 };
        with_traits.source.write_all(TRAITS.as_bytes()).ok()?;
        Some(with_traits)
    }

    /// Does a failed build, which `said` this, fail because of the traits?
    pub fn is_to_blame(said: &str) -> bool {
        said.contains(TWO_METHODS)
    }
}

impl Drop for WithTraits {
    fn drop(&mut self) {
        // evcxr writes the next cell in any case.
        let _ = self.source.set_len(self.n_bytes);
    }
}

/// Notes for the cells in `folder` if the user chooses in `cell` how values are shown.
///
/// # Errors
/// The note cannot be written.
pub fn note_choice(cell: &Cell<'_>, folder: &Path) -> io::Result<()> {
    match COMMANDS.iter().any(|name| cell.has_command(name)) {
        true => fs::write(folder.join(CHOSEN), ""),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use super::*;

    /// A cell of these items and values, each shown as evcxr first tries, in a folder of its own.
    fn cell(items: &str, values: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("src")).unwrap();
        let shown: String = values.iter().map(|value| format!("({value}).evcxr_display();\n")).collect();
        fs::write(folder.path().join("src/lib.rs"), format!("{items}\nfn main() {{ {shown} }}")).unwrap();
        folder
    }

    fn compile(folder: &Path) -> Output {
        let mut command = Command::new("rustc");
        command.args(["--edition=2024", "--cap-lints=allow", "-o"]).arg(folder.join("cell"));
        command.arg(folder.join("src/lib.rs")).output().unwrap()
    }

    /// What a cell prints that is compiled with the traits.
    fn printed(items: &str, values: &[&str]) -> String {
        let folder = cell(items, values);
        let with_traits = WithTraits::add(folder.path()).unwrap();
        let output = compile(folder.path());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        drop(with_traits);
        assert!(!fs::read_to_string(folder.path().join("src/lib.rs")).unwrap().contains("__evcxr"));
        String::from_utf8(Command::new(folder.path().join("cell")).output().unwrap().stdout).unwrap()
    }

    /// Checks as what values are shown.
    #[track_caller]
    fn check_shown(items: &str, shown: &[(&str, &str)]) {
        let (values, texts): (Vec<&str>, Vec<&str>) = shown.iter().copied().unzip();
        let wanted = texts.iter().map(|text| format!("EVCXR_BEGIN_CONTENT text/plain\n{text}\nEVCXR_END_CONTENT\n"));
        assert_eq!(printed(items, &values), wanted.collect::<String>());
    }

    #[test]
    fn values_of_the_standard_library_are_shown_by_the_first_build() {
        check_shown(
            "",
            &[
                ("1", "1"),
                ("-2.5", "-2.5"),
                ("7u8", "7"),
                ("true", "true"),
                ("'a'", "'a'"),
                ("\"b\\n\"", "\"b\\n\""),
                ("&&3", "3"),
                ("\"c\".to_string()", "\"c\""),
                ("vec![1.0]", "[1.0]"),
                ("&[1, 2][..]", "[1, 2]"),
                ("[4; 2]", "[4, 4]"),
                ("Some(\"d\")", "Some(\"d\")"),
                ("\"x\".parse::<i32>()", "Err(ParseIntError { kind: InvalidDigit })"),
                ("()", "()"),
                ("(1, 'e')", "(1, 'e')"),
                ("0..3", "0..3"),
                ("vec![Some((1, [2.5]))]", "[Some((1, [2.5]))]"),
                ("std::collections::BTreeMap::from([(1, \"f\")])", "{1: \"f\"}"),
                ("std::time::Duration::from_secs(2)", "2s"),
                ("std::path::Path::new(\"g\")", "\"g\""),
            ],
        );
    }

    #[test]
    fn a_method_of_a_users_type_comes_first_also_below_a_box() {
        let items =
            "#[derive(Debug, Clone)] struct Figure; impl Figure { fn evcxr_display(&self) { print!(\"figure \") } }";
        assert_eq!(
            printed(items, &["Figure", "&Figure", "Box::new(Figure)", "&std::rc::Rc::new(Figure)"]),
            "figure ".repeat(4)
        );
    }

    #[test]
    fn what_leads_to_such_a_value_is_shown_by_its_own_debug() {
        let items = "#[derive(Debug)] struct Metres<T>(T); impl<T> std::ops::Deref for Metres<T> { type Target = T; fn deref(&self) -> &T { &self.0 } }";
        let shown = [
            ("Metres(1.5)", "Metres(1.5)"),
            ("&Metres(2.5)", "Metres(2.5)"),
            ("Box::new(3)", "3"),
            ("Metres(Box::new(vec![4]))", "Metres([4])"),
            ("&&&5", "5"),
        ];
        check_shown(items, &shown);
    }

    #[test]
    fn where_a_trait_of_the_user_shows_numbers_these_are_to_blame() {
        let folder = cell("trait Show { fn evcxr_display(&self) {} } impl Show for f64 {}", &["1.5"]);
        let with_traits = WithTraits::add(folder.path());
        assert!(WithTraits::is_to_blame(&String::from_utf8_lossy(&compile(folder.path()).stderr)));
        drop(with_traits);
        assert!(compile(folder.path()).status.success());
    }

    #[test]
    fn nothing_is_added_where_no_value_is_shown_or_the_user_has_chosen_how() {
        let folder = cell("", &[]);
        assert!(WithTraits::add(folder.path()).is_none());
        let folder = cell("", &["1"]);
        note_choice(&Cell::new("let a = 1;"), folder.path()).unwrap();
        assert!(WithTraits::add(folder.path()).is_some());
        note_choice(&Cell::new(":fmt"), folder.path()).unwrap();
        assert!(WithTraits::add(folder.path()).is_none());
    }
}
