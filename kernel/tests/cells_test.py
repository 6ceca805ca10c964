"""What cells show, how they fail, and how they are stopped."""

import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

from harness import KERNEL, TIMEOUT, Kernel, KernelCase, make_crate, wait_until
from processes import below, command_line

SLEEP = "std::thread::sleep(std::time::Duration::from_millis({}));"


def message(**fields):
    """Rust code that sends a message of diabolo's protocol."""
    return 'println!("\\u{2}diabolo1 {}", r##"' + json.dumps(fields) + '"##);'


def wait_for_file(file):
    """Rust code that waits until the test has seen what came before, and makes this file."""
    return f'while !std::path::Path::new("{file}").exists() {{ {SLEEP.format(5)} }}'


def block(mime, content):
    """Rust code that prints one of evcxr's blocks."""
    return f'println!("EVCXR_BEGIN_CONTENT {mime}\\n{{}}\\nEVCXR_END_CONTENT", {content});'


class CellsTest(KernelCase):
    def run_cell(self, code, **options):
        return self.kernel.run(code, **options)

    def test_pictures_and_lines_keep_their_order_and_come_while_the_cell_runs(self):
        parts = []
        for number in range(3):
            parts += [f'println!("line {number}");', message(message="display", data={"text/plain": f"picture {number}"})]
        with tempfile.TemporaryDirectory() as folder:
            request = self.kernel.send("\n".join(parts) + wait_for_file(f"{folder}/seen"))
            self.kernel.wait_for(request, "display_data")
            open(f"{folder}/seen", "w").close()
            cell = self.kernel.gather(request)
        shown = [
            content["text"].strip() if kind == "stream" else content["data"]["text/plain"]
            for kind, content, _ in cell.messages
            if kind in ("stream", "display_data")
        ]
        self.assertEqual(shown, [f"{what} {number}" for number in range(3) for what in ("line", "picture")])

    def test_a_display_is_updated_and_cleared(self):
        cell = self.run_cell(
            message(message="display", data={"text/plain": "0 %"}, id="bar")
            + message(message="update", data={"text/plain": "100 %"}, id="bar")
            + message(message="clear", wait=True)
        )
        self.assertEqual(cell.of("display_data")[0]["transient"], {"display_id": "bar"})
        self.assertEqual(cell.of("update_display_data")[0]["data"], {"text/plain": "100 %"})
        self.assertEqual(cell.of("clear_output"), [{"wait": True}])

    def test_sixteen_large_pictures_of_one_kind_all_show(self):
        code = f'for number in 0..16 {{ let content = format!("{{number:04}}").repeat(75_000); {block("image/png", "content")} }}'
        cell = self.run_cell(code)
        pictures = [content["data"]["image/png"] for content in cell.of("display_data") + cell.of("execute_result")]
        self.assertEqual([picture[:4] for picture in pictures], [f"{number:04}" for number in range(16)])
        self.assertTrue(all(len(picture) == 300_000 for picture in pictures))

    def test_several_mime_types_of_one_display_are_one_bundle(self):
        cell = self.run_cell(block("text/html", '"<b>1</b>"') + block("text/plain", '"1"'))
        self.assertEqual(cell.of("execute_result")[0]["data"], {"text/html": "<b>1</b>", "text/plain": "1"})

    def test_many_lines_come_whole_and_in_order(self):
        cell = self.run_cell('for line in 0..200_000 { println!("{line}"); }')
        self.assertEqual(cell.text, "".join(f"{line}\n" for line in range(200_000)))

    def test_partial_lines_stream(self):
        with tempfile.TemporaryDirectory() as folder:
            request = self.kernel.send(f'print!("50 %"); {wait_for_file(f"{folder}/seen")} print!("\\r100 %");')
            self.assertEqual(self.kernel.wait_for(request, "stream")["text"], "50 %")
            open(f"{folder}/seen", "w").close()
            self.assertEqual(self.kernel.gather(request).text, "50 %\r100 %")

    def test_c_code_without_a_newline_and_bytes_that_are_not_text(self):
        code = """extern "C" { fn write(file: i32, bytes: *const u8, n: usize) -> isize; }
unsafe { write(1, b"from C \\xff".as_ptr(), 8); }"""
        cell = self.run_cell(code.replace('extern "C"', 'unsafe extern "C"'))
        self.assertEqual(cell.reply["status"], "ok", cell.reply)
        self.assertEqual(cell.text, "from C \ufffd")

    def test_a_compile_error_points_at_the_line_in_colour(self):
        cell = self.run_cell('let a = 1;\nlet b: i32 = "é";')
        self.assertEqual(cell.reply["ename"], "CompilationError")
        traceback = "\n".join(cell.reply["traceback"])
        self.assertIn("\x1b[", traceback)
        self.assertIn(", line 2", traceback)
        self.assertEqual(cell.of("error")[0]["evalue"], cell.reply["evalue"])

    def test_a_panic_is_an_error_with_its_line_and_keeps_variables(self):
        self.run_cell("let kept = vec![1];")
        cell = self.run_cell('println!("before");\nlet nothing: Option<u8> = None;\nnothing.unwrap();')
        self.assertEqual(cell.reply["status"], "error")
        self.assertEqual(cell.reply["ename"], "Panic")
        self.assertIn("line 3", "\n".join(cell.reply["traceback"]))
        self.assertEqual(cell.text, "before\n")
        self.assertEqual(self.run_cell("kept.len()").of("execute_result")[0]["data"]["text/plain"], "1")

    def test_a_question_mark_is_an_error_with_its_text_alone(self):
        cell = self.run_cell('eprintln!("a warning");\nlet n: i32 = "abc".parse()?;')
        self.assertEqual(cell.error, ("Error", "invalid digit found in string"))
        self.assertIn("line 2", "\n".join(cell.reply["traceback"]))
        self.assertEqual(cell.of("stream"), [{"name": "stderr", "text": "a warning\n"}])

    def test_a_caught_panic_is_no_error(self):
        cell = self.run_cell('let r = std::panic::catch_unwind(|| panic!("caught")).is_err(); r')
        self.assertEqual(cell.reply["status"], "ok")

    def test_an_error_stops_the_cells_that_wait(self):
        requests = [self.kernel.send(code) for code in ('panic!("stop")', "1", "2")]
        cells = [self.kernel.gather(request) for request in requests]
        self.assertEqual([cell.reply["status"] for cell in cells], ["error", "aborted", "aborted"])

    def test_a_cell_that_is_sent_after_an_error_runs(self):
        for _ in range(50):
            self.kernel.send(":no_such_command")
            # The quickest client sends its next cell as soon as it has this reply.
            self.assertEqual(self.kernel.client.get_shell_msg(timeout=TIMEOUT)["content"]["status"], "error")
            self.assertEqual(self.run_cell(":vars").reply["status"], "ok")

    def test_an_interrupt_asks_through_the_file_and_keeps_variables(self):
        self.run_cell("let before = 7;")
        folder = 'std::path::Path::new(&std::env::var("DIABOLO_KERNEL").unwrap()).join("interrupt").exists()'
        request = self.kernel.send(f'println!("running"); while !{folder} {{ {SLEEP.format(20)} }}')
        waiting = self.kernel.send("1")
        self.kernel.wait_for(request, "stream")
        self.kernel.manager.interrupt_kernel()
        cell = self.kernel.gather(request)
        self.assertEqual(cell.error, ("Interrupted", "the cell was interrupted; all variables are kept"))
        self.assertEqual(self.kernel.gather(waiting).reply["status"], "aborted")
        self.assertEqual(self.run_cell("before").of("execute_result")[0]["data"]["text/plain"], "7")

    def test_a_cell_that_ignores_an_interrupt_is_killed_and_the_loss_is_said(self):
        self.run_cell("let doomed = vec![1];")
        request = self.kernel.send('println!("running"); loop { ' + SLEEP.format(20) + " }")
        self.kernel.wait_for(request, "stream")
        started = time.time()
        self.kernel.manager.interrupt_kernel()
        cell = self.kernel.gather(request)
        self.assertGreater(time.time() - started, 4.5)
        self.assertEqual(cell.reply["ename"], "Interrupted")
        self.assertIn("doomed", cell.reply["evalue"])
        self.assertEqual(self.run_cell("1 + 1").reply["status"], "ok")

    def test_an_interrupt_while_compiling_stops_the_build_and_keeps_variables(self):
        self.run_cell("let compiled = 3;")
        macro = "macro_rules! slow { ($($n:literal)*) => { $( { let mut v = vec![$n as f64]; v.sort_by(|a, b| b.partial_cmp(a).unwrap()); println!(\"{v:?}\"); } )* } }"
        numbers = " ".join(str(number) for number in range(3000))
        request = self.kernel.send(f"{macro}\nslow!({numbers});")
        front = self.kernel.manager.provisioner.pid
        wait_until(lambda: any("--crate-name ctx" in command_line(process) for process in below(front)))
        self.kernel.manager.interrupt_kernel()
        cell = self.kernel.gather(request)
        self.assertEqual(cell.error, ("Interrupted", "the build was stopped; all variables are kept"))
        self.assertEqual(self.run_cell("compiled").of("execute_result")[0]["data"]["text/plain"], "3")

    def test_an_idle_kernel_ignores_an_interrupt(self):
        self.run_cell("let idle = 5;")
        self.kernel.manager.interrupt_kernel()
        time.sleep(0.3)
        self.assertEqual(self.run_cell("idle").of("execute_result")[0]["data"]["text/plain"], "5")

    def test_a_killed_process_is_an_error_and_the_kernel_goes_on(self):
        cell = self.run_cell("std::process::abort();")
        self.assertEqual(cell.reply["ename"], "ProcessEnded")
        self.assertIn("SIGABRT", cell.reply["evalue"])
        self.assertEqual(self.run_cell("2 + 2").of("execute_result")[0]["data"]["text/plain"], "4")

    def test_the_footer_is_off_until_it_is_asked_for(self):
        self.assertEqual(self.run_cell("let f = 1;").of("display_data"), [])
        self.run_cell(":footer on")
        cell = self.run_cell("let f = 1;")
        self.run_cell(":footer off")
        self.assertRegex(cell.of("display_data")[0]["data"]["text/plain"], r"compile \d+\.\d s · run \d+\.\d s")

    def test_commands_list_variables_and_help(self):
        self.run_cell("let listed = 1.5;")
        self.assertIn("listed: f64", self.run_cell(":vars").of("execute_result")[0]["data"]["text/plain"])
        self.assertIn(":footer", self.run_cell(":help").of("execute_result")[0]["data"]["text/plain"])

    def test_a_crate_with_warnings_is_used_and_one_that_does_not_compile_says_why(self):
        with tempfile.TemporaryDirectory() as folder:
            make_crate(f"{folder}/warns", "fn unused() {}\npub fn one() -> u8 { 1 }")
            make_crate(f"{folder}/fails", "pub fn one() -> u8 { true }")
            kernel = Kernel()
            try:
                cell = kernel.run(f':dep warns = {{ path = "{folder}/warns" }}\nwarns::one()')
                self.assertEqual(cell.reply["status"], "ok", cell.reply)
                self.assertIn("Compiled 1 crate", str(cell.of("update_display_data")))
                cell = kernel.run(f':dep fails = {{ path = "{folder}/fails" }}\nfails::one()')
                self.assertEqual(cell.reply["status"], "error")
                self.assertIn("mismatched types", "\n".join(cell.reply["traceback"]) + cell.reply["evalue"])
            finally:
                kernel.close()

    def test_progress_of_a_build_has_a_name_that_no_earlier_kernel_gave(self):
        with tempfile.TemporaryDirectory() as folder:
            make_crate(f"{folder}/small", "pub fn one() -> u8 { 1 }")
            names = []
            for _ in range(2):
                kernel = Kernel()
                try:
                    cell = kernel.run(f':dep small = {{ path = "{folder}/small" }}\nsmall::one()')
                    names.append(cell.of("display_data")[0]["transient"]["display_id"])
                    self.assertEqual(cell.of("update_display_data")[-1]["data"]["text/plain"], "Compiled 1 crate")
                finally:
                    kernel.close()
            self.assertNotEqual(*names)

    def test_a_changed_crate_is_compiled_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            make_crate(f"{folder}/below", "pub fn one() -> u8 { 1 }")
            dependency = f'below = {{ path = "{folder}/below" }}'
            make_crate(f"{folder}/helper", "pub fn sum() -> u8 { below::one() + 1 }", dependency)
            kernel = Kernel()
            try:
                cell = kernel.run(f':dep helper = {{ path = "{folder}/helper" }}\nhelper::sum()')
                self.assertIn("Compiled 2 crates", str(cell.of("update_display_data")))
                # cargo compares times of whole seconds on some file systems.
                time.sleep(1.1)
                make_crate(f"{folder}/helper", "pub fn sum() -> u8 { below::one() + 2 }", dependency)
                cell = kernel.run("helper::sum()")
                self.assertIn("Compiled 1 crate'", str(cell.of("update_display_data")))
                self.assertEqual(cell.of("execute_result")[0]["data"]["text/plain"], "3")
            finally:
                kernel.close()

    def test_rust_analyzer_sees_the_public_dependencies_of_a_crate_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("public", "private"):
                make_crate(f"{folder}/{name}", "pub struct Thing; impl Thing { pub fn one(&self) -> u8 { 1 } }")
            make_crate(
                f"{folder}/helper",
                "pub use {private, public};\n"
                "pub fn seen() -> public::Thing { public::Thing }\npub fn unseen() -> private::Thing { private::Thing }",
                f'public = {{ path = "{folder}/public" }}\nprivate = {{ path = "{folder}/private" }}\n'
                '[package.metadata.diabolo-kernel]\npublic-dependencies = ["public"]',
            )
            kernel = Kernel()
            try:
                cell = kernel.run(f':dep helper = {{ path = "{folder}/helper" }}\nlet seen = helper::seen();\nseen.one()')
                self.assertEqual(cell.reply["status"], "ok", cell.reply)
                cell = kernel.run("let unseen = helper::unseen();")
                self.assertIn("Please give it an explicit type", cell.reply["evalue"])
                for code in ("helper::unseen().one()", "let typed: helper::private::Thing = helper::unseen();"):
                    self.assertEqual(kernel.run(code).reply["status"], "ok", code)
            finally:
                kernel.close()

    def test_what_a_cell_starts_finds_the_users_toolchain(self):
        cell = self.run_cell('std::env::vars().filter(|(_, value)| value.contains("diabolo-kernel-")).map(|(name, _)| name).collect::<Vec<_>>()')
        names = cell.of("execute_result")[0]["data"]["text/plain"]
        self.assertNotIn("RUSTUP", names)
        self.assertNotIn("SYSROOT", names)

    def test_sixty_cells_do_not_grow_memory(self):
        def resident_megabytes():
            process = self.kernel.manager.provisioner.pid
            with open(f"/proc/{process}/status") as status:
                return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))

        self.run_cell("let mut counter = 0;")
        before = resident_megabytes()
        for _ in range(int(os.environ.get("DIABOLO_TEST_CELLS", "60"))):
            self.assertEqual(self.run_cell("counter += 1;").reply["status"], "ok")
        self.assertLess(resident_megabytes() - before, 200)

    def test_jupyter_run_shows_what_a_file_prints(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(f"{folder}/cells.rs", "w") as file:
                file.write('println!("from a file");')
            # Its ten seconds for each file are not for a busy machine.
            patient = "from jupyter_client import runapp; runapp.OUTPUT_TIMEOUT = 120; runapp.RunApp.launch_instance()"
            command = [sys.executable, "-c", patient, "--kernel", KERNEL, f"{folder}/cells.rs"]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            self.assertEqual(result.stdout, "from a file\n")

    def test_a_panic_makes_nbconvert_fail(self):
        notebook = {
            "cells": [
                {"cell_type": "code", "id": "one", "metadata": {}, "outputs": [], "execution_count": None, "source": 'panic!("on purpose")'}
            ],
            "metadata": {"kernelspec": {"name": KERNEL, "display_name": KERNEL, "language": "rust"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/panics.ipynb"
            with open(path, "w") as file:
                json.dump(notebook, file)
            command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", path]
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn("on purpose", result.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
