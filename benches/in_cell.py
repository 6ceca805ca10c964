"""diabolo's side of `cargo diabolo bench` inside a notebook's cell, with the words of `rounds.rs` on standard input and output.

    in_cell.py NAME --data CIFAR_BATCHES_FOLDER --codes FILE --threads 2

What is timed is the call, by the cell itself: compiling a cell takes as long whatever the call does, and
`kernel/tests/measure.py` measures that. Runs in the Python that set-up installed for Jupyter.
"""

import argparse
import json
import pathlib
import sys

from jupyter_client.manager import start_new_kernel

# What prepares, and the call. K-means gets the same 32 components as its peer, worked out here: cells read no .npy of codes.
CELLS = {
    "train_report_cnn": (
        'let data = open("DATA")?; let data = Split::new("the first images", data.train().first(8_000)?, data.test().clone())?;',
        "train(Architecture::report_cnn(), &data, Training::report_cnn().epochs(1))?.history().loss_last()",
    ),
    "score_report_cnn": (
        'let data = open("DATA")?; let few = Split::new("a few images", data.train().first(128)?, data.test().clone())?;'
        " let model = train(Architecture::report_cnn(), &few, Training::report_cnn().epochs(1))?;",
        "model.score(few.test())?.values.len()",
    ),
    "kmeans_k5": (
        'let points = open("DATA")?.test().to_array().into_shape_with_order((10_000, 3072))?;'
        " let points = diabolo::project::Pca::fit(&points, 32)?.transform(&points)?;",
        "diabolo::cluster::KMeans::new(5).starts(10).fit(&points)?.inertia",
    ),
}
MARK = "seconds in the cell: "


def run(client, code):
    """What the cell printed."""
    printed = []

    def keep(message):
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, output_hook=keep, timeout=600)
    if reply["content"]["status"] != "ok":
        raise SystemExit(f"the cell failed: {reply['content']['evalue']}\n{code}")
    return "".join(printed)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CELLS)
    parser.add_argument("--data", required=True)
    parser.add_argument("--codes")
    parser.add_argument("--threads")
    arguments = parser.parse_args()
    prepare, call = CELLS[arguments.name]
    timed = (
        f"let started = std::time::Instant::now(); let check = {call}; "
        f'println!("{MARK}{{}}", started.elapsed().as_secs_f64()); check'
    )

    manager, client = start_new_kernel(kernel_name="diabolo", startup_timeout=600)
    try:
        run(client, f':dep diabolo = {{ path = "{pathlib.Path(__file__).resolve().parents[1]}" }}\nuse diabolo::prelude::*;')
        run(client, prepare.replace("DATA", arguments.data))
        run(client, timed)
        print(json.dumps({"ready": True, "name": arguments.name}), flush=True)
        for _ in sys.stdin:
            seconds = float(run(client, timed).rsplit(MARK, 1)[1].split()[0])
            print(json.dumps({"seconds": seconds}), flush=True)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
