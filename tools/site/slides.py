"""Slides from the notebooks: build/slides/index.html and a reveal.js deck for each notebook.

    python -m tools.site.slides [--out build/slides] [notebooks ...]

A deck has the notebook's title and aims, the heading and the first paragraph of each section, every "Predict, then run"
question, the saved figures, all tables, and the code of cells with the tag slide-code. All other prose goes into the
speaker's notes (key S). No notebook is run.
The decks work without a network: npm fetches reveal.js and MathJax once, and they are copied into the same folder.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

from notebooks.run import describe, place, write_index

from .. import ROOT
from .npm import MODULES, install_packages

TEMPLATE = Path(__file__).parent / "slides_template"
LEFT_OUT = ("Set-up", "When it goes wrong", "Exercises", "Next")
QUESTION = "**Predict, then run.**"
CODE = "slide-code"  # the tag of a cell whose code the words point at
KEYS = "<p>Arrow keys turn pages, S opens the speaker's notes, O shows all slides, F fills the screen.</p>\n"
LONGEST = 480  # characters of prose that a slide can hold beside a formula
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=place, default=ROOT / "build" / "slides")
    parser.add_argument("notebooks", nargs="*", type=place, help="default: all")
    options = parser.parse_args(arguments)
    paths = options.notebooks or sorted((ROOT / "notebooks").glob("[01]*.ipynb"))
    options.out.mkdir(parents=True, exist_ok=True)
    copy_scripts(options.out / "scripts")
    pages = []
    for path in paths:
        deck = make_deck(nbformat.read(path, as_version=4))
        pages.append((path.with_suffix(".html").name, deck.metadata.title, deck.metadata.promise))
        (options.out / pages[-1][0]).write_text(render(deck), encoding="utf-8")
    write_index(pages, options.out, heading="U-Net on Carvana: slides", foot=KEYS)
    print(f"{len(paths)} decks: {options.out / 'index.html'}")
    return 0


def make_deck(notebook: NotebookNode) -> NotebookNode:
    """The slides as a notebook; the metadata of a cell says whether it begins a slide."""
    title, promise = notebook.cells[0].source.split("\n\n")[:2]
    aims = notebook.cells[0].source.split("**You will learn**")[1].split("**You need**")[0].strip()
    cells = [_prose(f"{title}\n\n{promise}\n\n{aims}")]
    heading = ""
    for cell in notebook.cells[1:]:
        if cell.cell_type == "markdown":
            for part in filter(None, re.split(r"(?=^## )", cell.source, flags=re.MULTILINE)):
                found = _HEADING.match(part)
                heading = found.group(1) if found else heading
                if heading not in LEFT_OUT:
                    cells += _section(heading, part, begins=bool(found))
        elif heading not in LEFT_OUT:
            last = next(c for c in reversed(cells) if c.metadata.get("slideshow", {}).get("slide_type") != "notes")
            question = last.source.partition(f"\n\n{QUESTION}")[2]
            if CODE in cell.metadata.get("tags", []):
                room = 560 - 45 * (len(last.source) // 75 + last.source.count("\n\n"))
                if last.cell_type == "markdown" and "```" not in last.source and _letters(cell.source, room) > 20:
                    last.source += _code(cell.source, room)  # below the words that point at it
                else:
                    cells.append(_prose(f"### {heading}{_code(cell.source, 550)}"))
            cells += _answers(heading, cell, question)
    return new_notebook(cells=cells, metadata={"title": title.lstrip("# "), "promise": promise})


def _section(heading: str, text: str, begins: bool) -> list[NotebookNode]:
    """A slide with the beginning of a section, a slide for each question, and the rest as notes."""
    blocks = [_LOCAL_LINK.sub(r"\1", block) for block in re.split(r"\n\s*\n", text.strip())]
    questions = [block for block in blocks if block.startswith(QUESTION)]
    prose = [block for block in blocks if not block.startswith(("## ", QUESTION))]
    cells = []
    if begins and prose:
        shown = _fitting(prose)
        if prose[shown:] and prose[shown].startswith("|") and len("".join(prose[: shown + 1])) < 2 * LONGEST:
            shown += 1  # a table below the words that point at it
        slide = [f"## {heading}", *prose[:shown]]
        while questions and len("".join([*slide, questions[0]])) <= LONGEST:
            slide.append(questions.pop(0))
        cells.append(_prose("\n\n".join(slide)))
        prose = prose[shown:]
    tables = [block for block in prose if block.startswith(("|", "```"))]
    if notes := [block for block in prose if block not in tables]:
        # Prose that follows a figure becomes a note to the figure's slide.
        cells.append(_cell("\n\n".join(notes), "notes"))
    cells += [_prose(f"### {heading}\n\n{table}") for table in tables]
    return cells + [_prose(f"### {heading}\n\n{question}") for question in questions]


def _fitting(blocks: list[str]) -> int:
    """How many blocks fit on one slide: at least one."""
    count = 1
    while count < len(blocks) and len("".join(blocks[: count + 1])) <= LONGEST:
        count += 1
    # A sentence and the formula after it stay together.
    return count + (count < len(blocks) and blocks[count].startswith("$$"))


def _letters(source: str, height: int) -> int:
    """The size in pixels at which code fits on a slide of 1180 pixels; up to 22 its longest lines may break."""
    lengths = [len(line) for line in source.splitlines()]
    size = min(30, max(22, 1900 // max(lengths)))
    while 1.3 * size * sum(1 + int(length * 0.61 * size) // 1180 for length in lengths) > height:
        size -= 1
    return size


def _code(source: str, height: int) -> str:
    return f'\n\n<div style="--code: {_letters(source, height)}px">\n\n```python\n{source}\n```\n\n</div>'


def _answers(heading: str, cell: NotebookNode, question: str) -> list[NotebookNode]:
    """A slide for each figure and table. A printed answer stands below the last one, or below its question."""
    shown = []
    for output in cell.outputs:
        data = output.get("data", {})
        for kind in [kind for kind in ("image/png", "text/markdown") if kind in data][:1]:
            shown.append(nbformat.v4.new_output("display_data", {kind: data[kind]}, metadata=output.metadata))
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    slides = [(f"### {heading}", [output]) for output in shown]
    if printed and question and "Checkpoint" not in printed:
        output = nbformat.v4.new_output("stream", text=printed)
        rows = sum(1 + len(line) // 75 for line in printed.splitlines())
        if slides and rows <= 4:
            slides[-1][1].append(output)
        else:
            again = f"\n\n{QUESTION}{question}" if not slides and rows <= 8 else ""
            slides.append((f"### {heading}{again}", [output]))
    return [part for text, outputs in slides for part in (_prose(text), new_code_cell(outputs=outputs))]


def _cell(text: str, kind: str) -> NotebookNode:
    return new_markdown_cell(text, metadata={"slideshow": {"slide_type": kind}})


def _prose(text: str) -> NotebookNode:
    return _cell(text, "slide")


def render(deck: NotebookNode) -> str:
    """The deck as one HTML page; it loads nothing but the files in `scripts/` beside it."""
    config = Config()
    config.TemplateExporter.extra_template_basedirs = [str(TEMPLATE.parent)]
    config.TemplateExporter.template_name = TEMPLATE.name
    looks = {"reveal_url_prefix": "scripts/reveal", "reveal_theme": "white"}
    hidden = dict.fromkeys(("exclude_input", "exclude_input_prompt", "exclude_output_prompt"), True)
    exporter = SlidesExporter(config=config, **looks, **hidden)
    page, _ = exporter.from_notebook_node(deck)
    return describe(page, deck)


def copy_scripts(out: Path) -> None:
    """Copy reveal.js and MathJax with their licences to `out`; npm is asked only the first time."""
    install_packages()
    for folder in ("dist", "plugin/notes"):
        shutil.copytree(MODULES / "reveal.js" / folder, out / "reveal" / folder, dirs_exist_ok=True)
    (out / "mathjax").mkdir(exist_ok=True)
    shutil.copy(MODULES / "reveal.js" / "LICENSE", out / "reveal")
    for name in ("es5/tex-svg.js", "LICENSE"):
        shutil.copy(MODULES / "mathjax" / name, out / "mathjax")


if __name__ == "__main__":
    sys.exit(main())
