"""The first cell of every notebook runs this file: install what is missing, say what this machine has.

At the start it may use the standard library only. No package that is there changes, because Colab and Kaggle have
imported some of them already, and asking for another PyTorch would fetch gigabytes.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from ..base.errors import CarvanaError

PROJECT = Path(__file__).resolve().parents[2]
_NO_INTERNET = "is there a connection? On Kaggle: Settings > Turn on internet (it asks for a phone number once)"
_GPU = {
    "COLAB_RELEASE_TAG": " (for a GPU: Runtime > Change runtime type > T4 GPU)",
    "KAGGLE_KERNEL_RUN_TYPE": " (for a GPU: Settings > Accelerator > GPU T4 x2)",
}


def set_up() -> None:
    """Install the packages that are missing, then print one line: versions, device, photos.

    Raises CarvanaError if a package that every notebook needs cannot be installed.
    """
    remarks = []
    project = _project()
    version = project["version"] if project else metadata.version("carvana-unet")
    if project:
        missing, remarks = needs(project["dependencies"])
        if missing and (fault := install(*missing)):
            raise CarvanaError(f"{' and '.join(missing)} cannot be installed ({fault}): {_NO_INTERNET}")
        # The command `carvana`, and the library for the processes that a notebook starts.
        if needs([f"{project['name']}>=0"])[0] and install("--no-deps", "--editable", str(PROJECT)):
            os.environ["PYTHONPATH"] = str(PROJECT)
            remarks.append("Without the command `carvana`: write `python -m carvana_lib`")
    print(". ".join([summary(version), *remarks]))


def add_packages(extra: str) -> None:
    """Install those packages of an optional part of the project, such as "onnx", that are missing, or say why not.

    It prints nothing if all are there. An installed library brings no list of them: then nothing happens. An `extra`
    that pyproject.toml does not name raises a KeyError.
    """
    if project := _project():
        missing, remarks = needs(project["optional-dependencies"][extra])
        if missing and (fault := install(*missing)):
            remarks.append(f"Without {' and '.join(missing)} ({fault}): {_NO_INTERNET}")
        print(*remarks, sep="\n", end="\n" if remarks else "")


def _project() -> dict | None:
    """What pyproject.toml says of the project; None for an installed library, which came with its packages."""
    file = PROJECT / "pyproject.toml"
    return tomllib.loads(file.read_text(encoding="utf-8"))["project"] if file.is_file() else None


def needs(requirements: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of "name>=version": those that are not installed, and a remark about each that is older."""
    missing, old = [], []
    for requirement in requirements:
        name, floor = requirement.split(">=")
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(requirement)
        else:
            if _numbers(there) < _numbers(floor):
                old.append(f"{name} {there} is older than {floor}, the oldest that was tested")
    return missing, old


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part]


def install(*what: str) -> str | None:
    """Install packages beside those that are there, which keep their versions; returns pip's last line if it fails."""
    there: dict[str, str] = {}
    for package in metadata.distributions():
        # Of a package that is there twice the first is imported.
        there.setdefault(re.sub(r"[-_.]+", "-", package.metadata["Name"] or "").lower(), package.version)
    with tempfile.TemporaryDirectory() as folder:
        keep = Path(folder) / "keep.txt"
        keep.write_text("".join(f"{name}=={version}\n" for name, version in there.items() if name))
        command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", keep]
        done = subprocess.run([*command, *what], capture_output=True, text=True)
    importlib.invalidate_caches()
    return (done.stderr.strip().splitlines() or ["pip failed"])[-1] if done.returncode else None


def summary(version: str) -> str:
    """Versions, device and photos in one line."""
    import torch

    from ..base.devices import best_device
    from ..data import find_data, list_pairs

    kind = best_device().type
    device = torch.cuda.get_device_name() if kind == "cuda" else {"cpu": "the CPU", "mps": "Apple's GPU"}[kind]
    hint = next((text for name, text in _GPU.items() if name in os.environ), "") if kind == "cpu" else ""
    try:
        folder = find_data(quiet=True)
        photos = "the rendered photos of data/sample" if folder.name == "sample" else f"the photos of {folder}"
        if list_pairs(folder)[0].group:
            cure = "clear $CARVANA_DATA, or go to notebook 11"
            photos += f". They are not Carvana's, and notebooks 01 to 10 need its cars: {cure}"
    except CarvanaError as error:
        photos = f"no photos: {error}"
    return f"Ready: carvana-unet {version} with PyTorch {torch.__version__} on {device}{hint}, {photos}"
