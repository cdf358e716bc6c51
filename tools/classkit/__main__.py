"""The class kit: what students get, in build/class and class.zip, and what their teacher gets, in build/teacher.

    python -m tools.classkit [--out build]     # `make class`; slides too where npm is installed
    python -m tools.classkit --quiz            # only write docs/teach/quiz.md from quiz.json

Students get notebooks without outputs, exercises without solutions, the library and the rendered cars: no network is
needed. Notebooks are found by pattern. Links to what is not in the folder lead to the project's web address.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

from carvana_lib.cli.options import place

from .. import ROOT
from ..notebooks import address
from ..site import slides
from .handout import handouts
from .printed import render, web_page

HERE, TEACH, NOTEBOOKS = Path(__file__).parent, ROOT / "docs" / "teach", ROOT / "notebooks"
FOLDERS = ("carvana_lib", "data/sample", "data/cells", "docs/results")
FILES = ("LICENSE", "pyproject.toml", "data/README.md", "data/contact_sheet.jpg", "docs/results.md")
FILES += tuple(f"docs/{name}.md" for name in ("glossary", "model_card", "cluster", "command_line", "reliability"))
LATER = "# Nothing to do here: more tests stand in this cell when your teacher's program grades the exercise."
_BADGES = re.compile(r"<!-- badges -->.*?<!-- /badges -->\n*", re.DOTALL)
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s#]+)(#[^)\s]*)?\)")
_SHOWN = re.compile(r"\n*Where a cell already shows the solution.*?(?=\n\n|\Z)", re.DOTALL)
_QUESTION = re.compile(r"\*\*Predict, then run\.\*\* (.+?)(?=\n\s*\n|\Z)", re.DOTALL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=place, default=ROOT / "build")
    parser.add_argument("--quiz", action="store_true")
    options = parser.parse_args()
    if options.quiz:
        (TEACH / "quiz.md").write_text(quiz("quiz.md", mode="page"), encoding="utf-8")
        return 0
    write_class(options.out / "class")
    write_teacher(options.out / "teacher")
    if shutil.which("npm"):
        slides.main(["--out", str(options.out / "teacher" / "slides")])
    else:
        print("No slides: npm is missing. Install Node.js, then run `make class` again.")
    print(f"For students: {options.out / 'class.zip'}; for you alone: {options.out / 'teacher' / 'index.html'}")
    return 0


def write_class(out: Path) -> None:
    """Write the students' folder, and beside it a zip of it."""
    clear(out, "READY.ipynb")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, out / name, ignore=shutil.ignore_patterns("__pycache__", "runs", ".*"))
    for name in FILES:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, out / name)
    shutil.copy(HERE / "READY.ipynb", out)
    (out / "notebooks" / "exercises").mkdir(parents=True)
    for path in lessons():
        nbformat.write(without_outputs(read(path)), out / "notebooks" / path.name)
        if (exercise := path.parent / "exercises" / path.name).exists():
            nbformat.write(released(read(exercise)), out / "notebooks" / "exercises" / path.name)
    (out / "README.md").write_text(render("README.md", notebooks=contents()), encoding="utf-8")
    (out / "worksheet.html").write_text(web_page(worksheet()), encoding="utf-8")
    for page in (*out.glob("docs/*.md"), out / "data" / "README.md", *out.glob("notebooks/**/*.ipynb")):
        page.write_text(relink(page, out), encoding="utf-8")
    shutil.make_archive(str(out), "zip", out.parent, out.name)


def write_teacher(out: Path) -> None:
    """Write solutions, quiz, handouts, worksheet and the teacher's pages, with index.html that lists them."""
    clear(out, "quiz.gift")
    (out / "exercises").mkdir()
    for path in sorted((NOTEBOOKS / "exercises").glob("[01]*.ipynb")):
        notebook = explained(read(path))
        change_prose(notebook, lambda link: link[1])  # nbgrader copies the file to where no link holds
        nbformat.write(notebook, out / "exercises" / path.name)
    pages = {path.stem: path.read_text(encoding="utf-8") for path in TEACH.glob("*.md")}
    pages |= {"worksheet": worksheet(), "quiz": quiz("quiz.md", "print"), "quiz_answers": quiz("quiz.md", "answers")}
    for name, text in pages.items():
        text = _LINK.sub(lambda link: f"[{link[1]}]({_for_teacher(link[2], link[3], pages)})", text)
        (out / f"{name}.html").write_text(web_page(text), encoding="utf-8")
    shutil.copy(TEACH / "quiz.json", out)
    (out / "quiz.gift").write_text(quiz("quiz.gift"), encoding="utf-8")
    for name, page in handouts().items():
        (out / f"{name}.html").write_text(page, encoding="utf-8")
    titles = [(f"{name}.html", text.splitlines()[0].lstrip("# ")) for name, text in sorted(pages.items())]
    (out / "index.html").write_text(web_page(render("teacher.md", pages=titles)), encoding="utf-8")


