"""The exercises as a class uses them: no solutions for learners, all points for right answers, none for wrong ones."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from helpers import write_pair
from nbclient import NotebookClient

from tools.notebooks import set_up_cell

EXERCISES = Path(__file__).parents[2] / "notebooks" / "exercises"
NAMES = [path.stem for path in sorted(EXERCISES.glob("*.ipynb"))]
ASSIGNMENT = "unet"
WRONG = NAMES[4:5]  # one notebook shows that wrong answers lose their points
# Seconds for a cell, and for its outputs to arrive: nbgrader itself allows 30 and 4.
PATIENCE = ("--Execute.timeout=1000", "--Execute.iopub_timeout=600", "--Execute.startup_timeout=600")


def nbgrader(course: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "nbgrader", *arguments, ASSIGNMENT, f"--course-dir={course}"]
    # nbgrader starts `alembic` by name, so this Python's programs come first on the path.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "JUPYTER_PLATFORM_DIRS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=course)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A course folder with the assignment generated for learners."""
    course = tmp_path_factory.mktemp("course")
    shutil.copytree(EXERCISES, course / "source" / ASSIGNMENT, ignore=shutil.ignore_patterns("runs", ".*"))
    nbgrader(course, "generate_assignment")
    return course


def cells(path: Path) -> list[nbformat.NotebookNode]:
    return nbformat.read(path, as_version=4).cells


def scores(course: Path, student: str) -> dict[str, tuple[float, float]]:
    """Points that were reached and points that are possible, by notebook."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        submission = book.find_submission(ASSIGNMENT, student)
        return {notebook.name: (notebook.score, notebook.max_score) for notebook in submission.notebooks}


def test_every_notebook_has_exercises():
    assert [path.stem for path in sorted(EXERCISES.parent.glob("[01]*.ipynb"))] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_exercises_have_two_or_three_tasks_and_no_outputs(name):
    source = cells(EXERCISES / f"{name}.ipynb")
    solutions = [cell for cell in source if cell.metadata.get("nbgrader", {}).get("solution")]
    assert 2 <= len(solutions) <= 3
    assert all("### BEGIN SOLUTION" in cell.source for cell in solutions)
    assert any("### BEGIN HIDDEN TESTS" in cell.source for cell in source)
    assert not any(cell.get("outputs") for cell in source)
    tasks = [cell.source for cell in source if cell.cell_type == "markdown" and re.match(r"## \d\. ", cell.source)]
    levels = [re.search(r" \((easy|middle|for the quick)\)$", task.splitlines()[0])[1] for task in tasks]
    assert len(set(levels)) == len(levels) == len(solutions)
    assert all("<details><summary>Hint</summary>\n\n" in task for task in tasks), "a hint is folded"


@pytest.mark.parametrize("optimize", ["1", ""])
def test_a_kernel_that_skips_asserts_says_so(tmp_path, monkeypatch, optimize):
    """With PYTHONOPTIMIZE=1 a wrong answer would pass without a word."""
    monkeypatch.setenv("PYTHONOPTIMIZE", optimize)
    # The cell that stands first in all notebooks, see test_the_set_up_cell_is_the_same_everywhere.
    texts = [set_up_cell(), "assert False, 'a wrong answer'"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in texts])
    NotebookClient(notebook, kernel_name="python3", allow_errors=True, startup_timeout=600).execute(cwd=tmp_path)
    said = " ".join(output.get("text", "") for output in notebook.cells[0].outputs)
    failed = [output.ename for output in notebook.cells[-1].outputs if output.output_type == "error"]
    assert ("PYTHONOPTIMIZE is set" in said, failed) == ((True, []) if optimize else (False, ["AssertionError"]))


@pytest.mark.parametrize("name", NAMES)
def test_learners_get_tasks_and_visible_tests_only(course, name):
    release = cells(course / "release" / ASSIGNMENT / f"{name}.ipynb")
    text = "\n".join(cell.source for cell in release)
    assert "SOLUTION" not in text
    assert "HIDDEN" not in text
    assert text.count("raise NotImplementedError()") >= 2
    assert "assert" in text


def test_right_answers_get_every_point_whatever_photos_lie_about(course, tmp_path, monkeypatch):
    for view in (1, 2, 3):  # no car of the other folds, and only some of the views: hidden tests name their data
        write_pair(tmp_path, 11, view)
    monkeypatch.setenv("CARVANA_DATA", str(tmp_path))
    shutil.copytree(course / "source" / ASSIGNMENT, course / "submitted" / "right" / ASSIGNMENT)
    nbgrader(course, "autograde", "--create", "--student=right", *PATIENCE)
    reached = scores(course, "right")
    assert sorted(reached) == NAMES
    assert all(possible >= 2 for _, possible in reached.values())
    assert {name: points for name, (points, _) in reached.items()} == {
        name: possible for name, (_, possible) in reached.items()
    }


@pytest.mark.parametrize("name", WRONG)
def test_unanswered_and_wrong_tasks_get_none(course, name):
    for student, answer in (("absent", "raise NotImplementedError()"), ("wrong", "return None")):
        folder = course / "submitted" / student / ASSIGNMENT
        folder.mkdir(parents=True)
        notebook = nbformat.read(course / "release" / ASSIGNMENT / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            cell.source = cell.source.replace("raise NotImplementedError()", answer)
        nbformat.write(notebook, folder / f"{name}.ipynb")
        nbgrader(course, "autograde", "--create", f"--student={student}", f"--notebook={name}", *PATIENCE)
        assert scores(course, student)[name][0] == 0
