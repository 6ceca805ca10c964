"""What cells start is supervised: it ends with the cell's process, hears the stop button, and finds the user's environment."""

import glob
import json
import os
import signal
import sys
import tempfile
import unittest

from harness import KERNEL, TIMEOUT, Kernel, KernelCase, make_crate, wait_until
from processes import below, wait_until_gone, with_variable

SPAWN = 'std::process::Command::new("sleep").arg("100000").spawn()?.id()'


def started(kernel, code):
    """Runs a cell whose result is the number of a process."""
    cell = kernel.run(code)
    return int(cell.of("execute_result")[0]["data"]["text/plain"])


class ProgramsTest(KernelCase):
    """Programs that a cell started."""

    def stop(self, code, sign="running"):
        """Runs a cell, and presses stop when it has printed its sign."""
        request = self.kernel.send(f'println!("{sign}");\n{code}')
        self.kernel.wait_for(request, "stream")
        self.kernel.manager.interrupt_kernel()
        return self.kernel.gather(request)

    def test_stop_ends_the_program_and_keeps_variables(self):
        self.kernel.run("let kept = 7;")
        for program in ('"sleep").arg("100000"', '"yes"', '"sh").args(["-c", "sleep 100000 | cat"]'):
            with self.subTest(program):
                cell = self.stop(f"std::process::Command::new({program}).status()?;")
                self.assertEqual(cell.reply["ename"], "Interrupted")
                self.assertIn("all variables are kept", cell.reply["evalue"])
                self.assertEqual(self.kernel.run("kept").of("execute_result")[0]["data"]["text/plain"], "7")

    def test_stop_ends_one_program_after_another(self):
        self.kernel.run("let kept = 8;")
        cell = self.stop('for _ in 0..2 { std::process::Command::new("sleep").arg("100000").status()?; }')
        self.assertIn("all variables are kept", cell.reply["evalue"])

    def test_a_cell_that_is_killed_takes_its_programs_along_and_the_next_one_runs(self):
        # A shell that hears no stop, beside one that goes on printing.
        deaf = '"sh").args(["-c", "trap \'\' INT; yes"]'
        request = self.kernel.send(f'println!("{{}}", {SPAWN});\nstd::process::Command::new({deaf}).status()?; loop {{}}')
        program = ""
        while "\n" not in program:
            program += self.kernel.wait_for(request, "stream")["text"]
        self.kernel.manager.interrupt_kernel()
        cell = self.kernel.gather(request)
        self.assertEqual(cell.reply["ename"], "Interrupted")
        self.assertIn("its process was ended", cell.reply["evalue"])
        wait_until_gone(self, [int(program.splitlines()[0])])
        self.assertEqual(self.kernel.run("1 + 1").of("execute_result")[0]["data"]["text/plain"], "2")

    def test_a_program_that_left_the_group_holds_nothing_back(self):
        code = 'println!("{}", std::process::Command::new("setsid").arg("yes").spawn()?.id());\nstd::process::exit(4);'
        cell = self.kernel.run(code)
        self.assertEqual(cell.reply["ename"], "ProcessEnded")
        self.assertEqual(self.kernel.run("1 + 1").reply["status"], "ok")
        # It writes to a pipe that nobody reads any more.
        wait_until_gone(self, [int(cell.text.splitlines()[0])])

    def test_a_restart_of_the_process_ends_programs(self):
        self.kernel.run("let lost = vec![1];")
        program = started(self.kernel, SPAWN)
        cell = self.kernel.run(":restart")
        self.assertEqual(cell.of("execute_result")[0]["data"]["text/plain"], "Child process restarted\n")
        wait_until_gone(self, [program])
        # The variables are gone, and the prelude is there.
        self.assertEqual(self.kernel.run("1 + 1").of("execute_result")[0]["data"]["text/plain"], "2")
        self.assertEqual(self.kernel.run("lost").reply["ename"], "CompilationError")
        self.assertEqual(self.kernel.run('panic!("after it")').error, ("Panic", "after it"))

    def test_programs_read_no_cell(self):
        """Standard input of a cell has only what a person answers."""
        request = self.kernel.send('println!("running"); std::process::Command::new("cat").status()?;')
        waiting = self.kernel.send("2 + 3")
        self.kernel.wait_for(request, "stream")
        self.kernel.manager.interrupt_kernel()
        self.kernel.gather(request)
        self.kernel.gather(waiting)
        self.assertEqual(self.kernel.run("2 + 3").of("execute_result")[0]["data"]["text/plain"], "5")


