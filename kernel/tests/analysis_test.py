"""What asking about code does (nothing), what is read as a command, and versions that stay what set-up compiled."""

import fcntl
import os
import re
import shutil
import tempfile
import unittest
from pathlib import Path

from harness import Kernel, KernelCase, cells_copy, make_crate, wait_until


def text_of(cell):
    """The last result of a cell."""
    return cell.of("execute_result")[-1]["data"]["text/plain"]


def work_folder(kernel):
    """The folder in which the kernel compiles cells."""
    return text_of(kernel.run(":last_compile_dir")).strip()


def files_of_builds(folder):
    """What cargo reads to know dependencies and their versions."""
    return {name: Path(folder, name).read_text() for name in ("Cargo.toml", "Cargo.lock")}


def versions(lock_file):
    """Name and version of every package that has a source."""
    packages = [package for package in lock_file.split("[[package]]") if "\nsource = " in package]
    return {tuple(re.findall(r'^(?:name|version) = "(.*)"', package, re.MULTILINE)) for package in packages}


class AnalysisTest(KernelCase):
    def ask(self, code):
        """Asks for completions and an explanation at the end of `code`, and whether it is complete."""
        asked = {"code": code, "cursor_pos": len(code), "detail_level": 0}
        replies = [self.kernel.ask("shell", f"{kind}_request", asked) for kind in ("complete", "inspect", "is_complete")]
        return [reply for _, reply in replies]

    def test_asking_changes_no_file_that_a_build_reads(self):
        self.assertEqual(self.kernel.run("let before = 5;").reply["status"], "ok")
        folder = work_folder(self.kernel)
        files = files_of_builds(folder)
        with tempfile.TemporaryDirectory() as crates:
            path = f"{crates}/tiny"
            make_crate(path, "pub fn one() -> u8 { 1 }")
            self.ask(f':dep tiny = {{ path = "{path}" }}\nuse ti')
        self.assertEqual(files_of_builds(folder), files)
        cell = self.kernel.run("before + 1")
        self.assertEqual(text_of(cell), "6")
        self.assertEqual(cell.of("display_data"), [], "nothing is compiled again")

    def test_asking_runs_no_command(self):
        self.assertEqual(self.kernel.run("let kept = vec![1];").reply["status"], "ok")
        with tempfile.TemporaryDirectory() as folder:
            for command in (":restart", ":clear", ":quit", f"!touch {folder}/touched", ":env DIABOLO_ASKED=1"):
                self.ask(f"{command}\nlet s = Str")
                self.ask(f"let a = 1;\n{command}")
            self.assertEqual(os.listdir(folder), [])
        self.assertEqual(text_of(self.kernel.run("kept.len()")), "1")

    def test_completion_works_below_and_in_commands(self):
        self.assertEqual(self.kernel.run("let remarkable = 1;").reply["status"], "ok")
        for code in (":vars\nremark", "// é\n!true\nlet é = remark", "::std::string::Strin"):
            complete, _, _ = self.ask(code)
            word = complete["matches"][0]
            start, end = complete["cursor_start"], complete["cursor_end"]
            self.assertEqual((code[start:end], end), (word[: end - start], len(code)), code)
        complete, _, _ = self.ask("let a = 1;\n")
        complete, _, _ = self.ask(":tool")
        self.assertEqual(complete["matches"], [":toolchain"])

    def test_a_failed_cell_leaves_dependencies_as_they_were(self):
        self.assertEqual(self.kernel.run("let before = 5;").reply["status"], "ok")
        folder = work_folder(self.kernel)
        files = files_of_builds(folder)
        with tempfile.TemporaryDirectory() as crates:
            path = f"{crates}/broken"
            make_crate(path, "pub fn one() -> u8 { \"text\" }")
            cell = self.kernel.run(f':dep broken = {{ path = "{path}" }}\nbroken::one()')
            self.assertEqual(cell.reply["status"], "error")
        self.assertEqual(files_of_builds(folder), files)
        self.assertEqual(text_of(self.kernel.run("before")), "5")

    def test_a_line_of_rust_that_begins_with_a_mark_is_no_command(self):
        for code in ("let ok = true &&\n    !false;", "let x =\n    !true;", '::std::println!("x");'):
            with self.subTest(code):
                _, reply = self.kernel.ask("shell", "is_complete_request", {"code": code})
                self.assertEqual(reply["status"], "complete")
                self.assertEqual(self.kernel.run(code).reply["status"], "ok")

    def test_commands_stand_above_code_with_comments_of_any_kind(self):
        for code in ("/* c */\n:vars", "  // c\n:vars", "/* one\n two */\n\n:vars\nlet below = 1;"):
            with self.subTest(code):
                self.assertEqual(self.kernel.run(code).reply["status"], "ok")
        for code, command in (("use std::fs;\n:vars", ":vars"), ("let a = 1;\n  :help", ":help")):
            with self.subTest(code):
                cell = self.kernel.run(code)
                self.assertEqual(cell.reply["ename"], "CompilationError")
                self.assertIn(f"move `{command}` up", cell.reply["evalue"])
                self.assertIn("line 2 of the cell", "".join(cell.reply["traceback"]))

    def test_a_bracket_that_closes_nothing_is_an_error(self):
        for code in ("}", '}\nprintln!("hello");', "} fn g() -> u8 { 1", 'println!("a"); } println!("b");', ")"):
            with self.subTest(code):
                cell = self.kernel.run(code)
                self.assertEqual(cell.reply.get("ename"), "CompilationError")
                self.assertEqual(cell.text, "")

    def test_half_typed_code_is_an_error_and_the_next_cell_runs(self):
        for code in ("let a = std::", "let a = ;", "let b = std::vec::", "let (c, d) = (1, ;", "let e: = 3;", 'let f = "x'):
            with self.subTest(code):
                self.assertEqual(self.kernel.run(code).reply.get("ename"), "CompilationError")
        self.assertEqual(text_of(self.kernel.run("1 + 1")), "2")

    def test_deep_nesting_is_an_error_and_the_kernel_lives(self):
        self.assertEqual(self.kernel.run("let kept = 1;").reply["status"], "ok")
        process, n = self.kernel.manager.provisioner.pid, 20_000
        for code in (
            f"let x = {'(' * n}1{')' * n};",
            "let x = " + "1+" * n + "1;",
            "let x = " + "{" * n + "1" + "}" * n + ";",
            "let x = 1u8" + ".clone()" * n + ";",
            "let x = if false { 0 }" + " else if false { 1 }" * n + " else { 2 };",
            "let x = " + "&" * n + "1;",
        ):
            with self.subTest(code[:24]):
                cell = self.kernel.run(code)
                self.assertEqual(cell.reply["ename"], "CompilationError")
                self.assertIn("levels deep", cell.reply["evalue"])
                self.ask(code)
        self.assertEqual(self.kernel.manager.provisioner.pid, process)
        self.assertEqual(text_of(self.kernel.run("kept")), "1")

    def test_nesting_that_a_person_may_write_compiles(self):
        cell = self.kernel.run(f"let x = {'(' * 200}1{')' * 200}; x{'.clone()' * 200}")
        self.assertEqual(text_of(cell), "1")

    def test_names_in_braces_are_remembered(self):
        self.assertEqual(self.kernel.run("use std::cmp::Ordering::{self, *};").reply["status"], "ok")
        cell = self.kernel.run("let order: Ordering = Less; order")
        self.assertEqual(text_of(cell), "Less")

    def test_what_has_no_effect_says_so(self):
        for command in (":opt 0", ":linker lld", ":timing"):
            self.assertIn("no effect in this kernel", text_of(self.kernel.run(command)))
        text = text_of(self.kernel.run(":help"))
        line = next(line for line in text.splitlines() if line.startswith(":opt"))
        self.assertIn("no effect in this kernel", line)

    def test_a_path_dependency_is_named_from_the_notebooks_folder_and_costs_nothing_twice(self):
        with tempfile.TemporaryDirectory() as crates:
            path = f"{crates}/near"
            make_crate(path, "pub fn one() -> u8 { 1 }")
            relative = os.path.relpath(path)
            cell = self.kernel.run(f':dep near = {{ path = "{path}" }}\nnear::one()')
            self.assertEqual(text_of(cell), "1")
            # What is known is not even looked at.
            os.rename(f"{path}/Cargo.toml", f"{path}/Cargo.toml.away")
            same = self.kernel.run(f':dep near = {{path="{relative}"}}')
            os.rename(f"{path}/Cargo.toml.away", f"{path}/Cargo.toml")
            self.assertEqual(same.reply["status"], "ok")
            self.assertEqual(text_of(self.kernel.run("near::one() + 1")), "2")
            self.kernel.run(":clear")


