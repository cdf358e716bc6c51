"""Slides from the notebooks: build/slides/index.html and a reveal.js deck for each notebook.

    python tools/slides.py [--out build/slides] [notebooks ...]

A deck is made of what the notebook already holds: its title and aims, for each section the heading and its first
paragraph, every "Predict, then run" question, and the figures and tables as they were saved. The rest of the prose goes
into the speaker's notes (key S). Nothing is run. The decks work without a network: reveal.js and MathJax are fetched
once with npm and lie beside them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "tools" / "slides_template"
PACKAGES = ("reveal.js@5.2.1", "mathjax@3.2.2")
LEFT_OUT = ("Set-up", "When it goes wrong", "Exercises", "Next")
QUESTION = "**Predict, then run.**"
LONGEST = 480  # characters of prose that a slide can hold beside a formula
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_LOCAL_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)[^)]+\)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "slides")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all ten")
    options = parser.parse_args()
    paths = options.notebooks or sorted((ROOT / "notebooks").glob("[01]*.ipynb"))
    options.out.mkdir(parents=True, exist_ok=True)
    fetch_scripts(ROOT / "build" / "npm", options.out / "scripts")
    titles = {}
    for path in paths:
        deck = make_deck(nbformat.read(path, as_version=4))
        titles[path.stem] = deck.metadata.title
        (options.out / f"{path.stem}.html").write_text(render(deck), encoding="utf-8")
    write_index(titles, options.out)
    print(f"{len(paths)} decks: {options.out / 'index.html'}")
    return 0


def make_deck(notebook: NotebookNode) -> NotebookNode:
    """The slides as a notebook: each cell says in its metadata whether it starts a slide."""
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
            cells += _answers(heading, cell, after_question=QUESTION in last.source)
    return new_notebook(cells=cells, metadata={"title": title.lstrip("# ")})


def _section(heading: str, text: str, begins: bool) -> list[NotebookNode]:
    """A slide with the start of a section, its questions as slides of their own, the rest as notes."""
    blocks = [_LOCAL_LINK.sub(r"\1", block) for block in re.split(r"\n\s*\n", text.strip())]
    questions = [block for block in blocks if block.startswith(QUESTION)]
    prose = [block for block in blocks if not block.startswith(("## ", QUESTION))]
    cells = []
    if begins and prose:
        shown = _fitting(prose)
        slide = [f"## {heading}", *prose[:shown]]
        while questions and len("".join([*slide, questions[0]])) <= LONGEST:
            slide.append(questions.pop(0))
        cells.append(_prose("\n\n".join(slide)))
        prose = prose[shown:]
    if prose:
        # What the notebook says after a figure is said while the figure is still there.
        cells.append(_cell("\n\n".join(prose), "notes"))
    return cells + [_prose(f"### {heading}\n\n{question}") for question in questions]


def _fitting(blocks: list[str]) -> int:
    """How many of the blocks fit on one slide, at least one."""
    count, letters = 1, len(blocks[0])
    while count < len(blocks) and letters + len(blocks[count]) <= LONGEST:
        letters += len(blocks[count])
        count += 1
    # A sentence that ends in a formula is not cut before it.
    return count + (count < len(blocks) and blocks[count].startswith("$$"))


def _answers(heading: str, cell: NotebookNode, after_question: bool) -> list[NotebookNode]:
    """A slide for each figure or table; one for the printed lines if they answer a question."""
    shown = []
    for output in cell.outputs:
        data = output.get("data", {})
        for kind in [kind for kind in ("image/png", "text/markdown") if kind in data][:1]:
            shown.append(nbformat.v4.new_output("display_data", {kind: data[kind]}, metadata=output.metadata))
    printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    if printed and after_question and "Checkpoint" not in printed:
        shown.append(nbformat.v4.new_output("stream", text=printed))
    return [part for output in shown for part in (_prose(f"### {heading}"), new_code_cell(outputs=[output]))]


def _cell(text: str, kind: str) -> NotebookNode:
    return new_markdown_cell(text, metadata={"slideshow": {"slide_type": kind}})


def _prose(text: str) -> NotebookNode:
    return _cell(text, "slide")


def render(deck: NotebookNode) -> str:
    """The deck as one page; it asks for nothing but `scripts/` beside it."""
    config = Config()
    config.TemplateExporter.extra_template_basedirs = [str(TEMPLATES.parent)]
    config.TemplateExporter.template_name = TEMPLATES.name
    looks = {"reveal_url_prefix": "scripts/reveal", "reveal_theme": "white"}
    hidden = dict.fromkeys(("exclude_input", "exclude_input_prompt", "exclude_output_prompt"), True)
    exporter = SlidesExporter(config=config, **looks, **hidden)
    page, _ = exporter.from_notebook_node(deck)
    return page


def fetch_scripts(packages: Path, out: Path) -> None:
    """reveal.js and MathJax with their licences, copied to `out`; npm is asked only the first time."""
    modules = packages / "node_modules"
    if not all((modules / package.split("@")[0]).is_dir() for package in PACKAGES):
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("npm is needed once, to fetch reveal.js: install Node.js, then run this again")
        packages.mkdir(parents=True, exist_ok=True)
        options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        subprocess.run([npm, "install", f"--prefix={packages}", *options, *PACKAGES], check=True)
    reveal, mathjax = modules / "reveal.js", modules / "mathjax"
    for name in ("dist", "plugin/notes", "LICENSE"):
        copy = shutil.copytree if (reveal / name).is_dir() else shutil.copy2
        (out / "reveal" / name).parent.mkdir(parents=True, exist_ok=True)
        copy(reveal / name, out / "reveal" / name, **({"dirs_exist_ok": True} if copy is shutil.copytree else {}))
    (out / "mathjax").mkdir(parents=True, exist_ok=True)
    for name in ("es5/tex-svg.js", "LICENSE"):
        shutil.copy2(mathjax / name, out / "mathjax")


def write_index(titles: dict[str, str], out: Path) -> None:
    items = "\n".join(f'<li><a href="{stem}.html">{title}</a></li>' for stem, title in titles.items())
    (out / "index.html").write_text(
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>U-Net on Carvana: slides</title>\n'
        '<body style="font-family: sans-serif; max-width: 40rem; margin: 3rem auto; line-height: 2">\n'
        f"<h1>U-Net on Carvana: slides</h1>\n<ul>\n{items}\n</ul>\n"
        "<p>Arrow keys turn pages, S opens the speaker's notes, O shows all slides, F fills the screen.</p>\n"
        "</body></html>\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    sys.exit(main())
