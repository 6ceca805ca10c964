"""Nothing waits for a client, and no client for a cell: slow readers, questions and stops at every moment."""

import fcntl
import os
import shutil
import tempfile
import time
import unittest
from pathlib import Path

import zmq
from harness import TIMEOUT, Kernel, KernelCase, cells_copy, wait_until

# What ends the cells below; a cell says first that it runs.
UNTIL = 'println!("runs"); while !std::path::Path::new("{file}").exists() {{ std::thread::sleep(std::time::Duration::from_millis(10)); }}'

FLOOD = """for i in 0..{n} {{
    println!("\\u{{2}}diabolo1 {{{{\\"message\\":\\"display\\",\\"data\\":{{{{\\"text/plain\\":\\"{{}}\\"}}}}}}}}", "x".repeat(1000));
    if i == 1000 {{ println!("a thousand"); }}
}}"""


class Held:
    """A cell that runs until the block ends."""

    def __init__(self, kernel, code=UNTIL):
        self.kernel, self.code = kernel, code
        self.folder = tempfile.TemporaryDirectory()
        self.file = f"{self.folder.name}/go"

    def __enter__(self):
        self.request = self.kernel.send(self.code.format(file=self.file))
        return self

    def __exit__(self, *_):
        Path(self.file).touch()
        self.cell = self.kernel.gather(self.request)
        self.folder.cleanup()


