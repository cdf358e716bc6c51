"""The minutes to read that each lesson states follow from what stands in it."""

import re
from pathlib import Path

import nbformat
import pytest

from tools.notebooks import minutes, read_counts, write_minutes

PATHS = sorted((Path(__file__).parents[2] / "notebooks").glob("[01]*.ipynb"))
# Words, lines of code, formulas of ten lessons as a first reader saw them, and the minutes that each one took.
FIRST_READER = [
    (534, 51, 5, 12),
    (771, 109, 7, 30),
    (1057, 148, 3, 32),
    (1197, 212, 1, 60),
    (1024, 135, 43, 55),
    (864, 139, 2, 30),
    (965, 141, 13, 42),
    (751, 135, 13, 35),
    (810, 143, 4, 28),
    (1151, 135, 7, 40),
]


@pytest.mark.parametrize(("words", "lines", "formulas", "taken"), FIRST_READER)
def test_the_formula_is_within_a_fifth_of_the_first_readers_minutes(words, lines, formulas, taken):
    assert minutes(words, lines, formulas) == pytest.approx(taken, rel=0.2)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_stated_minutes_are_within_a_fifth_of_the_formula(path):
    notebook = nbformat.read(path, as_version=4)
    stated = int(re.search(r"\*\*Time\*\* (\d+) minutes", notebook.cells[0].source)[1])
    right = minutes(*read_counts(notebook))
    assert stated == pytest.approx(right, rel=0.2), f"`python -m tools.notebooks --badges` writes about {right:.0f}"


def lesson(*sources):
    first = nbformat.v4.new_markdown_cell("# 01 · A lesson\n\n**Time** 90 minutes to read.")
    frame = [nbformat.v4.new_code_cell("set_up()"), nbformat.v4.new_code_cell("import torch")]
    kinds = {"md": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    return nbformat.v4.new_notebook(cells=[first, *frame, *(kinds[kind](text) for kind, text in sources)])


def test_only_what_is_read_in_the_lesson_is_counted():
    notebook = lesson(
        ("md", "Two-valued masks, with $x$, `$HOME` and a [link](to/a/page.md):\n\n$$y = x$$"),
        ("code", "a = 1\n\nb = 2"),
        ("md", "The end.\n\n## When it goes wrong\n\nMany words that nobody reads in order."),
    )
    assert read_counts(notebook) == (9, 2, 2)


def test_minutes_are_written_in_fives():
    notebook = lesson(("md", "word " * 2200), ("code", "x = 1\n" * 11))
    write_minutes(notebook)
    assert "**Time** 10 minutes" in notebook.cells[0].source
