"""A class of three uses the commands of docs/teach/nbgrader.md, in its order: right, empty, and handing in twice."""

import csv
import os
import re
import shlex
import sys
from pathlib import Path

import nbformat

from tools.classkit import __main__ as kit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "teach" / "nbgrader.md").read_text(encoding="utf-8")
NAME = "05_losses_and_metrics.ipynb"
CLASS = ("anna", "ben", "cleo")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines() if line.startswith("nbgrader ")]
PATIENCE = ["--Execute.timeout=1000", "--Execute.iopub_timeout=600", "--Execute.startup_timeout=600"]


class Room:
    """A teacher's course folder, an exchange, and a home for each learner."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.course = folder, folder / "course"
        (self.course / "source" / "unet").mkdir(parents=True)
        for name in ("exchange", *CLASS):
            (folder / name).mkdir()
        (folder / "exchange").chmod(0o777)
        exercise = kit.read(ROOT / "notebooks" / "exercises" / NAME)
        nbformat.write(kit.explained(exercise), self.course / "source" / "unet" / NAME)
        config = re.search(r"```python\n(c = get_config.*?)```", PAGE, flags=re.DOTALL)[1]
        config = config.replace("/srv/nbgrader/exchange", str(folder / "exchange"))
        (self.course / "nbgrader_config.py").write_text(config)
        # What the page puts into /etc/jupyter: this variable names one more such folder.
        (folder / "etc").mkdir()
        (folder / "etc" / "nbgrader_config.py").write_text("\n".join(config.splitlines()[:3]))
        (self.course / "students.csv").write_text(re.search(r"```text\n(id,.*?)```", PAGE, flags=re.DOTALL)[1])

    def run(self, line: str, who: str = "") -> str:
        """Run one line as the teacher or as a learner; returns what it says. It must end without an error."""
        code, said = self.try_run(line, who)
        assert code == 0, f"{line}\n{said}"
        return said

    def try_run(self, line: str, who: str = "") -> tuple[int, str]:
        """A process of its own for each line, as on the command line, but nbgrader is imported only once."""
        from nbgrader.apps.nbgraderapp import NbGraderApp

        arguments = shlex.split(line, comments=True)[1:]
        if arguments[0] == "autograde":
            arguments += PATIENCE
        said = self.folder / "said.txt"
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with open(said, "w") as file:
                    os.dup2(file.fileno(), 1)
                    os.dup2(file.fileno(), 2)
                sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
                self._become(who)
                NbGraderApp.launch_instance(arguments)
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), said.read_text()

    def _become(self, who: str) -> None:
        from nbgrader import utils

        os.chdir(self.folder / who if who else self.course)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        home = str(self.folder / (who or "course"))
        os.environ |= {"PATH": path, "OMP_NUM_THREADS": "1", "HOME": home, "JUPYTER_PLATFORM_DIRS": "1"}
        if who:
            os.environ |= {"JUPYTER_CONFIG_PATH": str(self.folder / "etc"), "JUPYTERHUB_USER": who}
            utils.get_osusername = lambda: "jovyan"  # as in a hub's containers

    def answer(self, who: str, right: bool) -> None:
        """Write right answers, or none, into the learner's notebook as it was fetched."""
        path = self.folder / who / "unet" / NAME
        mine, solved = kit.read(path), kit.read(self.course / "source" / "unet" / NAME)
        solutions = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.source for cell in solved.cells}
        for cell in mine.cells:
            if right and cell.metadata.get("nbgrader", {}).get("solution"):
                cell.source = solutions[cell.metadata.nbgrader.grade_id]
        nbformat.write(mine, path)

    def marks(self) -> dict[str, str]:
        with open(self.course / "grades.csv") as file:
            return {row["student_id"]: f"{row['score']} / {row['max_score']}" for row in csv.DictReader(file)}

    def newest_feedback(self, who: str) -> str:
        return sorted((self.folder / who / "unet" / "feedback").glob(f"*/{Path(NAME).stem}.html"))[-1].read_text()


