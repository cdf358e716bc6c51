"""Slides and handout: made from the notebooks and the net, they need no network."""

import html
import re
import shutil
from pathlib import Path

import nbformat
import pytest
import torch
from helpers import WAIT, required
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT = Path(__file__).parents[2]


def notebook(*cells) -> nbformat.NotebookNode:
    top = "# 01 · Title\n\nA promise.\n\n**You will learn**\n\n- an aim\n\n**You need** nothing."
    return new_notebook(cells=[new_markdown_cell(top), *cells])


def slides(deck) -> list[str]:
    """The text of each slide; a cell without text is shown as the kinds of its outputs."""
    found = []
    for cell in deck.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        if kind == "slide":
            found.append(cell.source)
        elif kind is None:
            found[-1] += f" <{', '.join(o.get('name', '') or next(iter(o.data)) for o in cell.outputs)}>"
    return found


def test_a_deck_shows_heading_question_answer_and_leaves_the_rest_to_the_notes():
    from tools.site.slides import make_deck

    printed = new_output("stream", name="stdout", text="42")
    figure = new_output("display_data", {"image/png": "iVBORw0K", "text/plain": "x"}, metadata={})
    long = " ".join(["word"] * 150)
    deck = make_deck(
        notebook(
            new_markdown_cell("## Set-up\n\nRun this."),
            new_code_cell(outputs=[printed]),
            new_markdown_cell(f"## First\n\nSee [here](other.ipynb).\n\n{long}\n\n**Predict, then run.** What?"),
            new_code_cell(outputs=[printed, figure]),
            new_markdown_cell("So it is."),
            new_code_cell(outputs=[printed]),
            new_markdown_cell("## Exercises\n\nNone."),
        )
    )
    assert slides(deck) == [
        "# 01 · Title\n\nA promise.\n\n- an aim",
        "## First\n\nSee here.\n\n**Predict, then run.** What?",
        "### First <image/png>",
        "### First <stdout>",
    ]
    notes = [cell.source for cell in deck.cells if cell.metadata.get("slideshow", {}).get("slide_type") == "notes"]
    assert notes == [long, "So it is."]


def test_a_deck_loads_nothing_from_elsewhere():
    from tools.site.slides import make_deck, render

    page = render(make_deck(nbformat.read(ROOT / "notebooks" / "01_a_mask_in_ten_minutes.ipynb", as_version=4)))
    loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="([^"]{1,200})', page)
    assert any("reveal.js" in address for address in loaded)
    assert [address for address in loaded if not address.startswith(("scripts/", "data:"))] == []


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[01]*.ipynb")), ids=lambda path: path.stem[:2])
def test_every_picture_of_a_deck_has_the_notebooks_alt_text(path):
    from tools.site.slides import make_deck, render

    saved = nbformat.read(path, as_version=4)
    deck = make_deck(saved)
    page = render(deck)
    texts = [html.unescape(alt) for alt in re.findall(r'<img[^>]*?alt="([^"]*)"', page)]
    outputs = [
        output for cell in deck.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert texts == [output.metadata["image/png"]["alt"] for output in outputs]
    assert texts
    assert "No description" not in page


def test_nothing_overflows_in_a_browser(browser, tmp_path):
    from tools.site.slides import copy_scripts, make_deck, render

    required(shutil.which("npm"), "npm")
    copy_scripts(tmp_path / "scripts")
    pages = []
    for path in sorted((ROOT / "notebooks").glob("0[57]*.ipynb")):  # the most formulas, the widest tables
        pages.append(tmp_path / f"{path.stem}.html")
        pages[-1].write_text(render(make_deck(nbformat.read(path, as_version=4))), encoding="utf-8")
    tab, elsewhere = browser.new_page(viewport={"width": 1280, "height": 720}), []
    tab.set_default_timeout(WAIT)
    tab.on("request", lambda request: request.url.startswith("http") and elsewhere.append(request.url))
    tab.on("requestfailed", lambda request: elsewhere.append(request.url))
    for page in pages:
        tab.goto(page.as_uri())
        tab.wait_for_function("window.Reveal && Reveal.isReady()")
        tab.evaluate("() => MathJax.startup.promise")
        assert tab.evaluate(_OVERFLOWING) == []
        alone = "section:not(:has(img, pre, table, h2))"
        sizes = tab.evaluate(_QUESTIONS, alone)
        assert sizes
        assert min(sizes) >= 36, "a question alone on its slide is large"
    tab.close()
    assert elsewhere == []


_QUESTIONS = """alone => [...document.querySelectorAll("h3 + p > strong:first-child")]
    .filter(word => word.textContent === "Predict, then run." && word.closest("section").matches(alone))
    .map(word => parseFloat(getComputedStyle(word.parentElement).fontSize))"""
_OVERFLOWING = """() => {
    const found = [];
    for (let index = 0; index < Reveal.getTotalSlides(); index++) {
        Reveal.slide(index);
        const parts = "h1, h2, h3, p, li, img, table, pre, mjx-container";
        for (const part of Reveal.getCurrentSlide().querySelectorAll(parts)) {
            const box = part.getBoundingClientRect();
            const inside = box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
            if (box.width && !part.closest(".notes") && !inside) found.push(`${index}: ${part.tagName}`);
        }
    }
    return found;
}"""


def test_the_handouts_table_is_the_nets():
    from carvana_lib.unet import UNet, count_parameters
    from tools.classkit.handout import shape_table

    net = UNet(base_channels=4, depth=2).eval()
    rows = shape_table(net, torch.zeros(1, 3, 32, 48))
    assert [row[0] for row in rows] == ["stem", "down 1", "down 2", "up 1", "up 0", "head"]
    assert [row[2] for row in rows][2:4] == [(16, 8, 12), (8, 16, 24)]
    assert rows[-1][2] == (1, 32, 48)
    assert sum(row[3] for row in rows) == count_parameters(net)


def test_each_handout_is_one_page_on_paper(browser, tmp_path):
    from tools.classkit.handout import handouts

    pages = handouts()
    assert list(pages) == ["handout_unet", "handout_masks"]
    assert "(256, 10, 15)" in pages["handout_unet"]
    assert "U-Net" not in pages["handout_masks"]
    tab = browser.new_page()
    tab.set_default_timeout(WAIT)
    for name, page in pages.items():
        (tmp_path / f"{name}.html").write_text(page, encoding="utf-8")
        tab.goto((tmp_path / f"{name}.html").as_uri())
        assert tab.evaluate("() => [...document.images].every((image) => image.naturalWidth > 0 && image.alt)")
        paper = tab.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type /Page\b", paper)) == 1, name
    tab.close()
