"""The library in its kernel: the curve that grows, and the stop button in every long call."""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

from harness import KERNEL, KernelCase

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOAD = f':dep diabolo = {{ path = "{ROOT}" }}\nuse diabolo::prelude::*;'
DATA = 'let data = open("scenes")?.hold_out(&["moon", "mushroom"])?;\n'

# Calls that would go on for minutes, and how a cell that was stopped in one ends.
LONG_CALLS = {
    "scoring": "loop { conv.score(data.train())?; }",
    "K-means": "diabolo::cluster::KMeans::new(50).starts(1_000_000).fit(&codes)?;",
    "neighbours": "loop { diabolo::neighbours::Nearest::new(&codes)?.distances_between_points(5)?; }",
    "t-SNE": "Tsne { n_steps: 1_000_000, ..Tsne::seed(1) }.fit(&codes)?;",
    "sweep": """let settings = Training::default().epochs(10_000);
let done = sweep(Architecture::conv(), &data, settings, &[["boat".into(), "car".into()]], &[Reconstruction], "FOLDER")?;""",
    # Noise, for which iteration does not help: all eigenvectors at once, one long call of libtorch's.
    "PCA of pixels": """{
let noise = |(i, j): (usize, usize)| ((i * 3072 + j) as f64 * 12.9898).sin() as f32 * 43758.5453 % 1.0;
let points = diabolo::ndarray::Array2::from_shape_fn((4000, 3072), noise);
loop { diabolo::project::Pca::fit(&points, 3)?; }
}""",
}

# Every call above lasts for hours. A stop takes half a second, and longer where others want the cores too.
SOON_SECONDS = 10


class LibraryTest(KernelCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        train = "let conv = train(Architecture::conv(), &data, Training::default().epochs(1))?;"
        codes = "let codes = conv.encode(data.train())?.values;"
        for code in (LOAD, DATA, train, codes):
            reply = cls.kernel.run(code).reply
            assert reply["status"] == "ok", reply

    def stop(self, code, sign="update_display_data", seconds=0):
        """Runs a cell, presses stop some seconds after its first message of one kind, and says how long it then took."""
        request = self.kernel.send(code)
        self.kernel.wait_for(request, sign)
        time.sleep(seconds)
        pressed = time.time()
        self.kernel.manager.interrupt_kernel()
        cell = self.kernel.gather(request)
        return cell, time.time() - pressed

    def test_a_curve_grows_in_one_place(self):
        cell = self.kernel.run("let grown = train(Architecture::conv(), &data, Training::default().epochs(2))?;")
        shown = cell.of("display_data")
        self.assertEqual(len(shown), 1)
        updates = cell.of("update_display_data")
        self.assertGreater(len(updates), 1)
        self.assertEqual({update["transient"]["display_id"] for update in updates}, {shown[0]["transient"]["display_id"]})
        curves = [update["data"]["text/html"] for update in updates]
        self.assertTrue(all("<progress" in curve and "loss while training" in curve for curve in curves))
        self.assertGreater(len(set(curves)), 1)

    def test_a_stopped_training_is_a_model_and_ends_its_cell(self):
        cell, seconds = self.stop(
            "let stopped = train(Architecture::conv(), &data, Training::default().epochs(10_000))?;\n"
            "stopped.score(data.test())?;\n"
            'println!("not reached");'
        )
        self.assertLess(seconds, SOON_SECONDS)
        self.assertEqual(cell.reply["ename"], "Interrupted")
        self.assertNotIn("not reached", cell.text)

    def test_the_next_cell_uses_a_stopped_model(self):
        cell, seconds = self.stop(
            "let kept = train(Architecture::conv(), &data, Training::default().epochs(10_000))?;"
        )
        self.assertLess(seconds, SOON_SECONDS)
        self.assertEqual(cell.reply["ename"], "Interrupted")
        cell = self.kernel.run("(kept.history().stopped_because.to_string(), kept.rank(data.test())?.mse_mean() < 1.0)")
        self.assertEqual(cell.of("execute_result")[0]["data"]["text/plain"], '("it was interrupted", true)', cell.reply)

    def test_every_long_call_stops(self):
        for name, code in LONG_CALLS.items():
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                begun = 'println!("begun");\n' + code.replace("FOLDER", folder)
                cell, seconds = self.stop(begun, "stream", 1.5)
                self.assertEqual(cell.reply["ename"], "Interrupted", cell.reply)
                self.assertIn("interrupted", cell.reply["evalue"])
                self.assertLess(seconds, SOON_SECONDS)
        self.assertEqual(self.kernel.run("codes.nrows()").reply["status"], "ok")

    def test_a_saved_notebook_keeps_one_bar_and_one_curve(self):
        sources = [LOAD, DATA + "let conv = train(Architecture::conv(), &data, Training::default().epochs(2))?;", "conv"]
        cells = [
            {"cell_type": "code", "id": f"c{number}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
            for number, source in enumerate(sources)
        ]
        kernelspec = {"name": KERNEL, "display_name": KERNEL, "language": "rust"}
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/training.ipynb"
            with open(path, "w") as file:
                json.dump({"cells": cells, "metadata": {"kernelspec": kernelspec}, "nbformat": 4, "nbformat_minor": 5}, file)
            subprocess.run([sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", path], check=True, capture_output=True)
            with open(path) as file:
                outputs = json.load(file)["cells"][1]["outputs"]
        self.assertEqual([output["output_type"] for output in outputs], ["display_data"])
        html = "".join(outputs[0]["data"]["text/html"])
        self.assertEqual((html.count("<progress"), html.count("<svg")), (1, 1))
        self.assertIn('value="1.0000"', html)


if __name__ == "__main__":
    unittest.main(verbosity=2)