def learners(line: str) -> bool:
    return line.endswith("# learner")


def test_the_story_of_a_class_of_three(tmp_path):
    room, said, handed_in = Room(tmp_path), {}, 0
    for line in COMMANDS:
        line = line.replace("2030-01-31", "2020-01-31")  # so that everybody is late
        if line.startswith("nbgrader submit") and handed_in:
            room.answer("ben", right=True)
            said[line] = room.run(line, "ben")
        elif learners(line):
            for who in CLASS:
                if line.startswith("nbgrader submit"):
                    room.answer(who, right=who == "anna")
                said[line] = room.run(line, who)
            handed_in += line.startswith("nbgrader submit")
        else:
            said[line] = room.run(line)
        if line.startswith("nbgrader fetch_feedback") and len(said) and not room.course.joinpath("grades.csv").exists():
            first = {who: total(room.newest_feedback(who)) for who in CLASS}
            room.run("nbgrader export")
            assert room.marks() == {"anna": "3.0 / 3.0", "ben": "0.0 / 3.0", "cleo": "0.0 / 3.0"}
            assert first == {"anna": "3.0 / 3.0", "ben": "0.0 / 3.0", "cleo": "0.0 / 3.0"}
            # The same commands again change nothing, as the page warns.
            assert "Skipping existing assignment" in room.run("nbgrader generate_assignment unet")
    assert room.marks() == {"anna": "3.0 / 3.0", "ben": "3.0 / 3.0", "cleo": "0.0 / 3.0"}
    assert {who: total(room.newest_feedback(who)) for who in CLASS} == room.marks()
    assert "NotImplementedError" in room.newest_feedback("cleo")
    assert len(list((tmp_path / "ben" / "unet" / "feedback").iterdir())) == 2
    assert late(room, "ben") > 0


def total(page: str) -> str:
    """The points of the whole notebook on a page of feedback."""
    return re.search(r"\(Score: ([\d.]+ / [\d.]+)\)", page)[1]


def late(room: Room, who: str) -> float:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{room.course / 'gradebook.db'}") as book:
        return book.find_submission("unet", who).total_seconds_late


def test_mistakes_of_a_class_are_answered_as_the_page_says(tmp_path):
    room = Room(tmp_path)
    room.run("nbgrader generate_assignment unet")
    room.run("nbgrader release_assignment unet")
    room.run("nbgrader fetch_assignment unet", "anna")
    code, said = room.try_run("nbgrader fetch_assignment unet", "anna")
    assert code
    assert "You already have a copy of the assignment" in said
    home = tmp_path / "anna" / "unet"
    (home / NAME).rename(home / "mine.ipynb")
    said = room.run("nbgrader submit unet", "anna")
    assert all(word in said for word in ("Possible missing notebooks", "MISSING", "EXTRA"))
    room.run("nbgrader collect unet")
    code, said = room.try_run("nbgrader autograde unet --create")
    assert code
    assert all(word in said for word in ("Skipping unknown notebook", "No notebooks found"))
    assert "Submission already exists" in room.run("nbgrader collect unet")
    # Without the learner's config the command looks in another place.
    (tmp_path / "etc" / "nbgrader_config.py").unlink()
    code, said = room.try_run("nbgrader submit unet", "anna")
    assert code
    assert "Unwritable directory, please contact your instructor" in said
    assert "Unwritable directory" in PAGE


def test_every_command_that_repeats_says_so():
    """From the second collection on each command has its word."""
    again = COMMANDS[[index for index, line in enumerate(COMMANDS) if line.startswith("nbgrader submit")][1] + 1 :]
    assert "nbgrader collect unet --update" in again
    assert {"nbgrader autograde unet --force", "nbgrader generate_feedback unet --force"} <= set(again)
