"""The tools in a real browser: JupyterLab and Voila in headless Chromium.

Without Chromium these tests are skipped on a person's machine and fail in CI.
"""

import io
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import WAIT
from PIL import Image

ROOT = Path(__file__).parents[2]
# Kernel and test use different numbers of threads: in half precision that changes single pixels.
CLOSE = 3e-4
OPTIONS = ["--no-browser", "--allow-root", "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of the notebooks: running it changes nothing here."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name in ("01_a_mask_in_ten_minutes.ipynb", "04_build_unet.ipynb", "08_tune_the_threshold.ipynb"):
        shutil.copy(ROOT / "notebooks" / name, folder)
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
        while not answers(address):
            assert server.poll() is None, log.read_text()[-2000:]
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address).read()
    except OSError:
        return False
    return True


def recipe(target: str) -> str:
    # Under `make test`, make would also print which directory it enters and leaves.
    command = ["make", "--no-print-directory", "-n", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.replace("\\\n", " ")


@pytest.fixture(scope="module")
def lab(folder):
    yield from serve(folder, "jupyterlab", *OPTIONS)


@pytest.fixture(scope="module")
def voila(folder):
    line = re.search(r"/voila (.*) notebooks/app/threshold_tuner\.ipynb$", recipe("app"), re.MULTILINE)
    options = shlex.split(line[1])
    yield from serve(folder, "voila", *options, "app/threshold_tuner.ipynb", "--no-browser", "--Voila.ip=127.0.0.1")


@pytest.fixture(scope="module")
def truth():
    """The predictions that the notebook makes, made here."""
    from carvana_lib.data import list_pairs
    from carvana_lib.extras.thresholds import predict_dataset
    from carvana_lib.prepare.cache import cached_dataset
    from carvana_lib.run.weights import load_pretrained

    model, config = load_pretrained("small")
    pairs = list_pairs(ROOT / "data" / "sample", [1])
    return predict_dataset(model, cached_dataset(pairs, config.size, progress=False))


def open_page(browser, address: str):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(WAIT)
    page.goto(address)
    return page


def open_unstarted(browser, address: str, name: str):
    """A page of JupyterLab with the notebook open and a kernel ready."""
    page = open_page(browser, f"{address}/lab/tree/{name}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function(
        "() => window.jupyterapp && window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"
    )
    return page


def open_notebook(browser, address: str, name: str):
    """A page of JupyterLab with the notebook open and all its cells started."""
    page = open_unstarted(browser, address, name)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    # JupyterLab draws only the cells in view: scroll to the tool, in an app the last cell of code.
    page.evaluate("""async () => {
        const notebook = window.jupyterapp.shell.currentWidget.content;
        const sources = notebook.widgets.map(cell => cell.model.type === "code" && cell.model.sharedModel.getSource());
        const tool = sources.findIndex(source => source && source.includes("ThresholdTuner("));
        const last = sources.findLastIndex(source => source !== false);
        await notebook.scrollToItem(tool < 0 ? last : tool, "start");
    }""")
    return page


def shown(page, name: str) -> float:
    """The number below `name` in the tuner's table of scores."""
    names, values = page.locator("table", has_text="boundary error").last.inner_text().splitlines()
    return float(values.split("\t")[names.split("\t").index(name)].removesuffix(" px"))


def wait_until(page, holds: Callable[[], object]) -> None:
    """Look again and again until `holds()` is true: on a busy machine that only takes longer."""
    for _ in range(WAIT // 100):
        if holds():
            return
        page.wait_for_timeout(100)
    assert holds()


def wait_for_dice(page, expected: float) -> None:
    wait_until(page, lambda: shown(page, "Dice") == pytest.approx(expected, abs=CLOSE))


def dice_at(truth, threshold: float) -> float:
    """Dice of the photo that the tuner opens with, from its mask and not from histograms."""
    from carvana_lib.metrics import dice

    index = int(np.argmin(dice(truth.histograms.counts(0.5), "none").numpy()))
    mask, target = truth.mask(index, threshold), truth.dataset.native_mask(index)
    return 2 * (mask & target).sum() / (mask.sum() + target.sum())


def field(page):
    """The number field beside the threshold's slider, found as a screen reader finds it: by its label."""
    return page.get_by_label("Threshold", exact=True).first


def use_keyboard(page, truth) -> None:
    """Use number field, slider, photo and view one after the other, with keys only."""
    field(page).focus()
    page.keyboard.press("ArrowUp")
    wait_for_dice(page, dice_at(truth, 0.51))
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className").startswith("noUi-handle")
    for _ in range(29):
        page.keyboard.press("ArrowRight")
    wait_for_dice(page, dice_at(truth, 0.8))
    wait_until(page, lambda: float(field(page).input_value()) == pytest.approx(0.8))
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.labels[0].textContent") == "Photo"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.wait_for_selector(".widget-html-content:has-text('the outline of the car')")


def choose_photo_by_keyboard(page) -> None:
    """Open the list with Space, as JupyterLab uses arrows itself; the tuner must show the Dice in the photo's label."""
    photo = page.get_by_label("Photo", exact=True).first
    before = photo.input_value()
    photo.focus()
    for key in ("Space", "ArrowDown", "Enter"):
        page.keyboard.press(key)
        page.wait_for_timeout(200)
    wait_until(page, lambda: photo.input_value() != before)
    wait_for_dice(page, float(photo.locator("option:checked").inner_text().split()[-1]))


def use_mouse(page, truth) -> None:
    handle, track = page.locator(".noUi-handle").first, page.locator(".noUi-target").first.bounding_box()
    middle = handle.bounding_box()
    page.mouse.move(middle["x"] + middle["width"] / 2, middle["y"] + middle["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + 0.2 * track["width"], middle["y"] + middle["height"] / 2, steps=20)
    page.mouse.up()

    def followed() -> bool:
        threshold = float(field(page).input_value())
        return 0.1 < threshold < 0.3 and abs(shown(page, "Dice") - dice_at(truth, threshold)) < CLOSE

    wait_until(page, followed)


def move_faster_than_the_kernel(page, truth) -> None:
    """A hundred moves at once: only the first and the last are drawn, and the last is shown."""
    page.evaluate("""() => {
        window.pictures = 0;
        new MutationObserver(changes => window.pictures += changes.length).observe(
            document.querySelector("img.widget-image"), {attributes: true, attributeFilter: ["src"]});
        const field = [...document.querySelectorAll("input[type=number]")].find(
            input => input.labels[0]?.textContent === "Threshold");
        for (let move = 1; move <= 100; move++) {
            field.value = 0.3 + move / 200;
            field.dispatchEvent(new Event("change", {bubbles: true}));
        }
    }""")
    wait_for_dice(page, dice_at(truth, 0.8))
    page.wait_for_timeout(500)
    assert 1 <= page.evaluate("window.pictures") <= 4


def use_tuner(page, truth) -> None:
    """Move the slider by keyboard and by mouse, change the view, score the set; the numbers must follow."""
    page.wait_for_selector("table:has-text('boundary error')")
    wait_for_dice(page, dice_at(truth, 0.5))
    page.locator(".noUi-handle").first.scroll_into_view_if_needed()
    use_keyboard(page, truth)
    use_mouse(page, truth)
    move_faster_than_the_kernel(page, truth)
    picture = page.locator("img.widget-image").first
    sources = {picture.get_attribute("src")}
    for view, caption in (("errors", "missed car"), ("probability", "The probability"), ("overlay", "Blue: car at")):
        page.get_by_role("button", name=view, exact=True).first.click()
        page.wait_for_selector(f".widget-html-content:has-text('{caption}')")
        sources.add(picture.get_attribute("src"))
    assert len(sources) == 4
    page.get_by_role("button", name="Apply to the whole set").click()
    page.wait_for_selector(f"text=All {len(truth.dataset)} photos at threshold")
    choose_photo_by_keyboard(page)


def clipped(page) -> list[str]:
    """Texts of the tool that are cut off, and controls that reach beyond the page."""
    return page.evaluate("""() => {
        const area = document.querySelector(".jp-Notebook-cell .jp-OutputArea:has(.noUi-handle)");
        const edge = area.getBoundingClientRect().right + 1;
        return [...area.querySelectorAll("button, label, input, select, img, td, th")].filter(part => part.offsetWidth
            && (part.getBoundingClientRect().right > edge
                || (part.tagName !== "INPUT" && part.scrollWidth > part.clientWidth + 1 && part.clientWidth)))
            .map(part => part.tagName + " " + part.textContent);
    }""")


def contrast(page) -> float:
    """Contrast of the captions with the page, from 1 (none) to 21 (black on white), as WCAG defines it."""
    return page.evaluate("""() => {
        const light = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
            .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
        const text = [...document.querySelectorAll(".widget-html-content td")].pop();
        let behind = text;
        while (/, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
        const pair = [getComputedStyle(text).color, getComputedStyle(behind).backgroundColor].map(light);
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    }""")


def test_the_tuner_in_jupyterlab(browser, lab, truth):
    page = open_notebook(browser, lab, "08_tune_the_threshold.ipynb")
    use_tuner(page, truth)
    for theme, light in (("Light", "true"), ("Dark", "false")):
        page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", f"JupyterLab {theme}"
        )
        page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)
        wait_until(page, lambda: contrast(page) > 7)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(500)
        wait_until(page, lambda: not clipped(page))
    page.close()


def test_the_tuner_as_a_page_without_code(browser, voila, truth):
    page = open_page(browser, voila)
    use_tuner(page, truth)
    assert page.title() == "Tune the threshold"
    assert "load_pretrained" not in page.inner_text("body")
    page.close()


def test_make_lab_opens_the_first_notebook_without_panels_for_graders(browser, folder, monkeypatch):
    setting, _, *words = shlex.split(re.search(r"^JUPYTER_CONFIG_PATH=.*", recipe("lab"), re.MULTILINE)[0])
    assert words[0] == "lab"
    assert words[-1] == "notebooks/01_a_mask_in_ten_minutes.ipynb"
    monkeypatch.setenv(*setting.split("="))
    server = serve(folder, "jupyterlab", *OPTIONS, *words[1:-1], str(folder / Path(words[-1]).name))
    page = open_unstarted(browser, next(server), Path(words[-1]).name)
    page.wait_for_selector(".jp-DirListing-item:has-text('04_build')")
    assert page.locator(".jp-DirListing-item:has-text('run')").count() == 0
    plugins = page.evaluate("() => window.jupyterapp.listPlugins()")
    assert len(plugins) > 100
    assert [name for name in plugins if "nbgrader" in name] == []
    page.close()
    server.close()


def test_your_own_photo_in_jupyterlab(browser, lab, tmp_path):
    photo = next((ROOT / "data" / "sample" / "train").glob("*_05.jpg"))
    (tmp_path / "notes.txt").write_text("no picture")
    page = open_notebook(browser, lab, "app/photo_segmenter.ipynb")
    for path, message in ((tmp_path / "notes.txt", "notes.txt is not an image"), (photo, "480 x 320 pixels")):
        page.wait_for_selector("button:has-text('Choose a photo')")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose a photo").click()
        chooser.value.set_files(str(path))
        page.wait_for_selector(f"text={message}")
    page.get_by_role("button", name="Make the cut-out").click()
    with page.expect_download() as download:
        page.get_by_text("Download").last.click()
    picture = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert (picture.mode, picture.size) == ("RGBA", (480, 320))
    share = (np.asarray(picture)[..., 3] > 0).mean()
    assert 0.05 < share < 0.6
    page.close()


def test_an_answer_is_hidden_until_its_cell_is_run(browser, lab):
    page = open_unstarted(browser, lab, "04_build_unet.ipynb")

    def hidden() -> list[bool]:
        return page.evaluate("""() => window.jupyterapp.shell.currentWidget.content.widgets
            .filter(cell => (cell.model.getMetadata("tags") ?? []).includes("hide-output"))
            .map(cell => cell.outputHidden)""")

    assert len(hidden()) >= 5
    assert all(hidden())
    page.evaluate("""async () => {
        const notebook = window.jupyterapp.shell.currentWidget.content;
        const asked = cell => (cell.model.getMetadata("tags") ?? []).includes("hide-output");
        notebook.activeCellIndex = notebook.widgets.findIndex(asked) + 1;
        await window.jupyterapp.commands.execute("notebook:run-all-above");
    }""")
    wait_until(page, lambda: not hidden()[0])
    assert all(hidden()[1:])


def test_the_index_of_the_series_fits_a_phone_and_keeps_the_shape_of_its_pictures(browser, tmp_path):
    from notebooks.run import write_index

    Image.new("RGB", (300, 100), "red").save(tmp_path / "01.png")
    write_index([("01.html", "01 · A mask", "You measure a mask.")], tmp_path)
    page = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True).new_page()
    page.goto((tmp_path / "index.html").as_uri())
    assert page.evaluate("() => [innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    assert page.locator("h1").bounding_box()["x"] >= 10
    assert page.locator("img").evaluate("img => getComputedStyle(img).objectFit") == "contain"
    picture, words = page.locator("img").bounding_box(), page.get_by_text("You measure").bounding_box()
    assert words["y"] + words["height"] >= picture["y"] + picture["height"]
    page.context.close()
