"""The book as a reader gets it: built, served by a plain host, opened in Chromium.

Without npm or Chromium these tests are skipped on a person's machine and fail in CI.
"""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import WAIT, required
from PIL import Image

from tools.site import book, npm
from tools.site.check import faults

ROOT = Path(__file__).parents[2]
CARS = {"00a5e6a64669": 3, "48736feacede": 1, "e7e435738c1d": 12}  # a car of each kind, with a view
DARK = (
    "docs/index",
    "docs/demo",
    "docs/api/core",
    "notebooks/05_losses_and_metrics",
    "notebooks/exercises/04_build_unet",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The book, built once, two folders below the folder that is served: hosts have sub-paths."""
    required(shutil.which("npm"), "npm")
    site = tmp_path_factory.mktemp("host") / "class" / "book"
    command = [sys.executable, "-m", "tools.site.book", "--out", str(site)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return site


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site):
    """Where the book is served, on this machine and without special headers."""
    handler = functools.partial(Quiet, directory=site.parent.parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{site.parent.name}/{site.name}"
    server.shutdown()


@pytest.fixture
def page(browser, address):
    """A page; `page.faults` lists its errors and every request to another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.faults = []
    page.on("console", lambda m: page.faults.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: page.faults.append(f"script: {error}"))
    # A request that a page no longer needs, because another page follows, is "aborted". A missing file is a 404.
    page.on(
        "requestfailed",
        lambda r: None if r.failure == "net::ERR_ABORTED" else page.faults.append(f"failed: {r.url} ({r.failure})"),
    )
    page.on("response", lambda r: page.faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.on("request", lambda r: None if own(r.url, address) else page.faults.append(f"another host: {r.url}"))
    yield page
    context.close()


def own(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))


def pages(site: Path) -> list[str]:
    """Names of all pages, without .html and without the templates of the theme."""
    paths = [path.relative_to(site) for path in sorted(site.rglob("*.html"))]
    return [path.with_suffix("").as_posix() for path in paths if path.parts[0] != "_static"]


def accessibility(page) -> list[str]:
    """Serious and critical faults that axe finds in the page after all movement has ended."""
    if page.locator("mjx-container, .math").count():
        page.wait_for_selector("mjx-container")
    # While a colour changes, words may be hard to read for a moment.
    page.evaluate("""() => Promise.allSettled(document.getAnimations()
        .filter(animation => animation.effect.getComputedTiming().endTime < Infinity)
        .map(animation => animation.finished))""")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate((npm.MODULES / "axe-core" / "axe.min.js").read_text())
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"axe {fault['id']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


def test_every_page_loads_from_its_own_host_fits_a_phone_and_is_accessible(page, site, address):
    found = []
    for name in pages(site):
        if name == "index":  # only leads on
            continue
        page.faults.clear()
        page.goto(f"{address}/{name}.html")
        found += [f"{name}: {fault}" for fault in page.faults + accessibility(page)]
        page.set_viewport_size({"width": 390, "height": 844})
        width = page.evaluate("() => document.documentElement.scrollWidth")
        if width > 390:
            found.append(f"{name}: {width} pixels wide on a phone of 390")
        page.set_viewport_size({"width": 1280, "height": 900})
    assert found == []


def test_pages_are_accessible_in_the_dark(page, address):
    page.emulate_media(color_scheme="dark")
    found = []
    for name in DARK:
        page.goto(f"{address}/{name}.html")
        assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"
        found += [f"{name}: {fault}" for fault in accessibility(page)]
    assert found == []


def test_the_front_page_leads_to_the_book(page, address):
    page.goto(f"{address}/index.html")
    page.wait_for_url("**/docs/index.html")
    assert page.faults == []


def tags(page: Path) -> dict[str, str]:
    return dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)"', page.read_text(encoding="utf-8")))


def test_a_shared_link_has_title_description_and_picture(site):
    home = "https://carvana-unet.github.io/carvana-unet/"
    for name, title in (("index", "U-Net on Carvana"), ("notebooks/04_build_unet", "04 · Build U-Net")):
        preview = tags(site / f"{name}.html")
        assert preview["og:title"] == title
        assert len(preview["og:description"]) > 40
        assert preview["og:url"] == home + ("" if name == "index" else f"{name}.html")
        picture = site / preview["og:image"].removeprefix(home)
        assert Image.open(picture).width >= 1000


def test_a_page_that_is_gone_leads_on_from_any_depth(site):
    text = (site / "404.html").read_text(encoding="utf-8")
    targets = re.findall(r'href="(?!data:)([^"]+)"', text)
    assert [target.removeprefix("https://carvana-unet.github.io/carvana-unet/") for target in targets] == [
        "docs/index.html",
        "search.html",
    ]
    assert all((site / target.split("/carvana-unet/")[1]).is_file() for target in targets)


def test_search_finds_dice(page, address):
    page.goto(f"{address}/search.html?q=Dice")
    page.wait_for_selector("#search-results li a")
    titles = page.locator("#search-results li a").all_inner_texts()
    assert any("Losses and metrics" in title for title in titles)
    assert page.faults == []


def open_demo(page, address: str) -> None:
    page.goto(f"{address}/docs/demo.html")
    wait_for_mask(page)


def wait_for_mask(page) -> None:
    page.wait_for_selector("#demo[data-state=done], #demo[data-state=failed]")
    assert page.get_attribute("#demo", "data-state") == "done", page.inner_text("#status")


def shown(page, name: str) -> float:
    return float(re.search(rf"{name}\s+([\d.]+)", page.inner_text("#scores")).group(1))