class StoppedAnalysisTest(unittest.TestCase):
    def test_a_stopped_look_at_dependencies_is_taken_again(self):
        with tempfile.TemporaryDirectory() as folder:
            hold = f"{folder}/hold"
            kernel = Kernel({"DIABOLO_TEST_HOLD_METADATA": hold})
            try:
                path = f"{folder}/pln"
                make_crate(path, "pub struct Thing; impl Thing { pub fn one(&self) -> u8 { 1 } } pub fn thing() -> Thing { Thing }")
                self.assertEqual(kernel.run("let kept = 5;").reply["status"], "ok")
                code = f':dep pln = {{ path = "{path}" }}\nlet t = pln::thing();\nt.one()'
                Path(hold).touch()
                request = kernel.send(code)
                # rust-analyzer asks for the packages.
                wait_until(lambda: os.path.exists(f"{hold}.begun"))
                kernel.manager.interrupt_kernel()
                self.assertEqual(kernel.gather(request).reply["ename"], "Interrupted")
                os.remove(hold)
                self.assertEqual(text_of(kernel.run(code)), "1")
                self.assertEqual(text_of(kernel.run("kept")), "5")
            finally:
                kernel.close()


class FirstCellTest(unittest.TestCase):
    def test_packages_are_read_for_a_variable_and_not_for_a_first_cell_without_one(self):
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            hold, path = f"{folder}/hold", f"{folder}/pln"
            make_crate(path, "pub struct Thing; impl Thing { pub fn one(&self) -> u8 { 1 } } pub fn thing() -> Thing { Thing }")
            # Held by the lock, the kernel does not start before the cell is there.
            lock = open(f"{cells}/master.lock", "a")
            shutil.rmtree(f"{cells}/spare", ignore_errors=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
            kernel = Kernel({"DIABOLO_CELLS": cells, "DIABOLO_TEST_HOLD_METADATA": hold})
            try:
                Path(hold).touch()
                request = kernel.send(f':dep pln = {{ path = "{path}" }}\nuse pln::*;\nthing().one()')
                kernel.wait_for(request, "stream")
                lock.close()
                self.assertEqual(text_of(kernel.gather(request)), "1")
                request = kernel.send("let t = thing();\nt.one()")
                wait_until(lambda: os.path.exists(f"{hold}.begun"))
                os.remove(hold)
                self.assertEqual(text_of(kernel.gather(request)), "1")
                reply = kernel.ask("shell", "complete_request", {"code": "t.on", "cursor_pos": 4})[1]
                self.assertIn("one", [match.split("(")[0] for match in reply["matches"]])
            finally:
                lock.close()
                kernel.close()


class VersionsTest(unittest.TestCase):
    """With the library loaded, as most notebooks have it."""

    @classmethod
    def setUpClass(cls):
        cls.kernel = Kernel({"CARGO_NET_OFFLINE": "true"})
        # The cells depend on what is in it until the end.
        cls.crates = tempfile.TemporaryDirectory()
        cls.kernel.run("let kept = 1;")
        cls.folder = work_folder(cls.kernel)

    @classmethod
    def tearDownClass(cls):
        cls.kernel.close()
        cls.crates.cleanup()

    def setUp(self):
        self.before = versions(files_of_builds(self.folder)["Cargo.lock"])

    def check(self):
        """All versions of before are there yet."""
        after = versions(files_of_builds(self.folder)["Cargo.lock"])
        self.assertLessEqual(self.before, after)

    def test_versions_hold_when_a_dependency_is_asked_about_and_added(self):
        path = f"{self.crates.name}/held"
        make_crate(path, "pub fn one() -> u8 { 1 }")
        code = f':dep held = {{ path = "{path}" }}\nheld::one()'
        self.kernel.ask("shell", "complete_request", {"code": code, "cursor_pos": len(code)})
        self.check()
        self.assertEqual(text_of(self.kernel.run(code)), "1")
        self.check()

    def test_versions_hold_when_await_brings_tokio(self):
        cell = self.kernel.run("async fn seven() -> u8 { 7 }\nseven().await")
        if "tokio" in str(cell.error) and cell.reply["status"] == "error":
            self.skipTest("tokio is not on this machine, and tests need no network")
        self.assertEqual(text_of(cell), "7")
        self.check()
        self.assertEqual(text_of(self.kernel.run("seven().await")), "7")


if __name__ == "__main__":
    unittest.main(verbosity=2)
