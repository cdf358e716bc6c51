"""The pages: links that lead somewhere, and what they say about the notebooks is so."""

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml

from carvana_lib.cli import commands
from carvana_lib.config import PRESETS

ROOT = Path(__file__).parents[2]
TEACH = ROOT / "docs" / "teach"
LIBRARY = ROOT / "carvana_lib"
NOTEBOOKS = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("[01]*.ipynb"))}
CORE = ["config", "images", "data", "transforms", "unet", "losses", "training", "metrics", "evaluation", "prediction"]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "data" / "README.md",
    *sorted((ROOT / "notebooks").rglob("[01]*.ipynb")),
]
PAGES = [page for page in PAGES if not {"node_modules", "runs", ".ipynb_checkpoints"} & set(page.parts)]
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")


@cache
def prose(path: Path) -> str:
    """A page's Markdown without blocks of code."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def headings(path: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Of each heading, as GitHub makes them."""
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(path)]
    return {*plain, *re.findall(r'id="([^"]+)"', prose(path))}


def dead_links(path: Path) -> list[str]:
    dead = []
    for target, anchor in _LINK.findall(prose(path)):
        goal = (path.parent / target).resolve() if target else path
        if not goal.exists() or (anchor and goal.suffix in (".md", ".ipynb") and anchor not in anchors(goal)):
            dead.append(f"{target}#{anchor}")
    return dead


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_and_anchor_leads_somewhere(path):
    assert dead_links(path) == []


def test_a_dead_link_or_anchor_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n\n[here](#a-title) [there](#other) [gone](gone.md) [in code](`x`)\n\n```\n[no](no)\n```\n"
    )
    assert dead_links(page)[:2] == ["#other", "gone.md#"]


def test_files_and_modules_that_pages_name_exist():
    """Paths in backticks that begin with a folder of the project, scripts after `python`, modules after `python -m`."""
    gone, seen = [], 0
    for page in (page for page in PAGES if page.suffix == ".md"):
        text = page.read_text(encoding="utf-8")
        paths = re.findall(r"`((?:carvana_lib|tools|tests|benchmarks|docs|notebooks)/[\w./]*)`", text)
        paths += re.findall(r"python (\w[\w/]*\.py)", text)
        modules = re.findall(r"python -m ((?:carvana_lib|tools|benchmarks)[\w.]*)", text)
        gone += [f"{page.name}: {name}" for name in paths if not (ROOT / name).exists()]
        gone += [f"{page.name}: {name}" for name in modules if not runs_as_module(ROOT / name.replace(".", "/"))]
        seen += len(paths) + len(modules)
    assert gone == []
    assert seen > 40


def runs_as_module(path: Path) -> bool:
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_a_stranger_finds_each_answer_in_the_file_that_the_table_names():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.split("## The stranger's test")[1].split("\n## ")[0]
    rows = re.findall(r"^\| .+\? \| `([^`]+)` \| `([^`]+)` \|$", section, flags=re.MULTILINE)
    assert len(rows) == section.count("\n|") - 2 >= 10
    for file, name in rows:
        text = (ROOT / file).read_text(encoding="utf-8")
        defined = rf"^( *(def|class) )?{name}\b" if file.endswith(".py") else re.escape(name)
        assert re.search(defined, text, flags=re.MULTILINE), (file, name)


def test_the_readme_draws_the_tree_that_is_there():
    tree = (ROOT / "README.md").read_text(encoding="utf-8").split("```\ncarvana_lib/\n")[1].split("```")[0]
    drawn = [line.split()[0] for line in tree.splitlines()]
    files = {path.name for path in LIBRARY.glob("[a-z]*.py")}
    folders = {f"{path.parent.name}/" for path in LIBRARY.glob("*/__init__.py")}
    assert set(drawn) == files | folders
    assert drawn[:10] == [f"{name}.py" for name in CORE]


def test_the_reference_has_every_module_the_core_first():
    order = re.findall(r"^   (\w+)$", (ROOT / "docs" / "api" / "index.rst").read_text(), flags=re.MULTILINE)
    pages = {path.stem: path.read_text() for path in (ROOT / "docs" / "api").glob("*.rst") if path.stem != "index"}
    assert sorted(order) == sorted(pages)
    listed = [name for page in order for name in re.findall(r"automodule:: carvana_lib\.([\w.]+)", pages[page])]
    assert listed[:10] == CORE
    paths = [path.relative_to(LIBRARY).with_suffix("") for path in LIBRARY.rglob("[a-z]*.py")]
    assert sorted(listed) == sorted(".".join(path.parts) for path in paths)


def test_the_page_of_the_command_line_names_every_command_and_preset():
    page = (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")
    names = {name[4:].replace("_", "-") for name in vars(commands) if name.startswith("run_")}
    assert {"train", "check-data"} <= names
    assert set(re.findall(r"^carvana ([\w-]+) ", page, flags=re.MULTILINE)) == names
    assert set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE)) == set(PRESETS)


