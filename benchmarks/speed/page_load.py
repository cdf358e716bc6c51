"""The book: seconds to build it, its megabytes, seconds until the first page and the first mask appear.

    python -m benchmarks.speed.page_load [--json FILE]

Needs npm and Chromium. The site is built into build/book and served from this machine.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import statistics
import subprocess
import sys
import threading
import time

from playwright.sync_api import Browser, sync_playwright

from ..common import ROOT, command_line, write

SITE = ROOT / "build" / "book"
REPEATS = 5
# Seconds from a move of the slider to the next picture.
_MOVE = """async () => {
    const slider = document.getElementById("threshold"), began = performance.now();
    slider.value = 0.3 + 0.4 * Math.random();
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    await new Promise((done) => requestAnimationFrame(done));
    return (performance.now() - began) / 1000;
}"""


def main() -> int:
    parser = command_line(__doc__, "book.json")
    options = parser.parse_args()
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "tools.site.book"], cwd=ROOT, check=True)
    results: dict[str, object] = {"build_seconds": round(time.perf_counter() - began, 1)}
    results["megabytes"] = round(sum(path.stat().st_size for path in SITE.rglob("*") if path.is_file()) / 1e6, 1)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=SITE)
    handler.func.log_message = lambda *arguments: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        results.update(measure(browser, f"http://127.0.0.1:{server.server_port}/docs"))
    print(results)
    write(options.json, results)
    return 0


def measure(browser: Browser, address: str) -> dict[str, float]:
    """Medians in seconds. Every load has a new browser context, with an empty cache."""
    first_page, first_mask, net = [], [], []
    for _ in range(REPEATS):
        page = browser.new_context().new_page()
        page.goto(f"{address}/index.html")
        first_page.append(page.evaluate("() => performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"))
        began = time.perf_counter()
        page.goto(f"{address}/demo.html")
        page.wait_for_selector("#demo[data-state=done]", timeout=300_000)
        first_mask.append(time.perf_counter() - began)
        page.locator("label:has(input[name=car])").nth(1).click()
        page.wait_for_selector("#demo[data-state=done]", timeout=300_000)
        net.append(float(page.inner_text("#status").split("took ")[1].split(" s")[0]))
        moves = [page.evaluate(_MOVE) for _ in range(21)]
        page.context.close()
    names = ("first_page_seconds", "first_mask_seconds", "net_seconds", "slider_seconds")
    values = (first_page, first_mask, net, moves)
    return {name: round(statistics.median(times), 3) for name, times in zip(names, values, strict=True)}


if __name__ == "__main__":
    sys.exit(main())
