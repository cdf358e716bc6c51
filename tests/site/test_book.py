"""The book as a reader gets it: built, served by a plain host, opened in Chromium.

Without npm or Chromium these tests are skipped on a person's machine and fail in CI.
"""

import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import numpy as np
import pytest
from helpers import required
from PIL import Image

from tools.site import book, npm
from tools.site.check import faults

ROOT = Path(__file__).parents[2]


def pages(site: Path) -> list[str]:
    """Names of all pages, without .html and without the templates of the theme."""
    paths = [path.relative_to(site) for path in sorted(site.rglob("*.html"))]
    return [path.with_suffix("").as_posix() for path in paths if path.parts[0] != "_static"]


def accessibility(page, only_colours: bool) -> list[str]:
    """Serious and critical faults that axe finds in the page after all movement has ended."""
    if page.locator("mjx-container, .math").count():
        page.wait_for_selector("mjx-container", state="attached")  # the first may be folded away
    # While a colour changes, words may be hard to read for a moment.
    page.evaluate("""() => Promise.allSettled(document.getAnimations()
        .filter(animation => animation.effect.getComputedTiming().endTime < Infinity)
        .map(animation => animation.finished))""")
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate((npm.MODULES / "axe-core" / "axe.min.js").read_text())
    options = {"resultTypes": ["violations"]} | ({"runOnly": ["color-contrast"]} if only_colours else {})
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [
        f"axe {fault['id']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_loads_from_its_own_host_fits_a_phone_and_is_accessible(page, site, address, theme):
    page.emulate_media(color_scheme=theme)
    found = []
    for name in pages(site):
        if name == "index":  # only leads on
            continue
        page.faults.clear()
        page.goto(f"{address}/{name}.html")
        assert page.evaluate("() => document.documentElement.dataset.theme") in (theme, None)
        # In the dark only colours differ.
        found += [f"{name}: {fault}" for fault in page.faults + accessibility(page, theme == "dark")]
        page.set_viewport_size({"width": 390, "height": 844})
        width = page.evaluate("() => document.documentElement.scrollWidth")
        if width > 390:
            found.append(f"{name}: {width} pixels wide on a phone of 390")
        page.set_viewport_size({"width": 1280, "height": 900})
    assert found == []


def test_the_front_page_leads_to_the_book(page, address):
    page.goto(f"{address}/index.html")
    page.wait_for_url("**/docs/index.html")
    assert page.faults == []


def test_the_front_page_has_a_threshold_to_drag_and_a_card_for_each_notebook(page, address, site):
    for size in ((1366, 657), (390, 844)):
        page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
        page.goto(f"{address}/docs/index.html")
        page.wait_for_selector("#front-dice:has-text('Dice 0.99')")
        below = "part => [...part.children].filter(child => child.getBoundingClientRect().bottom > innerHeight).length"
        assert page.eval_on_selector("#front", below) == 0
        assert page.locator("#front a").all_inner_texts() == ["Segment your own photo", "Begin with 01"]
    look = "() => document.getElementById('front-picture').toDataURL()"
    before = page.evaluate(look)
    page.focus("#front-threshold")
    page.keyboard.press("End")
    assert page.inner_text("#front-dice") == "Dice 0.0000"
    assert page.evaluate(look) != before
    cards = page.locator(".cards a").all()
    notebooks = sorted((ROOT / "notebooks").glob("[01]*.ipynb"))
    assert [card.get_attribute("href") for card in cards] == [f"../notebooks/{path.stem}.html" for path in notebooks]
    for card, path in zip(cards, notebooks, strict=True):
        title, promise = nbformat.read(path, 4).cells[0].source.split("\n\n")[:2]
        text = card.inner_text()
        assert title.removeprefix("# ") in text
        assert promise[:30] in text
        assert re.search(r"\d+ minutes to read", text)
        assert card.locator("img").count() == 1, "the notebook has no picture"
    assert page.faults == []


def test_the_front_page_is_small(page, address, site):
    files = {}
    page.on("response", lambda answer: files.setdefault(answer.url.split("?")[0], answer.body()))
    page.goto(f"{address}/docs/index.html")
    page.wait_for_selector("#front-dice:has-text('Dice')")
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    assert any(url.endswith("front.png") for url in files)
    # As a host sends them that compresses what it can.
    assert sum(min(len(data), len(gzip.compress(data))) for data in files.values()) < 1e6


def test_no_code_is_cut_off_and_no_picture_is_changed_in_the_dark(page, site, address):
    page.set_viewport_size({"width": 1400, "height": 900})
    page.emulate_media(color_scheme="dark")
    found = []
    for name in pages(site):
        if name in ("index", "404"):
            continue
        page.goto(f"{address}/{name}.html")
        page.evaluate("() => document.querySelectorAll('details').forEach(part => part.open = true)")
        found += page.evaluate(
            """name => [
            ...[...document.querySelectorAll("pre")].filter(part => part.scrollWidth > part.clientWidth)
                .map(part => `${name} cuts: ${part.textContent.trim().slice(0, 60)}`),
            ...[...document.querySelectorAll("article img")].filter(part => getComputedStyle(part).filter !== "none")
                .map(part => `${name} changes ${part.src}`)]""",
            name,
        )
    assert found == []


def test_the_sidebar_shows_where_one_is(page, address):
    page.set_viewport_size({"width": 1366, "height": 657})
    page.goto(f"{address}/docs/index.html")
    page.eval_on_selector(".bd-sidebar-primary", "part => part.scrollTop = 0")
    for name in ("docs/glossary", "notebooks/01_a_mask_in_ten_minutes", "notebooks/exercises/12_several_classes"):
        page.goto(f"{address}/{name}.html")
        page.wait_for_function("""() => {
            const entry = document.querySelector(".bd-sidebar-primary li.active > a.current");
            const {top, bottom} = entry.getBoundingClientRect();
            return top >= 0 && bottom <= innerHeight;
        }""")


def test_exercises_stand_below_their_notebook_in_the_sidebar(page, address, site):
    page.set_viewport_size({"width": 1366, "height": 657})
    entries = ".bd-links p:has-text('Notebooks') + ul > li"
    for name in ("notebooks/04_build_unet", "notebooks/exercises/04_build_unet"):
        page.goto(f"{address}/{name}.html")
        assert page.locator(entries).count() == 12
        shown = [link.inner_text() for link in page.locator(f"{entries} a").all() if link.is_visible()]
        assert shown[3:5] == ["04 · Build U-Net", "Exercises"]
        assert len(shown) == 13
    assert page.locator(".bd-links li.current.active > a.current").inner_text() == "Exercises"
    assert page.faults == []


def test_what_one_types_into_the_search_is_not_under_the_magnifier_and_a_phone_needs_no_full_screen(page, address):
    page.goto(f"{address}/search.html?q=Dice")
    icon = page.locator("main .bd-search .fa-magnifying-glass").bounding_box()
    field = page.locator("main .bd-search input")
    padding = field.evaluate("input => parseFloat(getComputedStyle(input).paddingLeft)")
    assert field.bounding_box()["x"] + padding >= icon["x"] + icon["width"]
    assert page.is_visible("main .btn-fullscreen-button")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.is_hidden("main .btn-fullscreen-button")


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


def test_a_notebook_opens_with_its_first_picture_and_says_what_is_folded(site):
    for path in sorted((ROOT / "notebooks").glob("[01]*.ipynb")):
        text = (site / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        first = re.search(r'<h1>.*?<img class="first-picture" src="\.\./([^"]+)".*?You will learn', text, re.DOTALL)
        assert Image.open(site / first[1]).width <= 560
        tags = [cell.metadata.get("tags", []) for cell in nbformat.read(path, 4).cells]
        assert text.count("Show what comes out") == sum("hide-output" in tag for tag in tags) > 0
        assert text.count("Show the code") == sum("hide-input" in tag for tag in tags)


def test_no_page_of_the_library_prints_the_numbers_of_an_array(site):
    found = sorted((site / "docs" / "api").glob("*.html"))
    assert len(found) > 5
    assert [page.name for page in found if "array([[" in page.read_text(encoding="utf-8")] == []


def test_a_page_that_is_gone_leads_on_from_any_depth(site):
    text = (site / "404.html").read_text(encoding="utf-8")
    targets = re.findall(r'href="(?!data:)([^"]+)"', text)
    assert [target.removeprefix("https://carvana-unet.github.io/carvana-unet/") for target in targets] == [
        "docs/index.html",
        "search.html",
    ]
    assert all((site / target.split("/carvana-unet/")[1]).is_file() for target in targets)


@pytest.mark.parametrize(("words", "page_of"), [("Dice", "05 · Losses"), ("batch norm", "04 · Build")])
def test_search_shows_the_sentences_that_it_found_and_leads_to_their_section(page, address, words, page_of):
    page.goto(f"{address}/search.html?q={words}")
    page.wait_for_selector("#search-results li .context >> nth=4")
    found = [item for item in page.locator("#search-results li").all() if item.locator(".context").count()][:5]
    excerpts = [item.locator(".context").inner_text() for item in found]
    assert len(set(excerpts)) == 5
    for excerpt in excerpts:
        assert all(word in excerpt.lower() for word in words.lower().split()), excerpt
        assert len(excerpt) > 40
        assert not re.search(r"^(\.\.\.|…)?\s*Contents|Set-up|Back to top", excerpt), "the list of the page's contents"
    links = [item.locator("a").first for item in found]
    assert any(page_of in link.inner_text() for link in links)
    assert all(urlsplit(link.get_attribute("href")).fragment for link in links)
    links[0].click()
    page.wait_for_selector(":target")
    assert page.faults == []


def test_every_link_and_anchor_of_the_site_is_there_and_it_is_small(site):
    assert faults(site) == []
    assert sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) < 60e6


def test_solutions_are_folded_and_hidden_tests_stay_hidden(site):
    pages = {path: path.read_text() for path in (site / "notebooks" / "exercises").glob("*.html")}
    assert len(pages) == len(list((ROOT / "notebooks" / "exercises").glob("*.ipynb")))
    for page, text in pages.items():
        assert not re.search("(BEGIN|END) (SOLUTION|HIDDEN)", text)
        assert "already shows" not in text, "there is no solution between marked lines here"
        article = text.split("<article")[1]
        assert article.count("Each solution is folded below its exercise.") == 1
        cells = nbformat.read(ROOT / "notebooks" / "exercises" / f"{page.stem}.ipynb", 4).cells
        parts = [cell.source.count("### BEGIN SOLUTION") for cell in cells if "### BEGIN SOLUTION" in cell.source]
        assert text.count("Show a solution") == len(parts)
        assert text.count('raise</span> <span class="ne">NotImplementedError') == sum(parts)
        assert not re.search(r"<details[^>]*\bopen\b", article)


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
