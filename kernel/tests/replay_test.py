"""Cells that are compiled without cargo: what comes of them is what comes of cargo, and whatever cargo would see is seen."""

import glob
import os
import re
import tempfile
import time
import unittest
from contextlib import contextmanager

from harness import Kernel, cells_copy, make_crate, wait_until

# Errors of the parser, of types, of borrows, of the linker, of macros and of nothing at all.
WRONG = [
    "let wrong: i32 = \"text\";",
    "missing(1)",
    "let text = String::new(); let other = text; text.len()",
    "fn half() -> usize { }",
    "let é = 1; é + \"a\"",
    "compile_error!(\"on purpose\");",
    "#[link(name = \"no_such_library\")] unsafe extern \"C\" { fn nowhere(); } unsafe { nowhere() };",
    "env!(\"NO_SUCH_VARIABLE_ANYWHERE\")",
]

NAMES = """
let seven = 7;
let words = vec!["a", "b"];
#[derive(Debug)] struct Point { x: i32 }
#[derive(Debug)] struct Metres(f64);
impl std::ops::Deref for Metres { type Target = f64; fn deref(&self) -> &f64 { &self.0 } }
"""
# Values, some of a kind that is shown by one build, and mistakes in such cells.
VALUES = [
    "seven + 1",
    "&words",
    "words.iter().map(|word| word.len() as f64 / 3.0).collect::<Vec<_>>()",
    "\"a\".parse::<f32>()",
    "Some(Point { x: seven })",
    "Point { x: 1 }",
    "Metres(1.5)",
    "Box::new(std::sync::Mutex::new(Metres(2.5)))",
    "if seven > 6 { \"more\\nlines\" } else { \"é\" }",
    "()",
    "missing + seven",
    "\"7\".parse()?",
    "words.nothing()",
    "struct Quiet; Quiet",
    "std::env::args",
]


