"""The site in a real browser: no errors, nothing from other hosts, search in both languages, narrow and dark.

    site_test.py CHROMIUM SITE OUT_FOLDER

Screenshots are left in OUT_FOLDER.
"""

import contextlib
import functools
import http.server
import pathlib
import re
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))
from browser import Browser, wait_for  # noqa: E402

# A phone's width in pixels.
NARROW = 390
# Words, and a page on which a result is wanted.
SEARCHES = [
    ("index.html", "K-means", "02_scores_on_codes"),
    ("zh-TW/index.html", "K-means", "02_scores_on_codes"),
    ("zh-TW/index.html", "異常", "zh-TW"),
]
SHOWN = ["index", "gallery", "notebooks/00_first_look", "zh-TW/notebooks/00_first_look", "zh-TW/guide"]
BRIGHTNESS = """(color => color.match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3)"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(site):
    """The address of a plain server of files."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def open_page(browser, url):
    browser.call("Page.navigate", url=url)
    wait_for(lambda: browser.evaluate(f"document.readyState == 'complete' && location.href == {url!r}"), 30, url)


def faults(browser, address):
    """Errors on the console and requests to other hosts since the last call."""
    found = []
    for event in browser.events:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"]["text"])
            case "Runtime.consoleAPICalled" if parameters["type"] == "error":
                found.append(str(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                found.append(f"{parameters['entry']['text']} {parameters['entry'].get('url')}")
            case "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if not url.startswith((address, "data:", "blob:")):
                    found.append(f"a request to {url}")
    browser.events.clear()
    return found


def search(browser, words):
    """Types words into the search and gives the addresses that it finds."""
    browser.evaluate("document.querySelector('pagefind-modal-trigger button').click()")
    typed = "document.querySelector('pagefind-modal input')"
    wait_for(lambda: browser.evaluate(f"{typed}?.offsetWidth > 0"), 20, "the search")
    browser.evaluate(f"{typed}.focus()")
    browser.call("Input.insertText", text=words)
    links = "[...document.querySelectorAll('pagefind-modal a[href]')].map(link => link.href).filter(link => link.endsWith('.html') || link.includes('.html#') || link.includes('.html?'))"
    return wait_for(lambda: browser.evaluate(links), 20, f"a result for {words}")


def main():
    chromium, site, out = sys.argv[1], pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3]).resolve()
    pages = re.findall(r"<loc>http://localhost:8000/(.*?)</loc>", (site / "sitemap.xml").read_text())
    assert len(pages) > 30, pages
    wrong = []
    with served(site) as address, contextlib.closing(Browser(chromium, out / "profile")) as browser:
        for domain in ["Page", "Runtime", "Log", "Network"]:
            browser.call(f"{domain}.enable")

        def shot(name):
            browser.screenshot(out / f"{name.replace('/', '_')}.png")

        for page in pages:
            open_page(browser, address + page)
            wrong += [f"{page}: {fault}" for fault in faults(browser, address)]
            if page.removesuffix(".html") in SHOWN:
                shot(f"wide_{page.removesuffix('.html')}")
        for page, words, wanted in SEARCHES:
            open_page(browser, address + page)
            links = search(browser, words)
            shot(f"search_{page.removesuffix('.html')}_{words}")
            if not any(wanted in link for link in links):
                wrong.append(f"{page}: {words} finds {links}")
        wrong += faults(browser, address)

        browser.call("Emulation.setDeviceMetricsOverride", width=NARROW, height=844, deviceScaleFactor=2, mobile=True)
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        for page in pages:
            if page.startswith("api/"):
                continue
            open_page(browser, address + page)
            width = browser.evaluate("document.documentElement.scrollWidth")
            if width > NARROW:
                wrong.append(f"{page} is {width} pixels wide at {NARROW}")
            style = "getComputedStyle(document.querySelector('{}')).{}"
            paper = browser.evaluate(f"{BRIGHTNESS}({style.format('html', 'backgroundColor')})")
            ink = browser.evaluate(f"{BRIGHTNESS}({style.format('main', 'color')})")
            if not paper + 80 < ink:
                wrong.append(f"{page}: in the dark, text of brightness {ink:.0f} on {paper:.0f}")
            if page.removesuffix(".html") in SHOWN:
                shot(f"narrow_dark_{page.removesuffix('.html')}")
        wrong += faults(browser, address)
        browser.call("Emulation.clearDeviceMetricsOverride")
        open_page(browser, address + "notebooks/00_first_look.html")
        shot("dark_notebooks_00_first_look")
    assert not wrong, "\n".join(wrong)


main()
