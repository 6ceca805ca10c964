"""Times this front and evcxr's own in turns, in seconds: medians of five starts of each.

    measure.py [--cold] NOTEBOOK

With --cold it also starts each once with nothing compiled, which takes minutes.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import tempfile
import time

from jupyter_client.manager import KernelManager

N_ROUNDS = 5
# Times that each short cell runs in one kernel.
N_CELLS = 5
# What a kernel does for the next one while its user reads; the last one of a round is ended at once.
PAUSE_SECONDS = 3
KERNELS = ("diabolo", "diabolo-stock")
SHORT_CELLS = {
    "trivial cell": "let trivial = 1;",
    "expression cell": "trivial + 1",
    "one-line diabolo cell": 'open("scenes")?.train().len()',
}


class Kernel:
    """A kernel, timed from the start of its process."""

    def __init__(self, name, folder, environment=None):
        self.manager = KernelManager(kernel_name=name)
        self.manager.kernel_spec.env.update(environment or {})
        self.started = time.time()
        self.manager.start_kernel(cwd=folder)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.kernel_info()
        self.client.get_shell_msg(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    @property
    def age(self):
        return time.time() - self.started

    def restart(self):
        self.started = time.time()
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=600)

    def run(self, code):
        """The age at which the first picture of a cell came, or `None`; how long the cell took."""
        sent, first_picture = time.time(), None
        request = self.client.execute(code)
        while True:
            message = self.client.get_iopub_msg(timeout=1800)
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "error":
                raise RuntimeError(message["content"]["evalue"])
            data = message["content"].get("data", {})
            if first_picture is None and any(kind.startswith("image/") for kind in data):
                first_picture = self.age
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                self.client.get_shell_msg(timeout=60)
                return first_picture, time.time() - sent


def until_picture(kernel, cells, row):
    """Runs a notebook's cells up to its first picture."""
    times = {}
    for code in cells:
        first_picture, _ = kernel.run(code)
        times.setdefault(f"{row} to the end of the first cell, `:dep` and `use`", kernel.age)
        if first_picture is not None:
            times[f"{row} to the first picture"] = first_picture
            return times
    raise RuntimeError("the notebook shows no picture")


def measure(name, cells, folder):
    times = {}
    with Kernel(name, folder) as kernel:
        times["process start to kernel_info"] = kernel.age
        times |= until_picture(kernel, cells, "process start")
        for row, code in SHORT_CELLS.items():
            kernel.run(code)
            times[row] = statistics.median(kernel.run(code)[1] for _ in range(N_CELLS))
        kernel.restart()
        kernel.run(cells[0])
        times["restart to the end of the first cell"] = kernel.age
        time.sleep(PAUSE_SECONDS)
    return times


def measure_cold(name, cells, folder):
    """The same with an empty folder in the place of the warm build."""
    with tempfile.TemporaryDirectory() as empty:
        warm = pathlib.Path(KernelManager(kernel_name=name).kernel_spec.env["DIABOLO_CELLS"])
        for part in "config", ".cargo":
            shutil.copytree(warm / part, pathlib.Path(empty) / part)
        os.mkdir(pathlib.Path(empty) / "master")
        with Kernel(name, folder, {"DIABOLO_CELLS": empty}) as kernel:
            return until_picture(kernel, cells, "cold, process start")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("notebook", type=pathlib.Path)
    arguments = parser.parse_args()
    notebook = json.loads(arguments.notebook.read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    folder = str(arguments.notebook.resolve().parent)

    rounds = {name: [] for name in KERNELS}
    for _ in range(N_ROUNDS):
        for name in KERNELS:
            rounds[name].append(measure(name, cells, folder))
    table = {name: {row: [times[row] for times in rounds[name]] for row in rounds[name][0]} for name in KERNELS}
    if arguments.cold:
        for name in KERNELS:
            table[name] |= {row: [seconds] for row, seconds in measure_cold(name, cells, folder).items()}
    print("| | " + " | ".join(KERNELS) + " |\n|---|" + "---|" * len(KERNELS))
    for row in table[KERNELS[0]]:
        texts = [f"{statistics.median(table[name][row]):.2f}" for name in KERNELS]
        spreads = [f"{min(table[name][row]):.2f} to {max(table[name][row]):.2f}" for name in KERNELS]
        print(f"| {row} | " + " | ".join(f"{text} ({spread})" for text, spread in zip(texts, spreads)) + " |")


if __name__ == "__main__":
    main()
