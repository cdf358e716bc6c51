"""The first cell of every notebook: it installs only what is missing, changes nothing, and says what is here."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from carvana_lib.base.errors import CarvanaError
from carvana_lib.prepare import set_up
from tools.notebooks import set_up_cell

ROOT = Path(__file__).parents[2]
PYPROJECT = """
[project]
name = "carvana-unet"
version = "7.8"
dependencies = ["torch>={torch}", "no-such-a>=2.0"]
optional-dependencies.onnx = ["no-such-b>=1"]
"""


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A project that needs two packages that nobody has; what pip is asked for, and what it must keep.

    `calls.answer` is what pip answers: return code and stderr.
    """

    class Calls(list):
        answer = (0, "")

    calls = Calls()

    def run(command, **_):
        kept = Path(command[command.index("-c") + 1]).read_text().splitlines()
        calls.append((command[:4], command[command.index("-c") + 2 :], kept))
        return subprocess.CompletedProcess(command, calls.answer[0], "", calls.answer[1])

    monkeypatch.setattr(set_up, "PROJECT", tmp_path)
    monkeypatch.setattr(set_up.subprocess, "run", run)
    for name in ("COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE", "PYTHONPATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("CARVANA_DATA", str(ROOT / "data" / "sample"))
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.format(torch="2.0"))
    return calls


def test_only_what_is_missing_is_installed_and_everything_else_is_kept(calls, capsys):
    set_up.set_up()
    line = capsys.readouterr().out
    set_up.add_packages("onnx")
    assert capsys.readouterr().out == ""
    assert [asked for _, asked, _ in calls] == [["no-such-a>=2.0"], ["no-such-b>=1"]]
    for command, _, kept in calls:
        assert command == [sys.executable, "-m", "pip", "install"]
        for name in ("torch", "numpy", "ipywidgets"):
            assert f"{name}=={metadata.version(name)}" in kept
    assert line.count("\n") == 1
    assert line.startswith(f"Ready: carvana-unet 7.8 with PyTorch {torch.__version__} on ")
    assert line.endswith(", the rendered photos of data/sample\n")


def test_an_older_package_stays_and_is_named(calls, tmp_path, capsys):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.format(torch="99.1"))
    set_up.set_up()
    assert all("torch" not in asked[0] for _, asked, _ in calls)
    assert (
        f". torch {metadata.version('torch')} is older than 99.1, the oldest that was tested" in capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("there", "floor", "older"), [("2.11.0+cu128", "2.6", False), ("2.9", "2.10", True), ("10.4.0", "11", True)]
)
def test_versions_are_compared_by_number(monkeypatch, there, floor, older):
    monkeypatch.setattr(set_up.metadata, "version", lambda name: there)
    assert bool(set_up.needs([f"torch>={floor}"])[1]) == older


def test_without_a_connection_it_says_where_to_switch_it_on(calls, tmp_path):
    calls.answer = (1, "WARNING: retrying\nERROR: No matching distribution found for no-such-a>=2.0\n")
    message = r"no-such-a>=2.0 cannot be installed \(ERROR: No matching .*\): .* On Kaggle: Settings > Turn on internet"
    with pytest.raises(CarvanaError, match=message):
        set_up.set_up()


def test_what_only_one_notebook_needs_is_not_fetched_by_the_others_and_may_be_missing(calls, tmp_path, capsys):
    pyproject = PYPROJECT.format(torch="2.0").replace(', "no-such-a>=2.0"', "")
    (tmp_path / "pyproject.toml").write_text(pyproject)
    set_up.set_up()
    assert calls == []
    capsys.readouterr()
    calls.answer = (1, "ERROR: conflict\n")
    set_up.add_packages("onnx")
    assert capsys.readouterr().out.startswith(
        "Without no-such-b>=1 (ERROR: conflict): is there a connection? On Kaggle"
    )
    (tmp_path / "pyproject.toml").write_text(pyproject.replace("no-such-b>=1", "numpy>=99"))
    set_up.add_packages("onnx")
    assert (
        capsys.readouterr().out == f"numpy {metadata.version('numpy')} is older than 99, the oldest that was tested\n"
    )
    (tmp_path / "pyproject.toml").unlink()
    set_up.add_packages("onnx")
    assert capsys.readouterr().out == ""
    assert len(calls) == 1


