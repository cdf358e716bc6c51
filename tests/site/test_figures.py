"""Figures of the book in Chromium: as wide as the notebook says, inside the column, with type that can be read."""

from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = [path for folder in ("", "app") for path in sorted((ROOT / "notebooks" / folder).glob("*.ipynb"))]
SHOWN = """parts => parts.map(part => [part.getBoundingClientRect().width, part.naturalWidth, part.naturalHeight,
    part.getBoundingClientRect().height, part.closest(".bd-article").getBoundingClientRect().width, part.alt])"""


def shown(page, address: str, name: str, pictures: str) -> list[list]:
    """Width, width and height of the file, height, width of the column, and alt text of each of the pictures."""
    page.goto(f"{address}/{name}.html")
    page.evaluate("() => document.querySelectorAll('details').forEach(part => part.open = true)")
    page.evaluate("() => document.querySelectorAll('img').forEach(part => part.loading = 'eager')")
    page.wait_for_function("() => [...document.querySelectorAll('article img')].every(part => part.complete)")
    return page.eval_on_selector_all(pictures, SHOWN)


@pytest.mark.parametrize("width", [1400, 390])
def test_figures_of_notebooks_keep_width_shape_and_readable_type(page, site, address, width):
    page.set_viewport_size({"width": width, "height": 900})
    found = []  # tests/series/test_type.py counts with 762
    for path in NOTEBOOKS:
        name = path.relative_to(ROOT).with_suffix("").as_posix()
        if not (site / f"{name}.html").is_file():
            continue
        outputs = [o for cell in nbformat.read(path, 4).cells for o in cell.get("outputs", [])]
        looks = [o.metadata["image/png"] for o in outputs if "image/png" in o.get("data", {})]
        pictures = shown(page, address, name, ".cell_output img")
        assert len(pictures) == len(looks) > 0, name
        for look, (wide, natural, natural_height, high, column, alt) in zip(looks, pictures, strict=True):
            asked = look.get("width", natural)
            size = look["smallest_type"] * wide / asked
            assert alt == look["alt"]
            if wide > column or wide > asked + 1 or (width == 1400 and wide < min(762, asked) - 1):
                found.append(f"{name}: {alt[:40]} is {wide:.0f} wide of {asked} in a column of {column:.0f}")
            if abs(high - wide * natural_height / natural) > 2:
                found.append(f"{name}: {alt[:40]} is not as high as it should be")
            if width == 1400 and 0 < size < 10:
                found.append(f"{name}: {alt[:40]} has type of {size:.1f} pixels")
    assert found == []


def test_plots_of_the_results_page_fill_the_column(page, site, address):
    page.set_viewport_size({"width": 1400, "height": 900})
    pictures = shown(page, address, "docs/results", "article img")
    assert len(pictures) == len(list((ROOT / "docs" / "results" / "plots").glob("*.png")))
    for wide, natural, _, _, column, alt in pictures:
        assert 762 <= wide <= column, alt
        assert natural >= 2 * wide, alt
