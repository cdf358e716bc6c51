"""Run notebooks and save them with their new outputs, or only renew their badges.

    python -m tools.notebooks                       # all notebooks
    python -m tools.notebooks notebooks/04*.ipynb   # only this one
    python -m tools.notebooks --badges              # renew badges, set-up cells and minutes to read, run nothing

A notebook is saved only if all its cells have run. The project's address is in pyproject.toml.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import tomllib
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError

from notebooks.run import execute, place

from . import ROOT

NOTEBOOKS = ROOT / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_BADGES = re.compile(r"<!-- badges -->.*?<!-- /badges -->", re.DOTALL)
_FORMULA = re.compile(r"\$[^$`]+\$")  # not a variable of the shell in code marks
_TIME = r"\*\*Time\*\* \d+ minutes"
# One text for notebooks and exercises, at most 12 lines. What it installs and says is in carvana_lib/prepare/set_up.py.
SET_UP = """\
# Fetches the project where it is missing (Colab, Kaggle), installs only what is missing, and says what is here.
import importlib.util
import os
import sys

if not importlib.util.find_spec("carvana_lib"):
    url = os.environ.get("CARVANA_REPOSITORY", "ADDRESS")
    found = [folder for folder in ("..", "../..", "carvana-unet") if os.path.isdir(f"{folder}/carvana_lib")]
    if not found and os.system(f'git clone -q --depth 1 "{url}" carvana-unet'):
        raise OSError(f"{url} cannot be fetched: is there a connection? On Kaggle: Settings > Turn on internet")
    sys.path.insert(0, os.path.abspath((found or ["carvana-unet"])[0]))
importlib.import_module("carvana_lib.prepare.set_up").set_up()"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=place)
    parser.add_argument("--badges", action="store_true", help="run nothing")
    options = parser.parse_args()
    for path in options.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        write_badges(notebook, path.resolve())
        write_minutes(notebook)
        if options.badges:
            write_set_up(notebook)
        else:
            began = time.perf_counter()
            try:
                execute(notebook, path.parent)
            except CellExecutionError as error:
                print(f"{path} failed and is not saved: {error}", file=sys.stderr)
                return 1
            clean(notebook)
            print(f"{path}: {time.perf_counter() - began:.0f} s", flush=True)
        nbformat.write(notebook, path)
    return 0


def clean(notebook: nbformat.NotebookNode) -> None:
    """Remove what a run leaves beside the outputs: times, the views of widgets, details of this Python."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            # Its kernel has ended: JupyterLab would show an error instead of the tool's still picture.
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    title = {"title": notebook.metadata.title} if "title" in notebook.metadata else {}  # of the page that Voila makes
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}, **title})


def address() -> str:
    """The project's address on the web, from pyproject.toml."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        return tomllib.load(file)["project"]["urls"]["Repository"]


def badges(path: Path) -> str:
    """A row of links, as Markdown, that open the notebook `path` in Colab and Kaggle, or download it."""
    home, inside = address(), path.relative_to(ROOT).as_posix()
    on_github = f"{home.removeprefix('https://github.com/')}/blob/main/{inside}"
    raw = f"{home}/raw/main/{inside}"
    return (
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
        f"(https://colab.research.google.com/github/{on_github})\n"
        f"[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
        f"(https://kaggle.com/kernels/welcome?src=https://github.com/{on_github})\n"
        f"[Download]({raw})"
    )


def set_up_cell() -> str:
    """The first cell of code in every notebook."""
    return SET_UP.replace("ADDRESS", address())


def write_badges(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the project's address into the badges."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _BADGES.sub(f"<!-- badges -->\n{badges(path)}\n<!-- /badges -->", cell.source)


def minutes(words: int, lines: int, formulas: int) -> float:
    """Minutes to read a lesson alone and slowly, run each cell once and look at each figure.

    220 words, five lines of code or three and a third formulas take a minute. The rates were fitted to the minutes of a
    first reader, who read ten lessons: each comes out within a fifth. Figures and questions were tried too and explain
    nothing more, because all lessons have about as many.
    """
    return words / 220 + lines / 5 + 0.3 * formulas


def read_counts(notebook: nbformat.NotebookNode) -> tuple[int, int, int]:
    """Words, lines of code and formulas of the lesson: after the imports, before "When it goes wrong"."""
    places = [place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    lesson = notebook.cells[places[1] + 1 :]
    text = "\n".join(cell.source for cell in lesson if cell.cell_type == "markdown").split("## When it goes wrong")[0]
    text, formulas = _FORMULA.subn("", text.replace("$$", "$"))
    words = re.findall(r"[A-Za-z]+(?:[-'][A-Za-z]+)*", re.sub(r"\]\([^)]*\)", "]", text))
    code = "\n".join(cell.source for cell in lesson if cell.cell_type == "code")
    return len(words), sum(bool(line.strip()) for line in code.splitlines()), formulas


def write_minutes(notebook: nbformat.NotebookNode) -> None:
    """Write the minutes to read, in fives, where a lesson states them."""
    if re.search(_TIME, notebook.cells[0].source):
        read = max(5, 5 * round(minutes(*read_counts(notebook)) / 5))
        notebook.cells[0].source = re.sub(_TIME, f"**Time** {read} minutes", notebook.cells[0].source)


def write_set_up(notebook: nbformat.NotebookNode) -> None:
    """Write the set-up cell of today."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "CARVANA_REPOSITORY" in cell.source:
            cell.source = set_up_cell()


if __name__ == "__main__":
    sys.exit(main())
