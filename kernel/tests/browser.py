"""A headless Chromium for tests, driven through its own DevTools protocol; websocket-client comes with JupyterLab."""

import base64
import contextlib
import json
import subprocess
import time
import urllib.request

import websocket

# The element that is on the screen, of several.
SHOWN = "(selector => [...document.querySelectorAll(selector)].find(element => element.offsetWidth))"


class Browser:
    """One page of a headless Chromium."""

    def __init__(self, chromium, profile):
        self.process = subprocess.Popen(
            [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--remote-debugging-port=0", "--remote-allow-origins=*", f"--user-data-dir={profile}",
             "--window-size=1300,1500", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file = profile / "DevToolsActivePort"
        wait_for(lambda: port_file.exists() and port_file.read_text().strip(), 60, "Chromium's port")
        port = port_file.read_text().split()[0]
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self.socket = websocket.create_connection(address, timeout=60, max_size=None)
        self.n_calls = 0
        # What the page did meanwhile, of the kinds that were asked for by calls such as Network.enable.
        self.events = []

    def call(self, method, **parameters):
        self.n_calls += 1
        self.socket.send(json.dumps({"id": self.n_calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.n_calls:
                return answer["result"]
            self.events.append(answer)

    def evaluate(self, script):
        """The value of an expression on the page; an error on it is an error here."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def press(self, selector):
        """A press of the mouse in the middle of an element."""
        middle = f"(rect => [rect.x + rect.width / 2, rect.y + rect.height / 2])({SHOWN}({selector!r}).getBoundingClientRect())"
        x, y = self.evaluate(middle)
        for kind in ["mousePressed", "mouseReleased"]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self.process.terminate()
        self.process.wait()


def wait_for(condition, seconds, what):
    """What `condition` gives, once it is true."""
    deadline = time.time() + seconds
    while time.time() < deadline:
        with contextlib.suppress(RuntimeError):
            if value := condition():
                return value
        time.sleep(0.2)
    raise TimeoutError(f"{what} did not come in {seconds} s")
