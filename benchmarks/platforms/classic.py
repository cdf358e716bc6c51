"""The threshold tuner in a page of the classic Notebook with ipywidgets 7: the nearest to Colab's page."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

WAIT = 600_000  # milliseconds


def tuner_follows_slider(python: Path, project: Path) -> str | None:
    """Serve the notebooks with this environment and move the tuner's slider in Chromium; returns what went wrong."""
    from playwright.sync_api import sync_playwright

    chromium = next((found for name in ("chromium", "google-chrome") if (found := shutil.which(name))), None)
    if chromium is None:
        return "no Chromium on this machine: install it"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--port={port}", "--NotebookApp.token=", "--NotebookApp.password="]
    environment = {**os.environ, "CARVANA_DATA": str(project / "data" / "sample")}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([python, "-m", "notebook", *options], cwd=project, env=environment, **quiet)
    try:
        wait_for(f"http://127.0.0.1:{port}/tree")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(WAIT)
            page.goto(f"http://127.0.0.1:{port}/notebooks/notebooks/app/threshold_tuner.ipynb")
            return move(page)
    finally:
        server.terminate()
        server.wait()


def wait_for(address: str) -> None:
    for _ in range(WAIT // 200):
        try:
            urllib.request.urlopen(address).read()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"{address} does not answer")


def move(page: object) -> str | None:
    """Run the notebook and press an arrow key on the slider; returns what did not follow."""
    page.wait_for_function("() => window.Jupyter?.notebook?.kernel?.is_connected() && Jupyter.notebook._fully_loaded")
    page.evaluate("() => Jupyter.notebook.execute_all_cells()")
    handle, picture = page.locator(".ui-slider-handle").first, page.locator("img.widget-image").first
    handle.wait_for()
    page.wait_for_selector("table:has-text('boundary error')")
    field = page.get_by_label("Threshold", exact=True).first
    before = picture.get_attribute("src"), page.locator("table").first.inner_text(), field.input_value()
    for _ in range(WAIT // 100):
        # Again and again: while the page is still being laid out, it drops keys.
        handle.focus()
        page.keyboard.press("ArrowRight")
        after = picture.get_attribute("src"), page.locator("table").first.inner_text(), field.input_value()
        same = [name for name, a, b in zip(("picture", "scores", "number"), before, after, strict=True) if a == b]
        if not same:
            return None
        page.wait_for_timeout(100)
    return f"the slider moves, but not: {', '.join(same)}"
