"""Every request of the Jupyter messaging document, and what else crosses the sockets."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from harness import KERNEL, TIMEOUT, Kernel, KernelCase, cells_copy, wait_until
from jupyter_client.kernelspec import KernelSpecManager
from processes import below, wait_until_gone


class ProtocolTest(KernelCase):
    def test_every_request_is_answered_in_kind(self):
        for channel, kind, content in [
            ("shell", "kernel_info_request", {}),
            ("control", "kernel_info_request", {}),
            ("shell", "is_complete_request", {"code": "1"}),
            ("shell", "history_request", {"hist_access_type": "tail", "n": 1}),
            ("shell", "comm_info_request", {}),
            ("shell", "comm_info_request", {"target_name": "jupyter.widget"}),
            ("shell", "complete_request", {"code": "1.", "cursor_pos": 2}),
            ("shell", "inspect_request", {"code": "String", "cursor_pos": 3, "detail_level": 0}),
            ("control", "interrupt_request", {}),
        ]:
            with self.subTest(channel=channel, kind=kind):
                answered, reply = self.kernel.ask(channel, kind, content)
                self.assertEqual(answered, kind.replace("_request", "_reply"))
                self.assertEqual(reply.get("status"), "complete" if kind.startswith("is_complete") else "ok")

    def test_every_request_stands_between_busy_and_idle(self):
        client = self.kernel.client
        for channel, kind, content in [
            ("shell", "kernel_info_request", {}),
            ("control", "kernel_info_request", {}),
            ("shell", "is_complete_request", {"code": "1"}),
            ("shell", "history_request", {"hist_access_type": "tail", "n": 1}),
            ("shell", "comm_info_request", {}),
            ("shell", "comm_open", {"comm_id": "c2", "target_name": "none", "data": {}}),
            ("shell", "comm_msg", {"comm_id": "c2", "data": {}}),
            ("shell", "complete_request", {"code": "1.", "cursor_pos": 2}),
            ("shell", "inspect_request", {"code": "String", "cursor_pos": 3, "detail_level": 0}),
            ("shell", "execute_request", {"code": "1"}),
            ("control", "interrupt_request", {}),
            ("control", "debug_request", {"type": "request", "seq": 1, "command": "attach"}),
            ("shell", "dance_request", {}),
        ]:
            with self.subTest(channel=channel, kind=kind):
                message = client.session.msg(kind, content)
                getattr(client, f"{channel}_channel").send(message)
                states = []
                while "idle" not in states:
                    found = client.get_iopub_msg(timeout=60)
                    is_of_request = found["parent_header"].get("msg_id") == message["header"]["msg_id"]
                    if is_of_request and found["msg_type"] == "status":
                        states.append(found["content"]["execution_state"])
                self.assertEqual(states, ["busy", "idle"])

    def test_kernel_info_names_the_language_and_its_lexers(self):
        _, reply = self.kernel.ask("shell", "kernel_info_request", {})
        language = reply["language_info"]
        self.assertEqual((language["pygments_lexer"], language["codemirror_mode"]), ("rust", "rust"))
        self.assertRegex(language["version"], r"^1\.\d+")

    def test_a_debugger_is_refused(self):
        kind, reply = self.kernel.ask("control", "debug_request", {"type": "request", "seq": 3, "command": "attach"})
        self.assertEqual((kind, reply["success"], reply["request_seq"]), ("debug_reply", False, 3))

    def test_an_unknown_request_gets_an_error(self):
        kind, reply = self.kernel.ask("shell", "dance_request", {})
        self.assertEqual((kind, reply["status"]), ("dance_reply", "error"))

    def test_a_comm_is_closed(self):
        client = self.kernel.client
        message = client.session.msg("comm_open", {"comm_id": "c1", "target_name": "none", "data": {}})
        client.shell_channel.send(message)
        while True:
            found = client.get_iopub_msg(timeout=20)
            if found["msg_type"] == "comm_close":
                self.assertEqual(found["content"]["comm_id"], "c1")
                break

    def test_counts_begin_at_one_and_follow_store_history(self):
        kernel = Kernel()
        try:
            self.assertEqual(kernel.run("1").reply["execution_count"], 1)
            silent = kernel.run("2", silent=True)
            self.assertEqual([kind for kind, _, _ in silent.messages], ["status"])
            self.assertEqual(kernel.run("3", store_history=False).reply["execution_count"], 2)
            self.assertEqual(kernel.run("4").reply["execution_count"], 2)
            _, reply = kernel.ask("shell", "history_request", {"hist_access_type": "tail", "n": 2})
            self.assertEqual([entry[2] for entry in reply["history"]], ["1", "4"])
        finally:
            kernel.close()
        again = Kernel()
        try:
            _, reply = again.ask("shell", "history_request", {"hist_access_type": "tail", "n": 2})
            self.assertEqual([entry[2] for entry in reply["history"]], ["1", "4"])
        finally:
            again.close()

    def test_a_failed_cell_stops_none_that_wait_where_the_client_says_so(self):
        requests = [self.kernel.send(code, stop_on_error=False) for code in ('panic!("go on")', "1")]
        cells = [self.kernel.gather(request) for request in requests]
        self.assertEqual([cell.reply["status"] for cell in cells], ["error", "ok"])

    def test_what_the_cursor_stands_on_is_explained(self):
        code = "let text = String::with_capacity(8);"
        asked = {"code": code, "cursor_pos": code.index("with_capacity") + 3, "detail_level": 0}
        _, reply = self.kernel.ask("shell", "inspect_request", asked)
        self.assertTrue(reply["found"])
        self.assertIn("at least the specified capacity", reply["data"]["text/plain"])

    def test_user_expressions_are_evaluated(self):
        cell = self.kernel.run("let e = 20;", user_expressions={"good": "e + 1", "bad": "no_such_name"})
        answers = cell.reply["user_expressions"]
        self.assertEqual(answers["good"]["data"]["text/plain"], "21")
        self.assertEqual((answers["bad"]["status"], answers["bad"]["ename"]), ("error", "CompilationError"))

    def test_input_is_asked_for(self):
        code = """println!("EVCXR_INPUT_REQUEST:name?");