def test_the_demo_scores_as_python_does(page, address):
    from carvana_lib.images import read_mask, read_photo
    from carvana_lib.prediction import predict_array
    from carvana_lib.run.weights import load_pretrained

    model, config = load_pretrained("small")
    open_demo(page, address)
    for car, view in CARS.items():
        page.focus(f"input[name=car][value='{car}']")
        page.keyboard.press("Space")
        page.evaluate("view => { document.getElementById('view').value = view }", view)
        page.dispatch_event("#view", "input")
        wait_for_mask(page)
        name = f"{car}_{view:02d}"
        target = read_mask(ROOT / "data" / "sample" / "train_masks" / f"{name}_mask.gif")
        mask = predict_array(model, read_photo(ROOT / "data" / "sample" / "train" / f"{name}.jpg"), config.size) > 0.5
        assert shown(page, "Dice") == pytest.approx(2 * (mask & target).sum() / (mask.sum() + target.sum()), abs=0.002)
        assert shown(page, "Accuracy") == pytest.approx((mask == target).mean(), abs=0.002)
    assert page.faults == []


def test_the_slider_and_the_views_answer(page, address):
    open_demo(page, address)
    page.focus("#threshold")
    before = page.inner_text("#scores")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert page.inner_text("#threshold-number") == "0.70"
    assert page.inner_text("#scores") != before
    pictures = set()
    for view in ("mask", "errors", "photo", "cut-out"):
        page.check(f"input[name=show][value={view}]")
        pictures.add(page.evaluate("() => document.getElementById('picture').toDataURL()"))
    assert len(pictures) == 4
    assert page.faults == []


@pytest.fixture
def large_photo(tmp_path) -> Path:
    """A sample photo at 4000x3000 whose EXIF says that the camera was held upright."""
    photo = Image.open(ROOT / "data" / "sample" / "train" / "00a5e6a64669_03.jpg").resize((4000, 3000))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / "upright.jpg", exif=exif)
    return tmp_path / "upright.jpg"


def test_your_own_photo_of_twelve_megapixels_and_a_file_that_is_none(page, address, large_photo, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    open_demo(page, address)
    page.set_input_files("#file", tmp_path / "notes.txt")
    page.wait_for_selector("text=notes.txt is not an image")
    page.set_input_files("#file", large_photo)
    page.wait_for_selector("text=3000 x 4000 pixels")
    wait_for_mask(page)
    assert "Dice" not in page.inner_text("#scores")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "upright_cutout.png"
    picture = Image.open(download.value.path())
    assert (picture.mode, picture.size) == ("RGBA", (3000, 4000))
    assert (np.asarray(picture)[::8, ::8, 3] > 0).mean() == pytest.approx(shown(page, "Car") / 100, abs=0.005)
    assert page.faults == []


def test_every_link_and_anchor_of_the_site_is_there_and_it_is_small(site):
    assert faults(site) == []
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 60e6


def test_solutions_are_folded_and_hidden_tests_stay_hidden(site):
    pages = {path: path.read_text() for path in (site / "notebooks" / "exercises").glob("*.html")}
    assert len(pages) == len(list((ROOT / "notebooks" / "exercises").glob("*.ipynb")))
    for text in pages.values():
        assert not re.search("(BEGIN|END) (SOLUTION|HIDDEN)", text)
        assert text.count("Show a solution") == text.count('raise</span> <span class="ne">NotImplementedError')
        assert not re.search(r"<details[^>]*\bopen\b", text)


def test_pictures_of_notebooks_keep_their_alt_texts(site):
    for path in (site / "notebooks").glob("*.html"):
        alts = re.findall(r'<img alt="([^"]*)" src="[^"]*_images', path.read_text().replace("\n", " "))
        assert alts, path.name
        assert not [alt for alt in alts if alt.endswith(".png") or len(alt) < 20], path.name


def test_a_dead_link_a_missing_anchor_and_another_hosts_script_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there">x</a><a href="#here">y</a><a href="c.html">z</a>'
    )
    (tmp_path / "b.html").write_text(
        '<a href="https://example.org">x</a><script src="https://example.org/x.js"></script>'
    )
    found = faults(tmp_path)
    assert [re.search(r"c\.html|b\.html#there|x\.js", fault).group() for fault in found] == [
        "b.html#there",
        "c.html",
        "x.js",
    ]


def test_without_npm_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(npm, "PACKAGES", tmp_path)
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["book.py"])
    with pytest.raises(SystemExit, match=r"install it from https://nodejs\.org"):
        book.main()


@pytest.fixture(scope="module")
def node() -> str:
    return required(shutil.which("node"), "node")


def test_the_demos_functions(node):
    tests = sorted((ROOT / "tests" / "site" / "js").glob("*.test.js"))
    assert tests
    done = subprocess.run([node, "--test", *tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("size", [(12, 8), (7, 31), (40, 30), (50, 9)])
def test_the_browser_resizes_as_pillow_does(node, size):
    from carvana_lib.images import resize

    photo = np.random.default_rng(0).integers(0, 256, (21, 29, 3), dtype=np.uint8)
    program = """
        import {resize} from "./docs/demo/pixels.js";
        const [width, height] = process.argv.slice(1).map(Number), parts = [];
        for await (const part of process.stdin) parts.push(part);
        process.stdout.write(resize({data: Buffer.concat(parts), width: 29, height: 21}, width, height).data);
    """
    command = [node, "--input-type=module", "-e", program, *map(str, size)]
    done = subprocess.run(command, cwd=ROOT, input=photo.tobytes(), capture_output=True, check=True)
    expected = np.asarray(resize(Image.fromarray(photo), size))
    actual = np.frombuffer(done.stdout, np.uint8).reshape(expected.shape)
    np.testing.assert_allclose(actual.astype(int), expected.astype(int), atol=1)
