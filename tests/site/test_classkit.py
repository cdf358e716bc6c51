"""The class kit: nothing in a student's folder gives an answer away, every link holds, and READY names the cure."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tools.classkit import __main__ as kit
from tools.classkit.printed import web_page

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[01]*.ipynb"))
QUIZ = json.loads((ROOT / "docs" / "teach" / "quiz.json").read_text(encoding="utf-8"))
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
_SECRET = re.compile(r"### BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)### END", re.DOTALL)
READY = ROOT / "tools" / "classkit" / "READY.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("build") / "class"
    kit.write_class(out)
    return out


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("build") / "teacher"
    kit.write_teacher(out)
    return out


def texts(folder: Path) -> dict[Path, str]:
    """Every text of the folder: pages, and the cells of notebooks."""
    found = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.*") if path.suffix in (".md", ".html")}
    for path in folder.rglob("*.ipynb"):
        found[path] = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    return found


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path, text: str, pages: dict[Path, str]) -> list[str]:
    dead = []
    for target, anchor in _LINK.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        goal = (page.parent / target).resolve() if target else page
        if not goal.exists() or (anchor and goal in pages and anchor not in anchors(pages[goal])):
            dead.append(f"{page.name}: {target}#{anchor}")
    return dead


def test_students_get_every_notebook_and_its_exercises(folder):
    for part in ("", "exercises"):
        there = [path.name for path in sorted((folder / "notebooks" / part).glob("*.ipynb"))]
        assert there == [path.name for path in sorted((ROOT / "notebooks" / part).glob("[01]*.ipynb"))]
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"(notebooks/{path.name})" in listed for path in NOTEBOOKS)


def test_no_notebook_has_an_output_or_hides_one(folder):
    cells = [cell for path in folder.rglob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells]
    code = [cell for cell in cells if cell.cell_type == "code" and "why_not" not in cell.source]
    assert len(code) > 100
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert not any("outputs_hidden" in str(cell.metadata) or "hide-output" in str(cell.metadata) for cell in code)


def test_no_solution_and_no_hidden_test_is_there(folder):
    text = "\n".join(texts(folder).values())
    assert "BEGIN SOLUTION" not in text
    assert "HIDDEN TESTS" not in text
    secrets = 0
    for path in sorted((ROOT / "notebooks" / "exercises").glob("*.ipynb")):
        mine = (folder / "notebooks" / "exercises" / path.name).read_text(encoding="utf-8")
        whole = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        shown = _SECRET.sub("", whole)  # a visible test may have the same line
        hidden = [line.strip() for part in _SECRET.findall(whole) for line in part.splitlines()]
        hidden = [line for line in hidden if len(line) > 40 and line not in shown]
        assert [line for line in hidden if json.dumps(line)[1:-1] in mine] == []
        secrets += len(hidden)
        assert mine.count("raise NotImplementedError()") >= 2
    assert secrets > 50, "the solutions were not found, so nothing was tested"


def code(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_no_line_of_code_changes_on_the_way(folder, teacher):
    """A call such as `ways[name](photo)` looks like a link."""
    for path in NOTEBOOKS:
        assert code(folder / "notebooks" / path.name) == code(path)
        solved = ROOT / "notebooks" / "exercises" / path.name
        mine = [text.removeprefix(f"{kit.LATER}\n") for text in code(teacher / "exercises" / path.name)]
        assert mine == code(solved)
    cells = [
        nbformat.v4.new_code_cell("ways[name](photo)"),
        nbformat.v4.new_markdown_cell("[a](b.md) and [c](https://d)"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    kit.change_prose(notebook, lambda link: link[1])
    assert [cell.source for cell in notebook.cells] == ["ways[name](photo)", "a and [c](https://d)"]


def test_a_folder_that_is_no_kit_is_not_removed(tmp_path):
    (tmp_path / "class").mkdir()
    mine = tmp_path / "class" / "thesis.txt"
    mine.write_text("years of work")
    with pytest.raises(SystemExit, match="class exists and is no class kit: remove it, or name another place"):
        kit.write_class(tmp_path / "class")
    assert mine.read_text() == "years of work"


def test_no_empty_cell_and_no_word_about_shown_solutions_puzzles_students(folder):
    for path in (folder / "notebooks" / "exercises").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert all(cell.source.strip() for cell in cells), path
        assert "already shows the solution" not in "".join(cell.source for cell in cells)


def test_no_answer_of_the_quiz_and_no_page_for_teachers_is_there(folder):
    found = texts(folder)
    assert not [path for path in folder.rglob("*") if {"teach", "tools", "tests"} & set(path.relative_to(folder).parts)]
    assert not [path for path, text in found.items() if "docs/teach" in text or "quiz" in text.lower()]
    words = " ".join(" ".join(found.values()).split())
    said = [one["because"] for one in QUIZ] + [wrong["why"] for one in QUIZ for wrong in one["wrong"]]
    assert [text for text in said if len(text) > 50 and text in words] == []


def test_every_link_in_a_students_folder_holds(folder):
    found = texts(folder)
    assert [fault for page, text in found.items() for fault in dead_links(page, text, found)] == []
    assert sum(len(_LINK.findall(text)) for text in found.values()) > 100
    outside = [
        re.findall(r"github\.com/carvana-unet/carvana-unet/blob/main/([^)\s#]+)", text) for text in found.values()
    ]
    assert [name for names in outside for name in names if not (ROOT / name).exists()] == []
    # Badges would open the notebook with its answers.
    assert not any("colab.research.google.com" in text for text in found.values())


def test_a_dead_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    assert dead_links(page, "[a](gone.md) [b](#none)", {page: "# Here"}) == ["page.md: gone.md#", "page.md: #none"]


def test_the_zip_holds_the_folder(folder):
    names = zipfile.ZipFile(folder.with_suffix(".zip")).namelist()
    files = {f"class/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*") if path.is_file()}
    assert files == {name for name in names if not name.endswith("/")}
    assert "class/READY.ipynb" in names
    assert not [name for name in names if "__pycache__" in name]


def test_the_worksheet_asks_every_prediction(folder):
    sheet = (folder / "worksheet.html").read_text(encoding="utf-8")
    asked = sum(
        cell.source.count("**Predict, then run.**")
        for path in NOTEBOOKS
        for cell in nbformat.read(path, as_version=4).cells
    )
    assert sheet.count("<tr>") == asked + len(NOTEBOOKS)  # and a row of headings for each notebook
    assert "true positives" not in sheet
    assert "one in 60, in 600 or in 6,000?" in sheet


def ready(folder: Path, before: str = "", python: tuple[str, ...] = (), **surroundings: str) -> str:
    """What READY prints in a folder, after the lines `before`."""
    code = nbformat.read(READY, as_version=4).cells[1].source
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": "", **surroundings}
    command = [sys.executable, *python, "-c", f"{before}\n{code}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1, "one line"
    return done.stdout


def test_ready_is_one_green_line_in_a_students_folder(folder):
    notebook = nbformat.read(folder / "READY.ipynb", as_version=4)
    NotebookClient(notebook, kernel_name="python3", startup_timeout=600, timeout=600).execute(cwd=folder)
    [said] = notebook.cells[1].outputs
    assert said.text.startswith("\x1b[1;32mREADY: Python 3")
    assert "384 photos, a first mask with Dice 0.99" in said.text
    assert said.text.count("\n") == 1


PLACES = {
    "a package is missing": (
        "import sys; sys.modules['matplotlib'] = None",
        {},
        "missing packages: matplotlib. What to do: run  %pip install matplotlib  in a new cell, then Kernel > Restart",
    ),
    "the Python is old": (
        "import sys, platform; sys.version_info = (3, 9, 2); platform.python_version = lambda: '3.9.2'",
        {},
        "this is Python 3.9.2, and 3.11 or newer is needed. What to do: choose another kernel: Kernel > Change kernel",
    ),
    "the folder is read-only": (
        "import os; os.chdir('/proc')",  # nobody can write there, root neither
        {},
        "/proc cannot be written (No such file or directory). What to do: copy the class folder to your home",
    ),
    "there is little memory": (
        "",
        {"MEM_LIMIT": "800000000"},  # as JupyterHub tells its kernels
        "0.8 GB of memory are free, and 1.5 are needed. What to do: shut down other kernels",
    ),
    "there are no photos": ("", {"CARVANA_DATA": "empty"}, "no usable photos: "),
}


@pytest.mark.parametrize("place", PLACES)
def test_ready_says_the_cure_where(folder, place):
    before, surroundings, wanted = PLACES[place]
    said = ready(folder, before, **surroundings)
    assert said.startswith("\x1b[1;31mNOT READY: ")
    assert wanted in said
    assert "What to do: " in said


def test_ready_alone_says_that_the_library_is_not_beside_it(tmp_path):
    said = ready(tmp_path, "import sys; sys.modules['carvana_lib'] = None")
    assert "carvana_lib is not here. What to do: unpack class.zip" in said


def test_ready_without_any_package_names_all_that_pyproject_names(tmp_path):
    said = ready(tmp_path, python=("-S", "-E"))
    named = set(said.split("missing packages: ")[1].split(". What to do")[0].split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert named == {requirement.split(">=")[0] for requirement in project["dependencies"]}


def test_the_teacher_gets_solutions_quiz_handouts_and_pages(teacher):
    sources = sorted((teacher / "exercises").glob("*.ipynb"))
    assert [path.name for path in sources] == [path.name for path in NOTEBOOKS]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        assert "### BEGIN SOLUTION" in text
        assert "### BEGIN HIDDEN TESTS" in text
        assert _LINK.findall("\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)) == []
    assert json.loads((teacher / "quiz.json").read_text(encoding="utf-8")) == QUIZ
    index = (teacher / "index.html").read_text(encoding="utf-8")
    linked = [name for name in re.findall(r'href="([^"#]+)"', index) if name != "slides/index.html"]
    assert {path.name for path in teacher.glob("*.html")} <= {*linked, "index.html"}
    assert [name for name in linked if not (teacher / name).exists()] == []


def test_links_between_the_teachers_pages_hold(teacher):
    pages = {page.name: page.read_text(encoding="utf-8") for page in teacher.glob("*.html")}
    links = [
        (name, goal or name, anchor)
        for name, text in pages.items()
        for goal, anchor in re.findall(r'href="(?!https?:|data:)([^"#]*)(?:#([^"]*))?"', text)
    ]
    assert len([anchor for *_, anchor in links if anchor]) > 10
    for name, goal, anchor in links:
        if goal != "slides/index.html":  # made apart, where npm is installed
            assert (teacher / goal).exists(), (name, goal)
            assert not anchor or f'id="{anchor}"' in pages[goal], (name, goal, anchor)


def test_the_printed_quiz_has_answers_only_on_the_sheet_for_them(teacher):
    questions = (teacher / "quiz.html").read_text(encoding="utf-8")
    answers = (teacher / "quiz_answers.html").read_text(encoding="utf-8")
    assert questions.count("a) ") == answers.count("a) ") == len(QUIZ)
    assert "Not a: " not in questions
    assert answers.count("Not ") >= sum(len(one["wrong"]) for one in QUIZ)


def test_the_import_for_learning_platforms_has_one_right_choice_each(teacher):
    blocks = re.findall(r"^::(\S+)::.*?^\}$", (teacher / "quiz.gift").read_text(encoding="utf-8"), flags=re.M | re.S)
    assert blocks == [one["id"] for one in QUIZ]
    text = (teacher / "quiz.gift").read_text(encoding="utf-8")
    assert len(re.findall(r"^=", text, flags=re.M)) == len(QUIZ)
    assert len(re.findall(r"^~", text, flags=re.M)) == sum(len(one["wrong"]) for one in QUIZ)


def test_characters_that_mean_something_to_the_import_are_kept_as_text():
    assert kit.render("quiz.gift", notebooks=[]).strip() == ""
    one = {"id": "01.1", "question": "a = {b}", "choices": [("a", {"text": "x~y", "why": ""})], "because": "c#d"}
    text = kit.render("quiz.gift", notebooks=[{"title": "T: 1", "questions": [one]}])
    assert r"a \= \{b\}" in text
    assert r"=x\~y#c\#d" in text


def test_a_page_needs_nothing_but_itself():
    page = web_page("# A title\n\n| a |\n|:--|\n| b |")
    assert "<title>A title</title>" in page
    assert "<td" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