def test_a_project_that_is_not_installed_gets_its_command_or_a_word(calls, tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT.format(torch="2.0").replace("carvana-unet", "no-such-c"))
    set_up.set_up()
    assert calls[-1][1] == ["--no-deps", "--editable", str(tmp_path)]
    assert "PYTHONPATH" not in os.environ
    monkeypatch.setattr(set_up, "install", lambda *what: "ERROR" if "--editable" in what else None)
    set_up.set_up()
    assert os.environ["PYTHONPATH"] == str(tmp_path)
    assert "Without the command `carvana`: write `python -m carvana_lib`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("COLAB_RELEASE_TAG", "for a GPU: Runtime > Change runtime type"),
        ("KAGGLE_KERNEL_RUN_TYPE", "for a GPU: Settings > Accelerator"),
    ],
)
def test_where_a_gpu_is_to_be_had_it_says_how(calls, monkeypatch, variable, hint):
    monkeypatch.setattr("carvana_lib.base.devices.best_device", lambda: torch.device("cpu"))
    assert "for a GPU" not in set_up.summary("1")
    monkeypatch.setenv(variable, "x")
    assert f"on the CPU ({hint}" in set_up.summary("1")
    monkeypatch.setattr("carvana_lib.base.devices.best_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    assert " on Tesla T4, the" in set_up.summary("1")


def test_other_photos_are_named(calls, carvana, monkeypatch):
    monkeypatch.setenv("CARVANA_DATA", str(carvana))
    assert set_up.summary("1").endswith(f", the photos of {carvana}")
    monkeypatch.setenv("CARVANA_DATA", str(carvana / "gone"))
    assert f", no photos: no folder {carvana / 'gone'}" in set_up.summary("1")


def run_cell(folder: Path, repository: Path) -> subprocess.CompletedProcess:
    """Run the set-up cell in `folder` as where the library is not installed."""
    hide = "import importlib.util as u; u.find_spec = lambda name: None; "
    environment = {**os.environ, "CARVANA_REPOSITORY": str(repository)}
    command = [sys.executable, "-c", f"{hide}exec({set_up_cell()!r})"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_cell_fetches_the_project_once(tmp_path):
    """From a small repository, which says where it runs and how often it was fetched."""
    repository, home = tmp_path / "repository", tmp_path / "home"
    (repository / "carvana_lib" / "prepare").mkdir(parents=True)
    home.mkdir()
    for name in ("carvana_lib", "carvana_lib/prepare"):
        (repository / name / "__init__.py").touch()
    (repository / "carvana_lib" / "prepare" / "set_up.py").write_text("def set_up(): print(__file__)\n")
    git = ["git", "-C", str(repository), "-c", "user.name=A", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    for place, where in ((home, home / "carvana-unet"), (home, home / "carvana-unet")):
        done = run_cell(place, repository)
        assert done.returncode == 0, done.stderr
        assert Path(done.stdout.strip()) == where / "carvana_lib" / "prepare" / "set_up.py"
    # In a checkout, beside the notebooks and in the folder of exercises, nothing is fetched.
    for below in ("notebooks", "notebooks/exercises"):
        (repository / below).mkdir()
        done = run_cell(repository / below, tmp_path / "nowhere")
        assert Path(done.stdout.strip()) == repository / "carvana_lib" / "prepare" / "set_up.py"


def test_a_project_that_cannot_be_fetched_gets_a_sentence(tmp_path):
    done = run_cell(tmp_path, tmp_path / "nowhere")
    assert done.stderr.splitlines()[-1].startswith(f"OSError: {tmp_path / 'nowhere'} cannot be fetched: is there a")
    assert "On Kaggle: Settings > Turn on internet" in done.stderr


def test_the_cell_is_short():
    assert len(set_up_cell().splitlines()) <= 12


@pytest.mark.parametrize("own", ["cells", "sample/parts"])
def test_the_first_cell_says_which_notebooks_need_cars(monkeypatch, own):
    monkeypatch.setenv("CARVANA_DATA", str(set_up.PROJECT / "data" / own))
    assert "notebooks 01 to 10 need its cars: clear $CARVANA_DATA, or go to notebook 11" in set_up.summary("1")
