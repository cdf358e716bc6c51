"""The demo as a visitor meets it: the first screen, the wait, the mask, and everything that can go wrong.

Without npm or Chromium these tests are skipped on a person's machine and fail in CI.
"""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
CARS = {"00a5e6a64669": 3, "48736feacede": 1, "e7e435738c1d": 12}  # a car of each kind, with a view
DROP = """([event, name, base64, type]) => {
    const bytes = Uint8Array.from(atob(base64), c => c.charCodeAt(0));
    const data = new DataTransfer();
    if (name) data.items.add(new File([bytes], name, {type}));
    const target = document.getElementById("picture");
    if (event === "paste") target.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
    else target.dispatchEvent(new DragEvent(event, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


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


def in_first_screen(page) -> list[str]:
    """What a visitor has to see without scrolling and does not."""
    return page.evaluate("""() => ["picture", "threshold", "show", "scores"].filter(id => {
        const {top, bottom, left, right, width} = document.getElementById(id).getBoundingClientRect();
        return !width || top < 0 || left < 0 || bottom > innerHeight || right > innerWidth;
    })""")


@pytest.mark.parametrize("size", [(1366, 657), (1400, 900), (390, 844)], ids=str)
def test_picture_threshold_and_scores_are_in_the_first_screen(page, address, size):
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    open_demo(page, address)
    assert in_first_screen(page) == []
    picture, slider = (page.locator(part).bounding_box() for part in ("#picture", "#threshold"))
    assert 0 <= slider["y"] - (picture["y"] + picture["height"]) < 24, "the threshold is not directly under the picture"


def test_everything_that_is_pressed_is_large_enough(page, address):
    for size in ((1366, 657), (390, 844)):
        page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        open_demo(page, address)
        small = page.evaluate("""() => [...document.querySelectorAll("#demo :is(button, label:has(input), input)")]
            .filter(part => part.offsetParent && getComputedStyle(part).opacity > 0)
            .map(part => [part.id || part.textContent.trim(), part.getBoundingClientRect()])
            .filter(([, box]) => box.width < 24 || box.height < 24).map(([name, box]) => `${name} ${box.height}`)""")
        assert small == []


def test_photo_and_bar_are_there_while_the_net_is_fetched(page, address, site, slow_net):
    page.goto(f"{address}/docs/demo.html")
    page.wait_for_selector("#demo[data-drawn='photo 0.5']")
    total = json.loads((site / "_static" / "demo" / "cars.json").read_text())["net_bytes"] / 1e6
    page.wait_for_function("() => document.getElementById('bytes').value > 0")
    page.wait_for_selector(f"text=/Fetching the net: [01].[0-9] of {total:.1f} MB/")
    assert page.is_disabled("#download")
    drawn = page.evaluate(
        "() => document.getElementById('picture').getContext('2d').getImageData(240, 160, 1, 1).data[3]"
    )
    assert drawn == 255
    page.wait_for_timeout(3000)
    slow_net.set()
    wait_for_mask(page)
    assert page.is_hidden("#fetching")
    # The clock runs while the net works, not while it is fetched.
    photo_again = float(re.search(r"took ([\d.]+) s", page.inner_text("#status")).group(1))
    assert photo_again < page.evaluate("() => performance.now() / 1000") - 3
    assert page.faults == []


def test_a_first_visit_is_small(page, address):
    bytes_of = []
    page.on("response", lambda answer: bytes_of.append(int(answer.headers.get("content-length", 0))))
    open_demo(page, address)
    assert sum(bytes_of) < 14e6


def test_holding_the_picture_shows_the_photo(page, address):
    open_demo(page, address)
    look = "() => document.getElementById('picture').toDataURL()"
    mask = page.evaluate(look)
    page.hover("#picture")
    page.mouse.down()
    assert page.get_attribute("#demo", "data-drawn") == "photo 0.5"
    photo = page.evaluate(look)
    page.mouse.up()
    assert page.get_attribute("#demo", "data-drawn") == "mask 0.5"
    assert page.evaluate(look) == mask != photo


def give(page, event: str, path: Path, kind: str = "image/jpeg") -> None:
    content = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(DROP, [event, path.name, content, kind])


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_a_photo_can_be_dropped_and_pasted(page, address, event):
    open_demo(page, address)
    give(page, event, ROOT / "data" / "sample" / "train" / "48736feacede_05.jpg")
    page.wait_for_selector("text=48736feacede_05.jpg: 480 x 320 pixels")
    wait_for_mask(page)
    assert "Dice" not in page.inner_text("#scores")
    page.evaluate(DROP, [event, None, "", ""])  # words, not a file: nothing happens
    assert page.get_attribute("#demo", "data-state") == "done"
    assert page.faults == []


def test_on_a_phone_the_camera_is_offered(browser, address):
    for touch in (False, True):
        context = browser.new_context(has_touch=touch, is_mobile=touch)
        page = context.new_page()
        page.goto(f"{address}/docs/demo.html")
        assert page.is_visible("#take") == touch
        assert page.get_attribute("#camera", "capture") == "environment"
        context.close()


def wait_for_failure(page, sentence: str) -> None:
    page.wait_for_selector("#demo[data-state=failed]")
    assert sentence in page.inner_text("#status")


def test_a_refused_file_leaves_nothing_of_the_photo_before(page, address, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    open_demo(page, address)
    page.set_input_files("#file", tmp_path / "notes.txt")
    wait_for_failure(page, "notes.txt is not an image that this browser reads. Choose another photo.")
    assert page.is_disabled("#download")
    assert not re.search(r"\d", page.inner_text("#scores"))
    pixels = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(value => value)"
    assert not page.eval_on_selector("#picture", pixels)
    assert page.get_attribute("#picture", "aria-label") == "No photo"
    page.focus("#threshold")
    page.keyboard.press("ArrowRight")  # still nothing to show
    assert page.is_disabled("#download")
    with page.expect_file_chooser() as chooser:
        page.click("#again")
    chooser.value.set_files(ROOT / "data" / "sample" / "train" / "48736feacede_05.jpg")
    wait_for_mask(page)
    assert page.is_enabled("#download")
    assert page.is_hidden("#again")


@pytest.mark.parametrize("lost", ["cars.json", "00a5e6a64669_03.jpg", "unet.onnx.gz", "worker.js"])
def test_a_lost_network_is_named_and_can_be_tried_again(page, address, lost):
    page.route(
        f"**/demo/**/{lost}" if "_03" in lost else f"**/{lost}", lambda route: route.abort("internetdisconnected")
    )
    page.goto(f"{address}/docs/demo.html")
    wait_for_failure(page, "the network was lost" if lost == "worker.js" else "The network was lost")
    page.unroute_all()
    page.click("text=Try again")
    wait_for_mask(page)
    assert shown(page, "Dice") > 0.99
    assert page.is_hidden("#again")


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("delete window.WebAssembly", "needs WebAssembly, which this browser does not have"),
        ("WebAssembly.validate = () => false", "its WebAssembly has no SIMD"),
        ("delete window.DecompressionStream", "too old for the net"),
    ],
)
def test_a_browser_that_cannot_run_the_net_shows_the_photo_and_says_why(page, address, missing, sentence):
    page.add_init_script(missing)
    page.goto(f"{address}/docs/demo.html")
    wait_for_failure(page, sentence)
    assert page.is_visible("text=Try again")
    assert page.get_attribute("#demo", "data-drawn") == "photo 0.5"
    assert page.is_disabled("#download")


def test_without_javascript_a_sentence_and_the_photo(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/docs/demo.html")
    assert page.is_visible("#demo noscript p")
    assert page.is_visible("#stage img")
    assert [part for part in ("#status", "#show", "#threshold", "#file") if page.is_visible(part)] == []
    context.close()


def test_a_program_that_does_not_arrive_is_said(page, address, site):
    page.route("**/demo.js", lambda route: route.abort("internetdisconnected"))
    page.goto(f"{address}/docs/demo.html")
    wait_for_failure(page, "The program of this page could not be loaded")
    page.goto((site / "docs" / "demo.html").as_uri())
    wait_for_failure(page, "This page was opened as a file")


def test_the_picture_shown_before_the_program_is_the_first_car(site):
    first = json.loads((site / "_static" / "demo" / "cars.json").read_text())["cars"][0]
    text = (ROOT / "docs" / "demo" / "demo.html").read_text()
    assert f"/cars/{first['id']}_03.jpg" in text
    assert f'aria-label="{first["name"]}, view 3"' in text
