"""The page "One threshold for all photos": its counts are the shipped net's, and its numbers are Python's.

Without npm or Chromium the tests of the page are skipped on a person's machine and fail in CI.
"""

import json

import numpy as np
import pytest

from carvana_lib.extras.thresholds import Histograms
from carvana_lib.metrics import accuracy, dice
from tools.site.curve import FILE, count


@pytest.fixture(scope="module")
def photos() -> list[dict]:
    return json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def counts(photos):
    """`metrics.confusion` of each photo at thresholds 0, 0.01, ..., 1."""
    return Histograms(*(np.array([photo[kind] for photo in photos]) for kind in ("car", "background"))).all_counts()


def test_the_counts_are_those_of_the_shipped_net(photos):
    again = count([photo["name"] for photo in photos[7::25]])
    assert len(again) == 2
    for new, old in zip(again, photos[7::25], strict=True):
        assert [new[key] for key in ("name", "label", "view")] == [old[key] for key in ("name", "label", "view")]
        for kind in ("car", "background"):
            assert sum(new[kind]) == sum(old[kind])
            # Another computer rounds otherwise: few pixels are in the step before or after.
            assert np.abs(np.cumsum(new[kind]) - np.cumsum(old[kind])).max() <= 5


def test_all_photos_are_there_and_the_file_is_small(photos):
    assert len({photo["name"] for photo in photos}) == 48
    assert {len(photo[kind]) for photo in photos for kind in ("car", "background")} == {101}
    assert FILE.stat().st_size < 30_000


def open_page(page, address: str) -> None:
    page.goto(f"{address}/docs/threshold_curve.html")
    page.wait_for_selector("#curve[data-state=done]")


def numbers(page) -> dict[str, str]:
    return {name: page.inner_text(f"#curve-{name}") for name in ("dice", "accuracy", "worst", "best")}


def test_the_pages_numbers_are_pythons(page, address, photos, counts):
    open_page(page, address)
    each = dice(counts.flatten(0, 1), "none").reshape(counts.shape[:2]).numpy()
    curve = each.mean(0)
    page.focus("#curve-threshold")
    for step, key in ((50, None), (51, "ArrowRight"), (100, "End"), (0, "Home"), (1, "ArrowRight")):
        if key:
            page.keyboard.press(key)
        shown, worst = numbers(page), photos[int(each[:, step].argmin())]
        assert page.inner_text("#curve-number") == f"{step / 100:.2f}"
        assert shown["dice"] == f"{curve[step]:.5f}"
        assert shown["accuracy"] == f"{accuracy(counts[:, step]).item():.4f}"
        assert shown["worst"] == f"{each[:, step].min():.4f}: {worst['label']}, view {worst['view']}"
        assert page.get_attribute("#curve-photo", "src").endswith(f"/{worst['name']}.jpg")
        assert (
            page.get_attribute("#curve-threshold", "aria-valuetext") == f"{step / 100:.2f}: mean Dice {shown['dice']}"
        )
        cars = [each[[p["label"] == label for p in photos], step].mean() for label in ("red hatchback", "black pickup")]
        rows = page.locator("#curve-cars tr").all_inner_texts()
        assert [rows[0].split()[-1], rows[2].split()[-1]] == [f"{value:.4f}" for value in cars]
    page.click("text=Go to the best")
    assert numbers(page)["best"] == f"{page.inner_text('#curve-number')}, with Dice {curve.max():.5f}"
    assert page.inner_text("#curve-number") == f"{curve.argmax() / 100:.2f}"
    assert numbers(page)["dice"] == f"{curve.max():.5f}"
    assert page.faults == []


def test_what_the_page_says_about_the_curve_is_so(page, address, counts):
    open_page(page, address)
    curve = dice(counts.flatten(0, 1), "none").reshape(counts.shape[:2]).mean(0).numpy()
    text = page.inner_text("article")
    good = np.flatnonzero(curve > curve.max() - 0.001) / 100
    assert f"between {good[0]:.2f} and {good[-1]:.2f} less than 0.001 of Dice is lost" in text
    assert f"there Dice is {curve[0]:.2f} and {curve[-1]:.0f}" in text
    assert f"Mean Dice of {len(counts)} photos" in text


def test_the_dot_follows_slider_and_pointer_and_says_when_it_is_below_the_axis(page, address):
    open_page(page, address)
    box = page.locator("#curve-picture").bounding_box()
    dot = page.locator("#curve-dot")
    before = dot.bounding_box()
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 0.3 * box["height"])
    after = dot.bounding_box()
    assert after["x"] > before["x"] + 0.2 * box["width"]
    assert abs(after["x"] + after["width"] / 2 - box["x"] - 0.8 * box["width"]) < 0.01 * box["width"]
    assert after["y"] > before["y"]
    assert "below" not in (dot.get_attribute("class") or "")
    page.focus("#curve-threshold")
    page.keyboard.press("End")
    assert "below" in dot.get_attribute("class")
    assert page.faults == []


@pytest.mark.parametrize("size", [(1366, 657), (390, 844)], ids=str)
def test_curve_slider_and_mean_dice_are_in_the_first_screen_and_large_enough(page, address, size):
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    open_page(page, address)
    for part in ("#curve-picture", "#curve-threshold", "#curve-to-best", "#curve-dice"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= size[1], part
        assert min(box["height"], box["width"]) >= 24
    letters = page.eval_on_selector_all("#curve-picture text", "all => all.map(one => one.getBoundingClientRect())")
    assert len(letters) == 12
    for letter in letters:
        assert 0 <= letter["left"] < letter["right"] <= size[0]
        assert min(letter["height"], letter["width"]) >= 12, "the letters do not shrink with the page"


def test_a_lost_file_is_named_and_can_be_tried_again(page, address):
    page.route("**/curve.json", lambda route: route.abort("internetdisconnected"))
    page.goto(f"{address}/docs/threshold_curve.html")
    page.wait_for_selector("text=The network was lost before everything had arrived.")
    page.unroute_all()
    page.click("text=Try again")
    page.wait_for_selector("#curve[data-state=done]")
    assert page.is_hidden("#curve-failed")


def test_without_javascript_a_sentence_and_the_curve(browser, address, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/docs/threshold_curve.html")
    assert page.is_visible("#curve noscript p")
    assert page.locator("#curve-picture image").bounding_box()["height"] > 200
    assert [part for part in ("#curve-threshold", "#curve-dice", "#curve-again") if page.is_visible(part)] == []
    still = site / "_static" / "demo" / "curve.svg"
    assert still.read_text(encoding="utf-8").count(",") > 90, "a point for nearly each threshold"
    context.close()


def test_the_tools_without_code_have_no_code(page, address):
    page.goto(f"{address}/docs/index.html")
    group = page.locator(".bd-links p:has-text('Tools without code') + ul a")
    assert [link.inner_text() for link in group.all()] == [
        "Segment a car in this browser",
        "One threshold for all photos",
    ]
    for link in [link.get_attribute("href") for link in group.all()]:
        page.goto(f"{address}/docs/{link}")
        assert page.locator("article pre").count() == 0
