"""Times this front and evcxr's own in turns: medians of five starts, in seconds.

Usage: measure.py [NOTEBOOK]; the first picture is timed on that notebook.
"""

import json
import statistics
import sys
import time

from jupyter_client.manager import KernelManager

N_ROUNDS = 5
KERNELS = ("diabolo", "diabolo-stock")


def run(client, code):
    """Seconds until the first picture of a cell, or `None`, and until its end."""
    started, first_picture = time.time(), None
    request = client.execute(code)
    while True:
        message = client.get_iopub_msg(timeout=600)
        if message["parent_header"].get("msg_id") != request:
            continue
        data = message["content"].get("data", {})
        if first_picture is None and any(kind.startswith("image/") for kind in data):
            first_picture = time.time() - started
        if message["msg_type"] == "error":
            raise RuntimeError(message["content"]["evalue"])
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            client.get_shell_msg(timeout=60)
            return first_picture, time.time() - started


def measure(kernel, cells, folder):
    started = time.time()
    manager = KernelManager(kernel_name=kernel)
    manager.start_kernel(cwd=folder)
    client = manager.client()
    client.start_channels()
    client.kernel_info()
    client.get_shell_msg(timeout=60)
    times = {"kernel_info": time.time() - started}
    try:
        for code in cells:
            before = time.time() - started
            first_picture, _ = run(client, code)
            times.setdefault("first cell", time.time() - started)
            if first_picture is not None:
                times["first picture"] = before + first_picture
                break
        for name, code in {
            "trivial cell": "let trivial = 1;",
            "expression cell": "trivial + 1",
            "one-line diabolo cell": "open(\"scenes\")?.train.len()" if cells else "trivial",
        }.items():
            run(client, code)
            times[name] = run(client, code)[1]
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
    return times


def main():
    cells, folder = [], None
    if len(sys.argv) > 1:
        with open(sys.argv[1]) as file:
            notebook = json.load(file)
        cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
        folder = sys.argv[1].rpartition("/")[0] or "."
    rounds = {kernel: [] for kernel in KERNELS}
    for _ in range(N_ROUNDS):
        for kernel in KERNELS:
            rounds[kernel].append(measure(kernel, cells, folder))
    names = list(rounds[KERNELS[0]][0])
    print("| | " + " | ".join(KERNELS) + " |\n|---|" + "---|" * len(KERNELS))
    for name in names:
        medians = [statistics.median(times[name] for times in rounds[kernel] if name in times) for kernel in KERNELS]
        print(f"| {name} | " + " | ".join(f"{median:.2f}" for median in medians) + " |")


if __name__ == "__main__":
    main()
