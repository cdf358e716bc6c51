"""Run the project on what Colab and Kaggle have installed, and on the oldest packages it allows: `make platforms`.

    python -m benchmarks.platforms                # all three: about 15 GB in build/platforms, half an hour on two cores
    python -m benchmarks.platforms colab          # one of them

Each gets an environment of its own. There the set-up cell runs in an empty folder and fetches the last commit of this
checkout; the packages before and after are compared; all notebooks and the tests run. In Colab's a page of the classic
Notebook also has its slider moved, in Chromium. Python 3.11 to 3.13 have to be found by uv.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from benchmarks.common import command_line, write
from benchmarks.platforms.classic import tuner_follows_slider
from carvana_lib.base.data_folder import KAGGLE_INPUT
from tools import ROOT
from tools.notebooks import set_up_cell

HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "platforms"
TEST_TOOLS = ["pytest", "pytest-timeout", "torchmetrics", "psutil"]
# What runs a notebook; Colab and Kaggle have their own versions of it.
JUPYTER = ["ipykernel", "nbclient", "nbconvert", "nbformat"]
TOOLS = ["tests/widgets", "tests/core/test_devices.py", "tests/core/test_data.py", "tests/prepare/test_set_up.py"]
LIBRARY = [f"tests/{part}" for part in ("cli", "core", "extras", "pictures", "prepare", "run", "widgets")]
SHOWN = ("torch", "torchvision", "numpy", "pillow", "ipywidgets", "ipython", "ipykernel", "filelock")


class Place(NamedTuple):
    """What to install, under which Python, and which tests to run there."""

    python: str
    tests: list[str]
    variable: str = "CARVANA_NOWHERE"  # by which the set-up cell knows the place


PLACES = {
    "colab": Place("3.13", TOOLS, "COLAB_RELEASE_TAG"),
    "kaggle": Place("3.12", TOOLS, "KAGGLE_KERNEL_RUN_TYPE"),
    "lowest": Place("3.11", LIBRARY),
}
# Run in the environment: the set-up cell's line, then all notebooks, with the photos that `find_data` chooses.
SERIES = """
import sys
from pathlib import Path
from carvana_lib.prepare.set_up import set_up
set_up()
sys.path.insert(0, "notebooks")
import run
for path in sorted(Path("notebooks").glob("[01]*.ipynb")):
    run.run_copy(path)
    print("passed", path.name, flush=True)