class ClientsTest(KernelCase):
    def test_questions_wait_for_no_cell(self):
        self.assertEqual(self.kernel.run("let remarkable = 1;").reply["status"], "ok")
        with Held(self.kernel) as held:
            # At once: the cell may not even have begun.
            answer = self.kernel.ask("shell", "complete_request", {"code": "remark", "cursor_pos": 6}, timeout=30)
            self.assertIsNotNone(answer, "it waited for the cell")
            self.assertEqual(answer[1]["matches"], ["remarkable"])
            self.kernel.wait_for(held.request, "stream")
            answer = self.kernel.ask("shell", "inspect_request", {"code": "u8", "cursor_pos": 2, "detail_level": 0}, timeout=30)
            self.assertIsNotNone(answer, "it waited for the cell")
        self.assertEqual(held.cell.reply["status"], "ok")

    def test_the_kernel_is_busy_for_as_long_as_a_cell_runs(self):
        client = self.kernel.client
        with Held(self.kernel) as held:
            self.kernel.wait_for(held.request, "stream")
            for kind, content in (
                ("complete", {"code": "a", "cursor_pos": 1}),
                ("inspect", {"code": "u8", "cursor_pos": 2, "detail_level": 0}),
                ("is_complete", {"code": "a"}),
                ("history", {"hist_access_type": "tail", "n": 1}),
                ("kernel_info", {}),
            ):
                message = client.session.msg(f"{kind}_request", content)
                client.shell_channel.send(message)
                states = []
                while "idle" not in states:
                    found = client.get_iopub_msg(timeout=TIMEOUT)
                    self.kernel.kept.append(found)
                    if found["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                        states.append(found["content"].get("execution_state"))
                after = client.get_iopub_msg(timeout=TIMEOUT)
                self.kernel.kept.append(after)
                self.assertEqual(after["content"].get("execution_state"), "busy", f"after {kind}")
                self.assertEqual(after["parent_header"]["msg_id"], held.request)

    def test_a_silent_request_that_fails_aborts_nobody(self):
        requests = [self.kernel.send("nonsense", silent=True), self.kernel.send("1")]
        cells = [self.kernel.gather(request) for request in requests]
        self.assertEqual([cell.reply["status"] for cell in cells], ["error", "ok"])

    def test_a_message_that_is_sent_again_is_refused(self):
        client = self.kernel.client
        message = client.session.msg("kernel_info_request", {})
        parts = client.session.serialize(message)
        for _ in range(2):
            client.shell_channel.socket.send_multipart(parts)
        self.assertEqual(self.replies_until_another_is_answered(message), 1)

    def test_a_wrong_signature_is_refused(self):
        client = self.kernel.client
        key = client.session.key
        client.session.key = b"wrong"
        message = client.session.msg("kernel_info_request", {})
        client.shell_channel.send(message)
        client.session.key = key
        self.assertEqual(self.replies_until_another_is_answered(message), 0)

    def replies_until_another_is_answered(self, message):
        """How many replies a message got before a later request got its own, which takes as long on the same socket."""
        client, n_replies = self.kernel.client, 0
        # Two of them: the first of the kind may be answered by another thread.
        later = [client.session.msg("kernel_info_request", {}) for _ in range(2)]
        waiting = [request["header"]["msg_id"] for request in later]
        for request in later:
            client.shell_channel.send(request)
        while waiting:
            reply = client.get_shell_msg(timeout=TIMEOUT)
            parent = reply["parent_header"].get("msg_id")
            n_replies += parent == message["header"]["msg_id"]
            if parent in waiting:
                waiting.remove(parent)
        return n_replies

    def test_a_request_that_lacks_something_is_told_what(self):
        kind, reply = self.kernel.ask("shell", "execute_request", {"cod": "1"})
        self.assertEqual((kind, reply["ename"]), ("execute_reply", "MalformedRequest"))
        self.assertIn("code", reply["evalue"])


class SlowClientTest(unittest.TestCase):
    def setUp(self):
        self.kernel = Kernel()
        self.kernel.run("let kept = 1;")
        # Anybody may subscribe; this one does not read.
        self.sleeper = zmq.Context.instance().socket(zmq.SUB)
        self.sleeper.setsockopt(zmq.RCVHWM, 1)
        self.sleeper.setsockopt(zmq.RCVBUF, 4096)
        self.sleeper.subscribe(b"")
        info = self.kernel.manager.get_connection_info()
        self.sleeper.connect(f"tcp://{info['ip']}:{info['iopub_port']}")
        self.assertEqual(self.sleeper.recv_multipart()[0], b"iopub_welcome")

    def tearDown(self):
        self.sleeper.close(0)
        self.kernel.close()

    def test_others_get_every_output_and_the_sleeper_is_told_what_it_missed(self):
        cell = self.kernel.gather(self.kernel.send(FLOOD.format(n=30_000)), timeout=TIMEOUT)
        self.assertEqual(cell.reply["status"], "ok")
        self.assertEqual(len(cell.of("display_data")), 30_000)
        topics, missed = [], 0
        while True:
            parts = self.sleeper.recv_multipart()
            topics.append(parts[0])
            missed += b"are left out here" in parts[-1]
            if parts[0] == b"status" and b"idle" in parts[-1]:
                break
        self.assertLess(topics.count(b"display_data"), 30_000)
        self.assertEqual(missed, 1)

    def test_stop_and_shutdown_are_answered_while_it_sleeps(self):
        request = self.kernel.send(FLOOD.format(n=1_000_000_000))
        self.kernel.wait_for(request, "stream")
        for channel, kind in (("control", "kernel_info"), ("shell", "kernel_info"), ("control", "interrupt")):
            answered = self.kernel.ask(channel, f"{kind}_request", {}, timeout=20)
            self.assertIsNotNone(answered, kind)
        self.assertEqual(self.kernel.gather(request).reply["ename"], "Interrupted")
        _, reply = self.kernel.ask("control", "shutdown_request", {"restart": False}, timeout=20)
        self.assertEqual(reply["status"], "ok")


class StopTest(unittest.TestCase):
    """A stop at moments when no cell's code runs."""

    def test_cells_that_wait_for_the_start_are_aborted_at_once(self):
        with tempfile.TemporaryDirectory() as folder, cells_copy(folder) as cells:
            # As set-up does while it compiles what cells need.
            lock = open(f"{cells}/master.lock", "a")
            shutil.rmtree(f"{cells}/spare", ignore_errors=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
            kernel = Kernel({"DIABOLO_CELLS": cells})
            try:
                requests = [kernel.send(code) for code in ("1", "2")]
                self.assertIn("cargo diabolo setup", kernel.wait_for(requests[0], "stream")["text"])
                kernel.ask("shell", "kernel_info_request", {})
                kernel.manager.interrupt_kernel()
                aborted = [kernel.gather(request, timeout=30).reply["status"] for request in requests]
                self.assertEqual(aborted, ["aborted", "aborted"])
                later = kernel.send("3")
                lock.close()
                self.assertEqual(kernel.gather(later).reply["execution_count"], 1)
            finally:
                lock.close()
                kernel.close()

    def test_a_cell_that_waits_for_the_warm_up_is_aborted_at_once(self):
        with tempfile.TemporaryDirectory() as folder:
            hold = f"{folder}/hold"
            Path(hold).touch()
            kernel = Kernel({"DIABOLO_TEST_HOLD_WARM_UP": hold})
            try:
                wait_until(lambda: os.path.exists(f"{hold}.begun"))
                request = kernel.send("loop {}")
                # On the same socket, so the cell is handed over when this is answered.
                kernel.ask("shell", "kernel_info_request", {})
                kernel.manager.interrupt_kernel()
                self.assertEqual(kernel.gather(request, timeout=30).reply["status"], "aborted")
                os.remove(hold)
                self.assertEqual(kernel.run("1").reply["execution_count"], 1)
            finally:
                kernel.close()

    def test_a_stop_before_a_cells_code_runs_costs_no_variable(self):
        with tempfile.TemporaryDirectory() as folder:
            hold = f"{folder}/hold"
            kernel = Kernel({"DIABOLO_TEST_HOLD_CELL": hold})
            try:
                self.assertEqual(kernel.run("let kept = vec![1];").reply["status"], "ok")
                Path(hold).touch()
                request = kernel.send("kept.len()")
                wait_until(lambda: os.path.exists(f"{hold}.begun"))
                kernel.manager.interrupt_kernel()
                # The kernel's patience with code that runs ends meanwhile; none does.
                time.sleep(6)
                os.remove(hold)
                self.assertEqual(kernel.gather(request).reply["ename"], "Interrupted")
                after = kernel.run("kept.len()")
                self.assertEqual(after.of("execute_result")[-1]["data"]["text/plain"], "1")
            finally:
                kernel.close()


class SupervisionTest(unittest.TestCase):
    def test_a_panic_of_evcxr_is_a_reply_and_the_next_cell_runs(self):
        kernel = Kernel({"DIABOLO_TEST_PANIC": "panic"})
        try:
            self.assertEqual(kernel.run("let lost = 1;").reply["status"], "ok")
            requests = [kernel.send(code) for code in ("panic", "2")]
            cells = [kernel.gather(request) for request in requests]
            self.assertEqual(cells[0].reply["ename"], "KernelPanic")
            self.assertIn("variables", cells[0].reply["evalue"])
            self.assertEqual(cells[1].reply["status"], "aborted")
            self.assertEqual(kernel.run("lost").reply["ename"], "CompilationError")
            self.assertEqual(kernel.run("1 + 1").of("execute_result")[0]["data"]["text/plain"], "2")
        finally:
            kernel.close()

    def test_quit_is_answered_before_the_kernel_ends(self):
        kernel = Kernel()
        try:
            cell = kernel.run(":quit")
            self.assertEqual(cell.reply["status"], "ok")
            self.assertEqual([item["source"] for item in cell.reply["payload"]], ["ask_exit"])
            process = kernel.manager.provisioner
            wait_until(lambda: process.process.poll() is not None)
        finally:
            kernel.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