class ReplayTest(unittest.TestCase):
    @contextmanager
    def kernel(self, folder, cells):
        """A kernel that has ended before its folders are removed."""
        kernel = Kernel({"DIABOLO_CELLS": cells, "DIABOLO_START": ""}, folder)
        try:
            [self.work] = [path for path in glob.glob(f"{cells}/running/kernel-*") if os.path.isdir(path)]
            yield kernel
        finally:
            kernel.close()

    @property
    def kept(self):
        """The file that keeps cargo's call."""
        return f"{self.work}/replay.json"

    def result(self, kernel, code):
        cell = kernel.run(code)
        self.assertEqual(cell.reply["status"], "ok", cell.reply)
        return cell.of("execute_result")[0]["data"]["text/plain"]

    def is_cargo_asked(self, kernel, code):
        """Runs a cell and says whether cargo was needed: it then keeps the call anew, or nothing."""
        before = os.stat(self.kept).st_mtime_ns if os.path.exists(self.kept) else None
        kernel.run(code)
        return before is None or not os.path.exists(self.kept) or os.stat(self.kept).st_mtime_ns != before

    def test_cargo_is_left_out_where_only_the_cell_changes_and_asked_where_more_does(self):
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            helper = f"{folder}/helper"
            make_crate(helper, "pub fn answer() -> i32 { 1 }")
            # What has just been written may still change while cargo looks.
            time.sleep(2.5)
            self.look_with(folder, cells, helper)

    def look_with(self, folder, cells, helper):
        with self.kernel(folder, cells) as kernel:
            kernel.run(f':dep helper = {{ path = "{helper}" }}\nlet one = 1;')
            self.assertFalse(self.is_cargo_asked(kernel, "let two = one + 1;"))
            self.assertEqual(self.result(kernel, "helper::answer() + two"), "3")
            self.assertEqual(self.result(kernel, "env!(\"CARGO_PKG_NAME\").len() + one as usize"), "4")

            # A source of a dependency, as its author edits it: twice in a row.
            for answer in 20, 30:
                with open(f"{helper}/src/lib.rs", "w") as source:
                    source.write(f"pub fn answer() -> i32 {{ {answer} }}")
                self.assertEqual(self.result(kernel, "helper::answer()"), str(answer))
            time.sleep(2.5)
            self.assertTrue(self.is_cargo_asked(kernel, "let three = 3;"))
            self.assertFalse(self.is_cargo_asked(kernel, "let four = 4;"))

            # A source that is wrong, and mended.
            with open(f"{helper}/src/lib.rs", "w") as source:
                source.write("pub fn answer() -> i32 { \"a\" }")
            self.assertEqual(kernel.run("helper::answer()").reply["status"], "error")
            with open(f"{helper}/src/lib.rs", "w") as source:
                source.write("pub fn answer() -> i32 { 7 }")
            self.assertEqual(self.result(kernel, "helper::answer()"), "7")

            # Its manifest, and settings of cargo above the cells' folder.
            time.sleep(2.5)
            kernel.run("let five = 5;")
            with open(f"{helper}/Cargo.toml", "a") as manifest:
                manifest.write("[features]\nmore = []\n")
            self.assertTrue(self.is_cargo_asked(kernel, "let six = 6;"))
            os.mkdir(f"{folder}/.cargo")
            with open(f"{folder}/.cargo/config.toml", "w") as settings:
                settings.write("[build]\n")
            self.assertTrue(self.is_cargo_asked(kernel, "let seven = 7;"))
            # Variables have lived through all of it.
            self.assertEqual(self.result(kernel, "one + two"), "3")

    def test_a_mistake_after_a_new_dependency_compiles_nothing_twice(self):
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            helper = f"{folder}/helper"
            make_crate(helper, "pub fn answer() -> i32 { 1 }")
            with self.kernel(folder, cells) as kernel:
                kernel.run(f':dep helper = {{ path = "{helper}" }}\nlet one = helper::answer();')
                # evcxr knows no type, and asks for a check.
                error = kernel.run("let wrong = helper::anser();").reply
                self.assertIn("anser", error["evalue"])
                self.assertEqual(len(glob.glob(f"{self.work}/target/*/debug/deps/libhelper-*.rmeta")), 1)
                self.assertEqual(self.result(kernel, "one + 1"), "2")

    def test_errors_are_those_that_cargo_gives(self):
        with (
            tempfile.TemporaryDirectory() as folder,
            cells_copy(folder) as cells,
            self.kernel(folder, cells) as kernel,
        ):
            kernel.run("let one = 1;")
            wait_until(lambda: os.path.exists(self.kept))
            for code in WRONG:
                with self.subTest(code):
                    # Places name the cell by its number, which stays.
                    without = kernel.run(code, store_history=False).reply
                    self.assertEqual(without["status"], "error")
                    self.assertTrue(os.path.exists(self.kept))
                    os.remove(self.kept)
                    with_cargo = kernel.run(code, store_history=False).reply
                    self.assertEqual(without["evalue"], with_cargo["evalue"])
                    # The linker's temporary folder has another name each time.
                    plain = lambda lines: [re.sub(r"rustc\w{6}\b", "rustc", line) for line in lines]
                    self.assertEqual(plain(without["traceback"]), plain(with_cargo["traceback"]))
                    kernel.run("let two = 2;")
            self.assertEqual(self.result(kernel, "one + 1"), "2")

    def test_what_is_gone_is_built_again(self):
        with (
            tempfile.TemporaryDirectory() as folder,
            cells_copy(folder) as cells,
            self.kernel(folder, cells) as kernel,
        ):
            kernel.run("let one = 1;")
            # Not the folder itself: the kernel's process has code from there.
            for path in glob.glob(f"{self.work}/target/*/debug/incremental/*"):
                os.rename(path, f"{folder}/{os.path.basename(path)}")
            self.assertEqual(self.result(kernel, "one + 1"), "2")
            with open(self.kept, "w") as kept:
                kept.write("{}")
            self.assertEqual(self.result(kernel, "one + 2"), "3")

    def test_values_are_shown_as_evcxr_shows_them_though_by_one_build(self):
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            with self.kernel(folder, cells) as kernel:
                kernel.run(NAMES)
                self.assertFalse(self.is_cargo_asked(kernel, "let eight = seven + 1;"))
                by_one_build = [self.answer(kernel, value) for value in VALUES]
                self.assertEqual(by_one_build[0], ([{"text/plain": "8"}], ""))
                with open(f"{self.work}/src/lib.rs") as source:
                    self.assertNotIn("__evcxr_debug_display", source.read())
                # Numbers as a trait of the user's shows them.
                kernel.run("trait Show { fn evcxr_display(&self) { println!(\"EVCXR_BEGIN_CONTENT text/plain\\nmine\\n"
                           "EVCXR_END_CONTENT\") } }\nimpl Show for i32 {}")
                self.assertEqual([self.result(kernel, value) for value in ("seven", "2.5")], ["mine", "2.5"])

                # The user chooses how values are shown: as before, which is left to evcxr then.
                for code in (":clear", ":fmt", NAMES):
                    kernel.run(code)
                self.assertEqual([self.answer(kernel, value) for value in VALUES], by_one_build)
                kernel.run(":fmt {:#?}")
                self.assertEqual(self.result(kernel, "&words"), '[\n    "a",\n    "b",\n]')
                kernel.run(":fmt\n:types")
                self.assertIn("f64", self.result(kernel, "2.5"))

    def answer(self, kernel, code):
        """What a cell shows, or how it fails."""
        cell = kernel.run(code)
        # Messages name the number of the cell.
        message = re.sub(r"cell \d+", "cell", "\n".join(cell.reply.get("traceback", [])))
        return [result["data"] for result in cell.of("execute_result")], message


if __name__ == "__main__":
    unittest.main()
