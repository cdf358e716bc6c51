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
        "### First <image/png, stdout>",
    ]
    notes = [cell.source for cell in deck.cells if cell.metadata.get("slideshow", {}).get("slide_type") == "notes"]
    assert notes == [long, "So it is."]


def test_a_printed_answer_stands_below_its_question_or_its_picture_and_a_long_one_alone():
    from tools.site.slides import make_deck

    def deck(printed: str, *more) -> list[str]:
        question = new_markdown_cell("## First\n\nWords.\n\n**Predict, then run.** What?")
        answer = new_code_cell(outputs=[new_output("stream", name="stdout", text=printed), *more])
        return slides(make_deck(notebook(question, answer)))[2:]

    picture = new_output("display_data", {"image/png": "iVBORw0K"}, metadata={})
    assert deck("42\n") == ["### First\n\n**Predict, then run.** What? <stdout>"]
    assert deck("42\n" * 9) == ["### First <stdout>"]
    assert deck("42\n" * 3, picture) == ["### First <image/png, stdout>"]
    assert deck("42 " * 110, picture) == ["### First <image/png>", "### First <stdout>"]


def test_a_table_stands_below_the_words_that_point_at_it_or_alone():
    from tools.site.slides import make_deck

    table = "| a | b |\n|:--|:--|\n| 1 | 2 |"
    long = table + "\n| word | word |" * 80
    text = f"## First\n\nHere it is.\n\n{table}\n\n## Second\n\nHere is more.\n\n{long}\n\n```sh\nmake\n```"
    assert slides(make_deck(notebook(new_markdown_cell(text))))[1:] == [
        f"## First\n\nHere it is.\n\n{table}",
        "## Second\n\nHere is more.",
        f"### Second\n\n{long}",
        "### Second\n\n```sh\nmake\n```",
    ]


def test_marked_code_stands_below_the_words_that_point_at_it_or_after_them():
    from tools.site.slides import make_deck

    marked = new_code_cell("total = 1 + 1", metadata={"tags": ["hide-output", "slide-code"]})
    code = "```python\ntotal = 1 + 1\n```"
    for words in ("## First\n\nRead the line.", f"## First\n\n{'word ' * 90}\n\n**Predict, then run.** What?"):
        found = slides(make_deck(notebook(new_markdown_cell(words), marked)))[1:]
        assert found[-1].startswith(f"{words}\n\n<div" if "Read" in words else "### First\n\n**Predict, then run.**")
        assert found[-1].count(code) == 1
        assert not [slide for slide in found[:-1] if code in slide]
    long = new_code_cell("total += 1  # once more, and once more\n" * 15, metadata=marked.metadata)
    words = f"## First\n\n{'word ' * 90}"
    found = slides(make_deck(notebook(new_markdown_cell(words), long)))[1:]
    assert found[0] == words.strip()
    assert found[1].startswith("### First\n\n<div")
    unmarked = slides(make_deck(notebook(new_markdown_cell(words), new_code_cell("total = 1 + 1"))))
    assert not [slide for slide in unmarked if "total" in slide]


def test_each_notebook_has_code_on_its_slides_and_the_u_beside_the_words_that_say_read_it():
    from tools.site.slides import make_deck

    for path in sorted((ROOT / "notebooks").glob("[01]*.ipynb")):
        deck = make_deck(nbformat.read(path, as_version=4))
        count = sum("```python" in slide for slide in slides(deck))
        assert 1 <= count <= 3, path.name
        if path.name.startswith("04"):
            (reading,) = [slide for slide in slides(deck) if "Read `forward` from top to bottom" in slide]
            assert "def forward(self, x):" in reading


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
    for path in sorted((ROOT / "notebooks").glob("[01]*.ipynb")):
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
        assert tab.evaluate(_OVERFLOWING) == [], page.stem
        alone = "section:not(:has(img, pre, table, h2))"
        sizes = tab.evaluate(_QUESTIONS, alone)
        assert min(sizes, default=38) >= 36, "a question alone on its slide is large"
        assert min(tab.evaluate(_CODE)) >= 20, "code is read from the back of a class"
    tab.close()
    assert elsewhere == []


_QUESTIONS = """alone => [...document.querySelectorAll("h3 + p > strong:first-child")]
    .filter(word => word.textContent === "Predict, then run." && word.closest("section").matches(alone))
    .map(word => parseFloat(getComputedStyle(word.parentElement).fontSize))"""
_CODE = """() => [...document.querySelectorAll("[style^='--code'] pre")]
    .map(code => parseFloat(getComputedStyle(code).fontSize))"""
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
