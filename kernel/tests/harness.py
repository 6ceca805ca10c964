"""A kernel under test: runs cells and gathers what they publish."""

import os
import shutil
import time
import unittest
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

KERNEL = os.environ.get("DIABOLO_TEST_KERNEL", "diabolo")

# A compilation on a busy machine.
TIMEOUT = 120


@dataclass
class Cell:
    """What one cell published and replied."""

    reply: dict
    messages: list = field(default_factory=list)

    def of(self, kind):
        """The contents of the messages of one kind."""
        return [content for name, content, _ in self.messages if name == kind]

    @property
    def text(self):
        """What it printed on standard output."""
        return "".join(stream["text"] for stream in self.of("stream") if stream["name"] == "stdout")

    @property
    def error(self):
        """Name and message of its error."""
        return self.reply.get("ename"), self.reply.get("evalue")


def wait_until(is_so, timeout=TIMEOUT):
    """Waits until something is so, however slow the machine is."""
    deadline = time.time() + timeout
    while not is_so():
        if time.time() > deadline:
            raise AssertionError("what the test waits for did not come")
        time.sleep(0.02)


@contextmanager
def cells_copy(folder):
    """A copy of the warm build in `folder`, for tests that change it."""
    copy = f"{folder}/cells"
    cells = KernelSpecManager().get_kernel_spec(KERNEL).env["DIABOLO_CELLS"]
    # Libraries are never written to, so links do; running kernels keep what is theirs.
    def link(source, target):
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    shutil.copytree(cells, copy, copy_function=link, ignore=shutil.ignore_patterns("running", "spare", "running.lock", "master.lock"))
    yield copy


def make_crate(folder, code, dependencies=""):
    """A library crate, named as its folder."""
    name = os.path.basename(folder)
    os.makedirs(f"{folder}/src", exist_ok=True)
    with open(f"{folder}/Cargo.toml", "w") as manifest:
        manifest.write(f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n[dependencies]\n{dependencies}\n')
    with open(f"{folder}/src/lib.rs", "w") as source:
        source.write(code)


class Kernel:
    """A running kernel and a client of it."""

    def __init__(self, environment=None, folder=None, timeout=TIMEOUT):
        self.manager = KernelManager(kernel_name=KERNEL)
        # The kernelspec's environment comes before the one of this process.
        self.manager.kernel_spec.env.update(environment or {})
        self.manager.start_kernel(**({"cwd": folder} if folder else {}))
        self.kept = []
        # Every message that was published, whoever it belongs to.
        self.seen = []
        try:
            self.client = self.new_client(timeout)
        except BaseException:
            self.manager.shutdown_kernel(now=True)
            raise

    def new_client(self, timeout=TIMEOUT):
        client = self.manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=timeout)
        return client

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    def send(self, code, **options):
        """Sends a cell and returns its number."""
        return self.client.execute(code, **options)

    def next_message(self, deadline):
        """The next published message."""
        message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.time()))
        self.seen.append(message)
        return message

    def gather(self, request, timeout=TIMEOUT):
        """Waits for a cell's end."""
        messages, deadline = [], time.time() + timeout
        kept, self.kept = self.kept, []
        while True:
            message = kept.pop(0) if kept else self.next_message(deadline)
            if message["parent_header"].get("msg_id") != request:
                # Of a cell that is gathered later, perhaps.
                self.kept.append(message)
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            messages.append((kind, content, time.time()))
        while True:
            reply = self.client.get_shell_msg(timeout=timeout)
            if reply["parent_header"].get("msg_id") == request:
                return Cell(reply["content"], messages)

    def wait_for(self, request, kind, timeout=TIMEOUT):
        """Waits until a cell has published a message of this kind, and returns its content."""
        deadline = time.time() + timeout
        while True:
            message = self.next_message(deadline)
            self.kept.append(message)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == kind:
                return message["content"]
            if message["content"].get("execution_state") == "idle":
                raise AssertionError(f"the cell ended without {kind}: {self.gather(request)}")

    def run(self, code, **options):
        """Runs a cell to its end."""
        return self.gather(self.send(code, **options))

    def ask(self, channel, kind, content, timeout=TIMEOUT):
        """Sends any request and returns its reply's kind and content, or `None` where there is none."""
        client = self.client
        message = client.session.msg(kind, content)
        socket = getattr(client, f"{channel}_channel")
        socket.send(message)
        deadline = time.time() + timeout
        while time.time() < deadline:
            try:
                reply = socket.get_msg(timeout=max(0.1, deadline - time.time()))
            except Empty:
                return None
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return reply["msg_type"], reply["content"]
        return None


class KernelCase(unittest.TestCase):
    """Tests that share one kernel."""

    @classmethod
    def setUpClass(cls):
        cls.kernel = Kernel()

    @classmethod
    def tearDownClass(cls):
        cls.kernel.close()
