"""Runs the cells of notebooks for `cargo diabolo report`, which decides what to run and what a failure is.

One request a line on standard input, answered by one line on standard output; while a cell runs, lines with its
text come before the answer. Both are JSON.
"""

import contextlib
import datetime
import json
import os
import queue
import sys

import nbformat
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbconvert import HTMLExporter


# How long a kernel may be late with what a cell wrote to standard error.
LATE_SECONDS = 0.5


class Client(NotebookClient):
    """Passes on what a cell prints while it runs."""

    def process_message(self, message, cell, cell_index):
        self.request = message["parent_header"].get("msg_id")
        if message["msg_type"] == "stream":
            answer(text=message["content"]["text"])
        return super().process_message(message, cell, cell_index)

    def take_late_messages(self, cell, cell_index):
        """evcxr says that a cell is done before everything that the cell wrote to standard error has passed."""
        request = self.request
        with contextlib.suppress(queue.Empty):
            while True:
                message = run_sync(self.kc.get_iopub_msg)(timeout=LATE_SECONDS)
                if message["parent_header"].get("msg_id") == request:
                    self.process_message(message, cell, cell_index)


class Executor:
    """One notebook at a time, each with a kernel of its own."""

    def __init__(self):
        self.kernel = contextlib.ExitStack()

    def open(self, notebook, kernel):
        self.notebook = nbformat.read(notebook, as_version=4)
        self.client = Client(
            self.notebook,
            kernel_name=kernel,
            timeout=None,
            startup_timeout=600,
            allow_errors=True,
            record_timing=False,
            resources={"metadata": {"path": os.path.dirname(notebook)}},
        )
        self.kernel.enter_context(self.client.setup_kernel())
        return {}

    def run(self, cell, probe):
        """Runs one cell. `probe` is code to run after it and the text that it prints, which nobody else sees."""
        index, cell = cell, self.notebook.cells[cell]
        source = cell.source
        if probe:
            cell.source += "\n" + probe["code"]
        try:
            self.client.execute_cell(cell, index)
        finally:
            cell.source = source
        reached_probe = bool(probe) and remove(probe["text"] + "\n", cell)
        ended_well = reached_probe or any(output.output_type == "execute_result" for output in cell.outputs)
        if not ended_well:
            self.client.take_late_messages(cell, index)
        return {"outputs": cell.outputs, "reached_probe": reached_probe}

    def save(self, notebook, html):
        nbformat.write(self.notebook, notebook)
        exporter = HTMLExporter(require_js_url="", mathjax_url="", mermaid_js_url="", jquery_url="")
        name = os.path.splitext(os.path.basename(notebook))[0]
        body, _ = exporter.from_notebook_node(self.notebook, resources={"metadata": {"name": name}})
        with open(html, "w", encoding="utf-8") as file:
            file.write(body)
        return {}

    def close(self):
        self.kernel.close()
        return {}

    def date(self):
        return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")}


def remove(text, cell):
    """Removes `text` from what the cell printed; was it there?"""
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout" and text in output.text:
            output.text = output.text.replace(text, "")
            if not output.text:
                cell.outputs.remove(output)
            return True
    return False


def answer(**values):
    protocol.write(json.dumps(values) + "\n")
    protocol.flush()


# Kernels and libraries that print would disturb the answers.
protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
executor = Executor()
with executor.kernel:
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(answer=getattr(executor, request.pop("do"))(**request))
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")