class EndTest(unittest.TestCase):
    """Ends of a kernel."""

    def ends(self, end):
        kernel = Kernel()
        program = started(kernel, SPAWN)
        processes = below(kernel.manager.provisioner.pid) | {program}
        self.assertGreaterEqual(len(processes), 3)
        end(kernel)
        wait_until_gone(self, processes)

    def test_shutdown_ends_everything_below_the_kernel(self):
        self.ends(lambda kernel: kernel.close())

    def test_a_killed_kernel_takes_everything_along(self):
        def kill(kernel):
            os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)

        self.ends(kill)

    def test_a_killed_relay_takes_everything_along_and_the_kernel_goes_on(self):
        kernel = Kernel()
        try:
            program = started(kernel, SPAWN)
            for process in below(kernel.manager.provisioner.pid):
                if os.getpgid(process) == process and os.getpgid(program) != process:
                    os.kill(process, signal.SIGKILL)
            wait_until_gone(self, [program])
            # The first of these may meet the death.
            kernel.run("1")
            self.assertEqual(kernel.run("1 + 1").reply["status"], "ok")
        finally:
            kernel.close()


class BuildTest(KernelCase):
    def test_a_stopped_build_leaves_no_program_and_nothing_half_compiled(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/busy"
            make_crate(path, "pub fn one() -> u8 { 1 }")
            # As a compiler that starts others all the time, until the test says that it is enough.
            with open(f"{path}/build.rs", "w") as build:
                build.write(f'''fn main() {{
    while !std::path::Path::new("{folder}/go").exists() {{
        std::fs::write("{folder}/begun", "").unwrap();
        std::process::Command::new("sleep").arg("100000").spawn().unwrap();
    }}
}}''')
            self.kernel.run("let kept = 9;")
            work = self.kernel.run(":last_compile_dir").of("execute_result")[-1]["data"]["text/plain"].strip()
            kept_by_the_compiler = f"{work}/target/*/debug/incremental/*"
            self.assertNotEqual(glob.glob(kept_by_the_compiler), [])
            code = f':dep busy = {{ path = "{path}" }}\nbusy::one()'
            request = self.kernel.send(code)
            wait_until(lambda: os.path.exists(f"{folder}/begun"))
            self.kernel.manager.interrupt_kernel()
            cell = self.kernel.gather(request)
            self.assertEqual(cell.error, ("Interrupted", "the build was stopped; all variables are kept"))
            # Cargo names the crate's folder to what it starts.
            wait_until_gone(self, with_variable("CARGO_MANIFEST_DIR", path))
            self.assertEqual(glob.glob(kept_by_the_compiler), [])
            open(f"{folder}/go", "w").close()
            self.assertEqual(self.kernel.run(code).of("execute_result")[-1]["data"]["text/plain"], "1")
            self.assertEqual(self.kernel.run("kept").of("execute_result")[-1]["data"]["text/plain"], "9")

    def test_a_build_that_fails_says_why_in_words(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/broken"
            make_crate(path, "pub fn one() -> u8 { 1 }")
            with open(f"{path}/build.rs", "w") as build:
                build.write('fn main() { panic!("no such library here") }')
            cell = self.kernel.run(f':dep broken = {{ path = "{path}" }}\nbroken::one()')
            self.assertIn("no such library here", cell.reply["evalue"])
            self.assertNotIn('"reason"', cell.reply["evalue"])


class InputTest(KernelCase):
    """The person at the client."""

    def test_after_stop_nothing_more_is_asked(self):
        code = """loop {
    println!("EVCXR_INPUT_REQUEST:number?");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    if line.trim().parse::<u8>().is_ok() { break; }
}"""
        request = self.kernel.send(code, allow_stdin=True)
        self.kernel.client.get_stdin_msg(timeout=TIMEOUT)
        self.kernel.manager.interrupt_kernel()
        self.assertEqual(self.kernel.gather(request).reply["ename"], "Interrupted")
        self.assertFalse(self.kernel.client.stdin_channel.msg_ready())

    def test_text_comes_before_the_prompt(self):
        code = """println!("before");
println!("EVCXR_INPUT_REQUEST:name?");
let mut line = String::new();
std::io::stdin().read_line(&mut line).unwrap();"""
        for _ in range(5):
            request = self.kernel.send(code, allow_stdin=True)
            self.kernel.client.get_stdin_msg(timeout=TIMEOUT)
            # What was published has arrived, or is on its way in this machine.
            self.assertEqual(self.kernel.wait_for(request, "stream", timeout=5)["text"], "before\n")
            self.kernel.client.input("")
            self.kernel.gather(request)


class EnvironmentTest(unittest.TestCase):
    """What programs find in their environment."""

    @classmethod
    def setUpClass(cls):
        cls.users = {
            "LD_LIBRARY_PATH": "/of/the/user",
            "RUST_BACKTRACE": "full",
            # Cells are compiled with set-up's profile all the same.
            "CARGO_PROFILE_DEV_OPT_LEVEL": "0",
        }
        cls.kernel = Kernel(cls.users)

    @classmethod
    def tearDownClass(cls):
        cls.kernel.close()

    def check(self, text):
        found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        prefixes = ("EVCXR_", "CARGO_PROFILE_", "CARGO_ENCODED", "RUST_SRC_PATH")
        own = [name for name in found if name.startswith(prefixes) and name not in self.users]
        self.assertEqual(own, [])
        self.assertEqual({name: found.get(name) for name in self.users}, self.users)
        # Set-up names the kernels of this clone there, for notebooks that a cell runs too.
        self.assertEqual(found.get("JUPYTER_PATH"), os.environ.get("JUPYTER_PATH"))
        self.assertNotIn("diabolo", found.get("RUSTUP_TOOLCHAIN", ""))
        return found

    def test_programs_of_a_cell_find_the_users(self):
        self.check(self.kernel.run('std::process::Command::new("env").status()?;').text)

    def test_lines_for_the_shell_find_the_users(self):
        self.assertNotIn("DIABOLO_KERNEL", self.check(self.kernel.run("!env").text))

    def test_a_notebook_can_be_run_from_a_cell(self):
        cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": "20 + 1"}
        kernelspec = {"name": KERNEL, "display_name": KERNEL, "language": "rust"}
        notebook = {"cells": [cell], "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/inner.ipynb"
            with open(path, "w") as file:
                json.dump(notebook, file)
            command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", path]
            words = ", ".join(json.dumps(word) for word in command[1:])
            code = f"std::process::Command::new({json.dumps(command[0])}).args([{words}]).status()?.success()"
            cell = self.kernel.run(code)
            self.assertEqual(cell.of("execute_result")[0]["data"]["text/plain"], "true", cell.messages)
            with open(path) as file:
                outputs = json.load(file)["cells"][0]["outputs"]
        self.assertEqual("".join(outputs[0]["data"]["text/plain"]), "21")

    def test_a_failing_line_for_the_shell_shows_what_it_printed(self):
        cell = self.kernel.run("!sh -c 'echo out; echo err >&2; exit 3'")
        self.assertEqual(cell.reply["status"], "error")
        self.assertIn("3", cell.reply["evalue"])
        shown = {stream["name"]: stream["text"] for stream in cell.of("stream")}
        self.assertEqual(shown, {"stdout": "out\n", "stderr": "err\n"})

    def test_stop_ends_a_line_for_the_shell(self):
        self.kernel.run("let kept = 9;")
        request = self.kernel.send("!echo running; sleep 100000")
        self.kernel.wait_for(request, "stream")
        self.kernel.manager.interrupt_kernel()
        self.assertEqual(self.kernel.gather(request).reply["ename"], "Interrupted")
        self.assertEqual(self.kernel.run("kept").of("execute_result")[0]["data"]["text/plain"], "9")


if __name__ == "__main__":
    unittest.main(verbosity=2)
