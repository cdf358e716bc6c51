"""No figure has type too small to read on a page of the book, and every figure is fine enough for sharp screens.

At a window of 1400 pixels the book's column is 784 wide, 762 in a folded output: tests/site/test_figures.py measures
it. A wider figure gets narrower, and its type smaller.
"""

import base64
import io
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from PIL import Image, ImageFont

from carvana_lib.pictures.figures import picture_grid, plot_confusion, plot_history, smallest_type
from carvana_lib.pictures.u_drawing import draw_unet
from carvana_lib.unet import UNet
from tools.results import page, plots
from tools.site import teaser

ROOT = Path(__file__).parents[2]
FOLDERS = ("notebooks", "notebooks/app", "notebooks/exercises")
NOTEBOOKS = [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.ipynb"))]
COLUMN, LEAST = 762, 11  # pixels


def faults(notebook: nbformat.NotebookNode) -> list[str]:
    """Figures with small type, without a word about it, or coarser than 1.5 pixels of the file to one on the page."""
    found = []
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        for kind in [kind for kind in output.get("data", {}) if kind.startswith("image/")]:
            look = output.metadata.get(kind, {})
            name, file = look.get("alt", "a figure")[:50], base64.b64decode(output.data[kind])
            pixels = Image.open(io.BytesIO(file)).width
            width = look.get("width", pixels)
            if "smallest_type" not in look:
                found.append(f"{name}: how small is its type? Use `show` of carvana_lib")
            elif 0 < (size := on_page(look["smallest_type"], width)) < LEAST:
                found.append(f"{name}: type of {size:.1f} pixels")
            if not name.startswith("Still picture") and pixels < 1.5 * width:
                found.append(f"{name}: {pixels} pixels in {width}")
    return found


def on_page(size: float, width: float) -> float:
    """Pixels on the page, of type of `size` pixels in a figure `width` pixels wide."""
    return size * min(1, COLUMN / width)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.relative_to(ROOT / "notebooks").as_posix())
def test_figures_of_notebooks_are_sharp_and_their_type_can_be_read(path):
    assert faults(nbformat.read(path, as_version=4)) == []


@pytest.mark.parametrize(
    ("pixels", "look", "fault"),
    [
        (1800, {"width": 900, "smallest_type": 13.2}, None),  # 11.2 on the page
        (1800, {"width": 900, "smallest_type": 0}, None),
        (600, {"width": 400, "smallest_type": 11}, None),
        (1800, {"width": 900, "smallest_type": 12.5}, "type of 10.6 pixels"),
        (1800, {"width": 400, "smallest_type": 10.9}, "type of 10.9 pixels"),
        (1800, {"width": 900}, "how small"),
        (900, {"width": 900, "smallest_type": 13.2}, "900 pixels in 900"),
        (900, {"smallest_type": 13.2}, "900 pixels in 900"),
    ],
)
def test_small_type_and_coarse_figures_are_named(pixels, look, fault):
    file = io.BytesIO()
    Image.new("L", (pixels, 10)).save(file, "PNG")
    data = {"image/png": base64.b64encode(file.getvalue()).decode()}
    output = nbformat.v4.new_output("display_data", data, metadata={"image/png": {"alt": "A figure."} | look})
    found = faults(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])]))
    assert len(found) == (fault is not None)
    assert not fault or fault in found[0]


def small_type(figure: plt.Figure) -> float:
    plt.close(figure)
    return on_page(smallest_type(figure), 100 * figure.get_figwidth())


@pytest.mark.parametrize("name", plots.PLOTS)
def test_plots_of_the_results_page_can_be_read(name):
    figure = plots.draw(name, page.read_results())
    assert small_type(figure) >= LEAST
    with Image.open(page.RESULTS / "plots" / f"{name}.png") as file:
        assert file.size == tuple(np.int_(figure.get_size_inches() * plots.DPI)), "run `make results`"


def test_what_the_library_draws_can_be_read():
    photo = np.zeros((40, 60, 3), np.uint8)
    for columns, width in ((1, 9), (4, 9), (5, 9.5), (2, 5)):
        assert small_type(picture_grid([photo] * 5, list("abcde"), columns, "title", width)) >= LEAST
    history = [{"epoch": epoch, "loss": 10.0**-epoch, "dice": 1 - 10.0**-epoch} for epoch in range(1, 9)]
    assert small_type(plot_history(history)) >= LEAST
    for count in (2, 5, 8):
        assert small_type(plot_confusion(np.eye(count), [f"class {k}" for k in range(count)])) >= LEAST
    for depth in (1, 4, 5):
        assert small_type(draw_unet(UNet(base_channels=2, depth=depth), (96, 64))) >= LEAST


def test_the_teaser_can_be_read(monkeypatch):
    sizes, load = [], ImageFont.load_default
    monkeypatch.setattr(ImageFont, "load_default", lambda size: sizes.append(size) or load(size))
    with Image.open(ROOT / "docs" / "teaser.jpg") as picture:
        width = picture.width
    assert teaser.draw_teaser().width == width
    assert on_page(min(sizes), width) >= LEAST
