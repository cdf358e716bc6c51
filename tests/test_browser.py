"""The tools in a real browser: JupyterLab and Voila in headless Chromium.

Without Chromium these tests are skipped on a person's machine and fail in CI.
"""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
# Kernel and test use different numbers of threads, which moves single pixels in half precision.
CLOSE = 3e-4
WAIT = 150_000  # milliseconds, for kernels on a slow machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of the notebooks, so that running them changes nothing here."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(ROOT / "notebooks" / "08_tune_the_threshold.ipynb", folder)
    shutil.copytree(ROOT / "notebooks" / "app", folder / "app")
    return folder


def serve(folder: Path, *command: str):
    """Start a server on a free port; yields its address."""
    port = free_port()
    environment = {**os.environ, "CARVANA_DATA": str(ROOT / "data" / "sample"), "JUPYTER_PLATFORM_DIRS": "1"}
    log = folder / f"server-{port}.log"
    with open(log, "w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", *command, f"--port={port}"], cwd=folder, env=environment, stdout=out, stderr=out
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(address, timeout=5)
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-2000:]
                time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture(scope="module")
def lab(folder):
    options = ["--no-browser", "--allow-root", "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]
    yield from serve(folder, "jupyterlab", *options)


@pytest.fixture(scope="module")
def voila(folder):
    yield from serve(folder, "voila", "app/threshold_tuner.ipynb", "--no-browser", "--Voila.ip=127.0.0.1")


@pytest.fixture(scope="module")
def truth():
    """The predictions that the notebook makes, made here."""
    from carvana_lib.cache import cached_dataset
    from carvana_lib.checkpoint import load_pretrained
    from carvana_lib.data import list_pairs
    from carvana_lib.thresholds import predict_dataset

    model, config = load_pretrained("small")
    pairs = list_pairs(ROOT / "data" / "sample", [1])
    return predict_dataset(model, cached_dataset(pairs, config.size, progress=False))


def open_notebook(browser, address: str, name: str):
    """A page of JupyterLab with the notebook open and all its cells run."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{address}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=WAIT)
    page.wait_for_function(
        "() => window.jupyterapp && window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel",
        timeout=WAIT,
    )
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    # JupyterLab draws only the cells in view: go to the last cell of code.
    page.evaluate("""async () => {
        const notebook = window.jupyterapp.shell.currentWidget.content;
        const last = notebook.widgets.map(cell => cell.model.type).lastIndexOf("code");
        await notebook.scrollToItem(last, "start");
    }""")
    return page


def shown(page, name: str) -> float:
    """The number beside `name` in the tuner's table of scores."""
    text = page.locator("table", has_text="boundary error").last.inner_text()
    return float(re.search(rf"{name}\s+([\d.]+)", text).group(1))


def wait_for_dice(page, expected: float) -> None:
    for _ in range(100):
        if abs(shown(page, "Dice") - expected) < CLOSE:
            return
        page.wait_for_timeout(100)
    assert shown(page, "Dice") == pytest.approx(expected, abs=CLOSE)


def dice_at(truth, threshold: float) -> float:
    """Dice of the photo that the tuner opens with, from its mask and not from histograms."""
    from carvana_lib.metrics import dice

    index = int(np.argmin(dice(truth.histograms.counts(0.5), "none").numpy()))
    mask, target = truth.mask(index, threshold), truth.dataset.native_mask(index)
    return 2 * (mask & target).sum() / (mask.sum() + target.sum())


def use_tuner(page, truth) -> None:
    """Move the slider by keyboard and by mouse, switch views, score the set; the numbers must follow."""
    page.wait_for_selector("table:has-text('boundary error')", timeout=WAIT)
    wait_for_dice(page, dice_at(truth, 0.5))
    handle = page.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert page.locator(".widget-readout").first.inner_text() == "0.80"
    wait_for_dice(page, dice_at(truth, 0.8))
    track = page.locator(".noUi-target").first.bounding_box()
    middle = handle.bounding_box()
    page.mouse.move(middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + 0.2 * track["width"], middle["y"] + middle["height"] / 2, steps=20)
    page.mouse.up()
    page.wait_for_timeout(300)
    threshold = float(page.locator(".widget-readout").first.inner_text())
    assert 0.1 < threshold < 0.3
    wait_for_dice(page, dice_at(truth, threshold))
    picture = page.locator("img.widget-image").first
    sources = set()
    for view in ("outline", "errors", "probability", "overlay"):
        page.get_by_role("button", name=view, exact=True).first.click()
        page.wait_for_timeout(600)
        sources.add(picture.get_attribute("src"))
    assert len(sources) == 4
    page.get_by_role("button", name="Score the whole set").click()
    page.wait_for_selector(f"text=All {len(truth.dataset)} photos at threshold", timeout=20_000)


def test_the_tuner_in_jupyterlab(browser, lab, truth):
    page = open_notebook(browser, lab, "08_tune_the_threshold.ipynb")
    use_tuner(page, truth)
    page.close()


def test_the_tuner_as_a_page_without_code(browser, voila, truth):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(voila, timeout=WAIT)
    use_tuner(page, truth)
    assert "load_pretrained" not in page.inner_text("body")
    page.close()


def test_your_own_photo_in_jupyterlab(browser, lab, tmp_path):
    photo = next((ROOT / "data" / "sample" / "train").glob("*_05.jpg"))
    (tmp_path / "notes.txt").write_text("no picture")
    page = open_notebook(browser, lab, "app/photo_segmenter.ipynb")
    for path, message in ((tmp_path / "notes.txt", "notes.txt is not an image"), (photo, "480 x 320 pixels")):
        page.wait_for_selector("button:has-text('Choose a photo')", timeout=WAIT)
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose a photo").click()
        chooser.value.set_files(str(path))
        page.wait_for_selector(f"text={message}", timeout=WAIT)
    page.get_by_role("button", name="Make the cut-out").click()
    with page.expect_download(timeout=WAIT) as download:
        page.get_by_text("Download").last.click()
    picture = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert (picture.mode, picture.size) == ("RGBA", (480, 320))
    share = (np.asarray(picture)[..., 3] > 0).mean()
    assert 0.05 < share < 0.6
    page.close()