def test_the_readme_names_each_notebook_with_its_minutes_and_badges():
    from tools.notebooks import badges

    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if "Kaggle](" in line]
    assert len(rows) == len(NOTEBOOKS)
    for row, path in zip(rows, NOTEBOOKS.values(), strict=True):
        first = prose(path)
        title = re.match(r"# \d\d · (.+)", first).group(1)
        minutes = re.search(r"\*\*Time\*\* (\d+) minutes", first).group(1)
        assert f"(notebooks/{path.name}) | {title} |" in row
        assert f"| {minutes} |" in row
        for address in re.findall(r"\((https://(?:colab|kaggle)[^)]+ipynb)\)", badges(path)):
            assert f"({address})" in row, "renew the table: the address in pyproject.toml has changed"


def test_the_picture_on_top_is_small_and_described():
    first = re.search(r"!\[(.*?)\]\((.*?)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(first.group(1)) > 40
    assert (ROOT / first.group(2)).stat().st_size < 300_000


def test_the_quiz_asks_about_every_notebook_and_answers():
    text = (TEACH / "quiz.md").read_text(encoding="utf-8")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert [part[:2] for part in parts] == list(NOTEBOOKS)
    for part in parts:
        path = NOTEBOOKS[part[:2]]
        assert f"# {part.splitlines()[0]}" == prose(path).splitlines()[0]
        assert f"(../../notebooks/{path.name})" in part
        questions = len(re.findall(r"^\*\*\d\.\*\* ", part, flags=re.MULTILINE))
        assert 3 <= questions <= 5
        assert part.count("<details><summary>Answer</summary>\n\n") == part.count("\n\n</details>") == questions


def test_sections_named_for_teachers_exist():
    """Rows that begin with, or cures that name, a notebook's number and sections in quotes."""
    named = []
    pages = [(TEACH / name).read_text(encoding="utf-8") for name in ("guide.md", "notebooks.md", "plans.md")]
    for line in "\n".join(pages).splitlines():
        for number, sections in re.findall(r'(?<![\d:])(\d\d),? ((?:(?:and )?"[^"]+",? ?)+)', line):
            named += [(number, section) for section in re.findall(r'"([^"]+)"', sections)]
    assert len(named) > 60
    wrong = [(n, s) for n, s in named if not any(heading.startswith(s) for heading in headings(NOTEBOOKS[n]))]
    assert wrong == []


def glossary() -> list[tuple[str, list[str], list[str]]]:
    """Of each row: the term, its words in small letters, and the numbers of its notebooks."""
    page = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) \| .+ \| (\[\d\d\].+) \|$", page, flags=re.MULTILINE)
    return [(t, [w.strip().lower() for w in t.split(",")], re.findall(r"\[(\d\d)\]", links)) for t, links in rows]


def test_glossary_terms_are_in_order_and_in_their_notebooks():
    terms = [term for term, _, _ in glossary()]
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) > 30
    for term, words, numbers in glossary():
        for number in numbers:
            assert any(word in prose(NOTEBOOKS[number]).lower() for word in words), (term, number)


def lesson(path: Path) -> str:
    """The prose between "Set-up" and "When it goes wrong", in small letters and on one line, without links."""
    text = prose(path).split("## Set-up")[1].split("## When it goes wrong")[0]
    return " ".join(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).lower().split()).replace("half precision", "")


@pytest.mark.parametrize(("term", "words", "numbers"), glossary(), ids=[term for term, _, _ in glossary()])
def test_the_glossary_gives_the_first_lesson_that_uses_a_term(term, words, numbers):
    use = re.compile("|".join(rf"\b{re.escape(word)}" for word in words))
    assert next(number for number, path in NOTEBOOKS.items() if use.search(lesson(path))) == numbers[0]


def test_the_nbgrader_page_uses_what_the_exercises_are_tested_with():
    page = (TEACH / "nbgrader.md").read_text(encoding="utf-8")
    tested = re.findall(r'nbgrader\(course, "(\w+)"', (ROOT / "tests" / "series" / "test_exercises.py").read_text())
    assert {"generate_assignment", "autograde"} <= set(tested)
    for command in {*tested, "collect", "generate_feedback"}:
        assert re.search(rf"^nbgrader {command} unet", page, flags=re.MULTILINE), command


def test_the_hub_gives_each_learner_what_was_measured():
    found = json.loads((ROOT / "benchmarks" / "results" / "classroom.json").read_text())
    lessons = [row["peak_gb"] for name, row in found["notebooks"].items() if "/" not in name]
    exercises = [row["peak_gb"] for name, row in found["notebooks"].items() if "/" in name]
    assert len(lessons) == len(exercises) == len(NOTEBOOKS)
    limit = int(re.search(r"limits\.memory (\d+)G", (TEACH / "jupyterhub.md").read_text()).group(1))
    assert limit > max(lessons) + max(exercises) + found["server_gb"]


def test_the_citation_is_complete_and_agrees_with_the_package():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    with open(ROOT / "pyproject.toml", "rb") as file:
        package = tomllib.load(file)["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert str(cited["version"]) == package["version"]
    assert cited["license"] == package["license"]
    assert cited["repository-code"] == package["urls"]["Repository"]