"""
# Kaggle's folder of the competition, which may be read only. The mount is seen by this command alone.
MOUNT = 'mkdir -p "$1" && mount --bind "$0" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -c "$3"'


def main() -> int:
    parser = command_line(__doc__, "platforms.json")
    parser.add_argument("places", nargs="*", default=list(PLACES), help="colab, kaggle, lowest (default: all)")
    options = parser.parse_args()
    results = json.loads(options.json.read_text()) if options.json.exists() else {}
    results.pop("machine", None)
    for name in options.places:
        print(f"{name}:", flush=True)
        results[name] = check(name, PLACES[name])
        write(options.json, results)
    return int(any(results[name]["faults"] for name in options.places))


def check(name: str, place: Place) -> dict[str, object]:
    """Build the environment, and use the project in it as a learner does."""
    folder = BUILD / name
    shutil.rmtree(folder, ignore_errors=True)
    home, project = folder / "home", folder / "home" / "carvana-unet"
    home.mkdir(parents=True)
    python = make_environment(folder / "env", name, place)
    before = packages(python)
    began = time.perf_counter()
    done = run([python, "-c", set_up_cell()], home, {place.variable: "1", "CARVANA_REPOSITORY": f"file://{ROOT}"})
    seconds, after = time.perf_counter() - began, packages(python)
    result = {
        "python": before.pop("python"),
        "packages": {package: before[package] for package in SHOWN if package in before},
        "set_up": {
            "says": done.stdout.strip(),
            "seconds": round(seconds, 1),
            "changed": {p: [v, after.get(p)] for p, v in before.items() if after.get(p) != v},
            "added": {p: v for p, v in after.items() if p not in before and p != "python"},
        },
    }
    faults = [f"set-up cell: {done.stderr[-1000:]}"] if done.returncode else []
    faults += [f"set-up cell: {package} changed" for package in result["set_up"]["changed"]]
    if name == "kaggle":
        result["competition"], more = competition(python, project, folder)
        faults += more
    if name == "colab":
        fault = tuner_follows_slider(python, project)
        result["classic_notebook"] = fault or "the tuner's slider moves picture, scores and number field"
        faults += [f"classic Notebook: {fault}"] if fault else []
    done = run([python, "notebooks/run.py", "--out", folder / "pages"], project)
    result["notebooks"] = len(re.findall(r"^\[\d+/\d+\] .* \d+ s, .* GB$", done.stdout, re.MULTILINE))
    faults += [f"notebooks: {done.stdout[-1500:]}{done.stderr[-500:]}"] if done.returncode else []
    report = folder / "tests.xml"
    done = run([python, "-m", "pytest", f"--junitxml={report}", "-p", "no:cacheprovider", *place.tests], project)
    suite = ElementTree.parse(report).getroot()[0].attrib
    result["tests"] = {key: int(suite[key]) for key in ("tests", "failures", "errors", "skipped")}
    faults += [f"tests: {line}" for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    print(json.dumps(result, indent=1), *faults, sep="\n", flush=True)
    return {**result, "faults": faults}


def make_environment(folder: Path, name: str, place: Place) -> Path:
    """A new environment with pip; returns its Python."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--seed", "--python", place.python, folder], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
    if name == "lowest":
        oldest = ["--resolution", "lowest-direct", ROOT / "pyproject.toml", "--extra", "onnx"]
        listed = subprocess.run(
            [*uv, "pip", "compile", "--quiet", "--python", python, "--no-header", *oldest],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        (folder / "oldest.txt").write_text(listed.stdout)
        subprocess.run([*install, "-r", folder / "oldest.txt", *JUPYTER, *TEST_TOOLS], check=True)
    else:
        subprocess.run([*install, "-r", HERE / f"{name}.txt", *TEST_TOOLS], check=True)
    return python


def packages(python: Path) -> dict[str, str]:
    """Name and version of all packages, and of Python itself."""
    script = (
        "import json, platform, re; from importlib.metadata import distributions; print(json.dumps({'python': "
        "platform.python_version()} | {re.sub('[-_.]+', '-', d.name).lower(): d.version for d in distributions()}))"
    )
    return json.loads(subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout)


def competition(python: Path, project: Path, folder: Path) -> tuple[dict[str, object], list[str]]:
    """All notebooks as on Kaggle with the competition's data attached, packed and unpacked; needs root on Linux."""
    packed, unpacked = folder / "packed", folder / "unpacked"
    packed.mkdir(parents=True)
    for part in ("train", "train_masks"):
        (packed / f"{part}.zip").touch()
        shutil.copytree(ROOT / "data" / "sample" / part, unpacked / part)
    found, faults, made = {}, [], not KAGGLE_INPUT.exists()
    for place in (packed, unpacked):
        done = run(["unshare", "--mount", "sh", "-c", MOUNT, place, KAGGLE_INPUT, python, SERIES], project)
        passed = done.stdout.count("\npassed ")
        found[place.name] = {"says": done.stdout.split("\npassed ")[0].strip(), "notebooks": passed}
        faults += [f"{place.name} competition: {done.stderr[-1000:]}"] if done.returncode else []
    if made and KAGGLE_INPUT.exists():
        os.removedirs(KAGGLE_INPUT)  # the place of the mount, which is empty outside it
    return found, faults


def run(command: list[str | Path], folder: Path, more: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    """Run without this checkout in sight: only what the environment has counts."""
    hidden = ("PYTHONPATH", "CARVANA_DATA", "CARVANA_REPOSITORY", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    return subprocess.run(command, cwd=folder, env=environment | (more or {}), capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