def clear(folder: Path, mark: str) -> None:
    """An empty folder in place of an older kit, known by the file `mark`; another folder of this name stays."""
    if folder.exists() and not (folder / mark).exists():
        raise SystemExit(f"{folder} exists and is no class kit: remove it, or name another place with --out")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / mark).touch()  # first of all, so that a run that was stopped can be repeated


def _for_teacher(target: str, anchor: str | None, pages: dict[str, str]) -> str:
    path = (TEACH / target).resolve()
    if path.parent == TEACH and path.stem in pages:
        return f"{path.stem}.html{anchor or ''}"
    return on_the_web(path.relative_to(ROOT), anchor)


def lessons() -> list[Path]:
    return sorted(NOTEBOOKS.glob("[01]*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """The notebook as if it had never run; its badges, which lead to answers, are gone."""
    for cell in notebook.cells:
        cell.source = _BADGES.sub("", cell.source)
        for mark in ("jupyter", "collapsed", "tags"):  # which hide an output until somebody asks
            cell.metadata.pop(mark, None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def explained(notebook: NotebookNode) -> NotebookNode:
    """The exercise with a sentence where learners would see an empty cell, without the one about shown solutions."""
    for cell in notebook.cells:
        cell.source = _SHOWN.sub("", cell.source)
        if cell.source.startswith("### BEGIN HIDDEN TESTS"):
            cell.source = f"{LATER}\n{cell.source}"
    return notebook


def released(notebook: NotebookNode) -> NotebookNode:
    """The exercise as nbgrader hands it out: no solution, no hidden test."""
    notebook = explained(notebook)
    for step in (ClearSolutions(), ClearHiddenTests()):
        notebook, _ = step.preprocess(notebook, {})
    return without_outputs(notebook)


def relink(page: Path, out: Path) -> str:
    """The page; its links to what students do not have lead to the project's web address."""

    def held(link: re.Match) -> str:
        goal = (page.parent / link[2]).resolve()
        return link[0] if goal.exists() else f"[{link[1]}]({on_the_web(goal.relative_to(out.resolve()), link[3])})"

    if page.suffix != ".ipynb":
        return _LINK.sub(held, page.read_text(encoding="utf-8"))
    notebook = read(page)
    change_prose(notebook, held)
    return nbformat.writes(notebook)


def change_prose(notebook: NotebookNode, link: Callable[[re.Match], str]) -> None:
    """Replace every relative link in the Markdown; in code the same signs mean a call."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(link, cell.source)


def on_the_web(path: Path, anchor: str | None) -> str:
    return f"{address()}/blob/main/{path.as_posix()}{anchor or ''}"


def contents() -> list[tuple[str, str, bool]]:
    """File name, title, and whether there are exercises, of each notebook."""
    return [(path.name, title(path), (path.parent / "exercises" / path.name).exists()) for path in lessons()]


def title(path: Path) -> str:
    return read(path).cells[0].source.splitlines()[0].lstrip("# ")


def worksheet() -> str:
    """Markdown: every "Predict, then run" of every notebook, with room for the guess."""
    found = []
    for path in lessons():
        text = "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        rows = []
        for part in text.split("\n## "):
            section, questions = part.splitlines()[0], _QUESTION.findall(part)
            rows += [(section, " ".join(question.split()).replace("|", "\\|")) for question in questions]
        found.append((title(path), rows))
    return render("worksheet.md", notebooks=found, gap="&nbsp;" * 24)


def quiz(template: str, mode: str = "") -> str:
    """The questions of quiz.json in one of the templates; `mode`: "page", "print" or "answers"."""
    questions = json.loads((TEACH / "quiz.json").read_text(encoding="utf-8"))
    notebooks = []
    for path in lessons():
        mine = [one | lettered(one) for one in questions if one["id"][:2] == path.name[:2]]
        notebooks.append({"title": title(path), "file": path.name, "questions": mine})
    return render(template, notebooks=notebooks, mode=mode)


def lettered(one: dict) -> dict:
    """The choices of a question with their letters; the place of the right one depends on the question's text alone."""
    choices = list(one["wrong"])
    choices.insert(sum(one["question"].encode()) % (len(choices) + 1), {"text": one["answer"], "why": ""})
    choices = list(zip("abcdef", choices, strict=False))
    return {"choices": choices, "letter": next(letter for letter, choice in choices if not choice["why"])}


if __name__ == "__main__":
    sys.exit(main())