let mut line = String::new();
std::io::stdin().read_line(&mut line).unwrap();
println!("hello {}", line.trim());"""
        request = self.kernel.send(code, allow_stdin=True)
        asked = self.kernel.client.get_stdin_msg(timeout=60)
        self.assertEqual(asked["content"], {"prompt": "name?", "password": False})
        self.kernel.client.input("Ferris")
        self.assertEqual(self.kernel.gather(request).text, "hello Ferris\n")

    def test_without_a_person_input_is_empty(self):
        code = """println!("EVCXR_INPUT_REQUEST:name?");
let mut line = String::new();
std::io::stdin().read_line(&mut line).unwrap();
println!("[{}]", line.trim());"""
        self.assertEqual(self.kernel.run(code, allow_stdin=False).text, "[]\n")

    def test_a_client_that_disappears_stops_nothing(self):
        other = self.kernel.new_client()
        other.execute('for line in 0..2000 { println!("{line}"); }')
        other.stop_channels()
        self.assertEqual(self.kernel.run("5").reply["status"], "ok")

    def test_two_kernels_run_side_by_side(self):
        other = Kernel()
        try:
            self.kernel.run("let shared = 1;")
            other.run("let shared = 2;")
            shown = [one.run("shared").of("execute_result")[0]["data"]["text/plain"] for one in (self.kernel, other)]
            self.assertEqual(shown, ["1", "2"])
        finally:
            other.close()

    def test_kernel_info_does_not_wait_for_the_compiler(self):
        # While set-up holds this lock, evcxr cannot start.
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells, open(f"{cells}/master.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            kernel = Kernel({"DIABOLO_CELLS": cells})
            try:
                kind, content = kernel.ask("shell", "kernel_info_request", {})
                self.assertEqual((kind, content["language_info"]["name"]), ("kernel_info_reply", "rust"))
            finally:
                fcntl.flock(lock, fcntl.LOCK_UN)
                kernel.close()

    def test_a_restart_begins_anew(self):
        kernel = Kernel()
        try:
            for restart in (False, True):
                if restart:
                    kernel.run("let before = 1;")
                    kernel.manager.restart_kernel()
                kernel.client.wait_for_ready(timeout=TIMEOUT)
                cell = kernel.run("2 + 2")
                self.assertEqual((cell.reply["status"], cell.reply["execution_count"]), ("ok", 1))
            self.assertEqual(kernel.run("before").reply["ename"], "CompilationError")
        finally:
            kernel.close()

    def test_shutdown_ends_the_kernel_and_its_processes(self):
        kernel = Kernel()
        kernel.run("let a = 1;")
        processes = below(kernel.manager.provisioner.pid)
        # The relay and the process of cells at least.
        self.assertGreaterEqual(len(processes), 2)
        kernel.ask("control", "shutdown_request", {"restart": False})
        # By itself: jupyter_client kills a kernel that does not end.
        wait_until(lambda: kernel.manager.provisioner.process.poll() is not None)
        wait_until_gone(self, processes)
        kernel.close()

    def test_cells_learn_nothing_of_a_cargo_that_started_the_kernel(self):
        kernel = Kernel({"CARGO_PKG_NAME": "above", "CARGO_MANIFEST_DIR": "/above", "OUT_DIR": "/above"})
        code = 'println!("{:?}", ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "OUT_DIR"].map(|name| std::env::var(name).is_ok()));'
        self.assertEqual(kernel.run(code).text, "[false, false, false]\n")
        kernel.close()

    def test_a_kernel_ends_when_what_started_it_is_gone(self):
        code = (
            "import os, sys; from harness import Kernel\n"
            "kernel = Kernel(); print(kernel.manager.provisioner.pid, flush=True); os._exit(0)"
        )
        folder = os.path.dirname(os.path.abspath(__file__))
        starter = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
        wait_until_gone(self, [int(starter.stdout)])

    def test_a_killed_kernel_leaves_no_cell_running(self):
        kernel = Kernel()
        request = kernel.send('println!("{}", std::process::id()); loop {}')
        cells = int(kernel.wait_for(request, "stream")["text"])
        os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)
        wait_until_gone(self, [cells])
        kernel.close()


class StartTest(unittest.TestCase):
    """What is wrong with a start is said."""

    def start_with(self, connection_file_text):
        command = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(connection_file_text)
            file.flush()
            return subprocess.run(
                [command, "--control_file", file.name], capture_output=True, text=True, timeout=30, check=False
            )

    def test_a_malformed_connection_file(self):
        result = self.start_with("{")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("malformed", result.stderr)

    def test_a_port_in_use(self):
        names = ("shell", "iopub", "stdin", "control", "hb")
        for in_use in names:
            with self.subTest(in_use), contextlib.ExitStack() as stack:
                sockets = {name: stack.enter_context(socket.socket()) for name in names}
                for one in sockets.values():
                    one.bind(("127.0.0.1", 0))
                ports = {f"{name}_port": one.getsockname()[1] for name, one in sockets.items()}
                sockets[in_use].listen()
                for name in set(names) - {in_use}:
                    sockets[name].close()
                result = self.start_with(
                    json.dumps({**ports, "ip": "127.0.0.1", "transport": "tcp", "key": "k", "signature_scheme": "hmac-sha256"})
                )
                self.assertNotEqual(result.returncode, 0)
                self.assertIn("does another program use it", result.stderr)
                self.assertIn(str(ports[f"{in_use}_port"]), result.stderr)

    def test_what_set_up_made_and_is_gone_is_said_in_the_notebook(self):
        for name, word in {"DIABOLO_CELLS": "warm build", "LIBTORCH": "libtorch"}.items():
            with self.subTest(name):
                kernel = Kernel({name: "/proc/nowhere/at/all"})
                try:
                    cell = kernel.run("1")
                    self.assertEqual(cell.reply["ename"], "KernelNotReady")
                    self.assertIn("cargo diabolo setup", cell.reply["evalue"])
                    self.assertIn(word, cell.reply["evalue"])
                finally:
                    kernel.close()

    def test_missing_sources_of_the_standard_library_are_said_in_the_notebook(self):
        with tempfile.TemporaryDirectory() as folder:
            # A toolchain without its `rust-src`.
            rustc = f"{folder}/rustc"
            with open(rustc, "w") as script:
                real = shutil.which("rustc")
                script.write(f'#!/bin/sh\ncase "$*" in *sysroot*) echo {folder}; echo {folder}/lib;; *) exec {real} "$@";; esac\n')
            os.chmod(rustc, 0o755)
            kernel = Kernel({"PATH": f"{folder}:{os.environ['PATH']}"})
            try:
                cell = kernel.run("1")
                self.assertEqual(cell.reply["ename"], "KernelNotReady")
                self.assertIn("rustup component add rust-src", cell.reply["evalue"])
            finally:
                kernel.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
