"""A notebook in JupyterLab, in a real browser: the loss curve grows, the stop button ends it, and the model is there.

    lab_test.py CHROMIUM OUT_FOLDER

Screenshots are left in OUT_FOLDER.
"""

import contextlib
import json
import pathlib
import subprocess
import sys
import time

from browser import Browser, wait_for

ROOT = pathlib.Path(__file__).parents[2]
TOKEN = "diabolo"
# The first cell may have to compile the crate.
SLOW = 300
# Long enough that only the stop button ends it.
EPOCHS = 400


@contextlib.contextmanager
def jupyterlab(folder):
    """The address of a JupyterLab on `folder`."""
    log = open(folder / "lab.log", "w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--IdentityProvider.token={TOKEN}",
         "--port=0", "--ServerApp.port_retries=50", f"--notebook-dir={folder}", "--expose-app-in-browser",
         "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"],
        stdout=log, stderr=log)

    def address():
        text = (folder / "lab.log").read_text()
        return next((line.split("http://")[1].split("/")[0] for line in text.splitlines() if "/lab?token=" in line), None)

    try:
        yield "http://" + wait_for(address, 60, "JupyterLab's address")
    finally:
        process.terminate()
        process.wait()


def long_notebook(folder):
    """`00_first_look` with a training that does not end by itself; which of its cells train and use the model."""
    notebook = json.loads((ROOT / "notebooks/00_first_look.ipynb").read_text())
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"]).replace("quick_or_full(4, 100)?", str(EPOCHS))
        cell["source"] = cell["source"].replace('path = ".."', f'path = "{ROOT}"')
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    (folder / "first_look.ipynb").write_text(json.dumps(notebook))
    sources = [cell["source"] for cell in notebook["cells"]]
    train = next(index for index, source in enumerate(sources) if str(EPOCHS) in source)
    use = next(index for index, source in enumerate(sources) if source.startswith("conv.rank(data.test())?.worst"))
    return train, use


def main():
    chromium, out = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    train, use = long_notebook(out)
    with jupyterlab(out) as address, contextlib.closing(Browser(chromium, out / "profile")) as browser:
        try:
            use_notebook(browser, address, out, train, use)
        except Exception:
            browser.screenshot(out / "0_failed.png")
            raise


def use_notebook(browser, address, out, train, use):
    browser.call("Page.enable")
    browser.call("Page.navigate", url=f"{address}/lab/tree/first_look.ipynb?token={TOKEN}")
    # A page that nobody looks at has no current widget until one is activated.
    notebook = "([...window.jupyterapp.shell.widgets('main')].find(widget => widget.content?.widgets))"
    wait_for(lambda: browser.evaluate(f"{notebook}.content.widgets.length > 5"), 120, "the notebook")
    browser.evaluate(f"window.jupyterapp.shell.activateById({notebook}.id), true")
    wait_for(lambda: browser.evaluate(f"{notebook}.sessionContext.session.kernel.status == 'idle'"), 120, "the kernel")
    cell = lambda index: f"{notebook}.content.widgets[{index}].node"
    execute = lambda command: browser.evaluate(f"window.jupyterapp.commands.execute({command!r}), true")

    execute("notebook:run-all-cells")
    curve = f"[...{cell(train)}.querySelectorAll('.jp-OutputArea svg')].map(svg => svg.outerHTML).join('')"
    wait_for(lambda: "loss while training" in browser.evaluate(curve), SLOW, "the loss curve")
    browser.evaluate(f"{cell(train)}.scrollIntoView(), true")
    first = browser.evaluate(curve)
    browser.screenshot(out / "1_training.png")
    wait_for(lambda: browser.evaluate(curve) != first, 60, "another loss curve")
    browser.screenshot(out / "2_later.png")

    # Pressing Tab meanwhile leaves the kernel's light on busy; between two messages it may be idle for a moment.
    kernel = f"{notebook}.sessionContext.session.kernel"
    for _ in range(2):
        browser.evaluate(f"{kernel}.requestComplete({{code: 'dat', cursor_pos: 3}}).then(reply => reply.content.status)")
        wait_for(lambda: browser.evaluate(f"{kernel}.status == 'busy'"), 60, "the light")

    pressed = time.time()
    browser.press(".jp-Toolbar [data-jp-item-name='interrupt']")
    wait_for(lambda: browser.evaluate(f"{notebook}.sessionContext.session.kernel.status == 'idle'"), 60, "the end")
    seconds = time.time() - pressed
    text = browser.evaluate(f"{cell(train)}.innerText")
    assert "nterrupted" in text, text
    browser.screenshot(out / "3_stopped.png")

    browser.evaluate(f"{notebook}.content.activeCellIndex = {use}")
    execute("notebook:run-cell")
    wait_for(lambda: browser.evaluate(f"{cell(use)}.querySelectorAll('.jp-OutputArea svg, .jp-OutputArea img').length"),
             60, "the worst images")
    text = browser.evaluate(f"{cell(use)}.innerText")
    assert "error" not in text.lower(), text
    browser.evaluate(f"{cell(use)}.scrollIntoView(), true")
    browser.screenshot(out / "4_used.png")
    print(f"the cell ended {seconds:.1f} s after the stop button")


main()
