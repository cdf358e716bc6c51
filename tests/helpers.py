"""What several tests use: a made-up data set in Kaggle's layout (bright ellipses on a grey wall), small trainings."""

import csv
import errno
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from carvana_lib.run.checkpoint import load_checkpoint

# The tests' pictures are too small to be worth sharing between threads.
torch.set_num_threads(1)

SIZE = (96, 64)
# The last decimal digit of the number is the fold: three test and validation cars, the rest for training.
CARS = [10, 11, 21, 12, 13, 14, 15, 16]
VIEWS = (1, 2, 3, 4)
WAIT = 600_000  # milliseconds that a browser test waits for what takes some seconds on two free cores
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
# Chromium talks to nobody but the server on this machine.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def required(program: str | None, name: str) -> str:
    """The path of a program. Without it a test is skipped on a person's machine and fails in CI."""
    if program is None and os.environ.get("CI"):
        pytest.fail(f"no {name} on this machine: .ci/run has to install it")
    if program is None:
        pytest.skip(f"no {name} on this machine: install it to run this test")
    return program


def car_name(number: int) -> str:
    return f"{number:012x}"


def draw(number: int, view: int, size: tuple[int, int] = SIZE) -> tuple[Image.Image, np.ndarray]:
    """Photo and bool mask of one view of one car; the same every time."""
    width, height = size
    generator = np.random.default_rng([number, view])
    y, x = np.mgrid[:height, :width]
    middle = generator.uniform(0.4, 0.6, 2) * (height, width)
    radii = generator.uniform(0.15, 0.35, 2) * (height, width)
    mask = ((y - middle[0]) / radii[0]) ** 2 + ((x - middle[1]) / radii[1]) ** 2 < 1
    photo = np.where(mask[..., None], generator.integers(150, 250, 3), 90) + generator.normal(0, 8, (height, width, 3))
    return Image.fromarray(photo.clip(0, 255).astype(np.uint8)), mask


def write_pair(root: Path, number: int, view: int, size: tuple[int, int] = SIZE, mask_suffix: str = ".gif") -> str:
    photo, mask = draw(number, view, size)
    name = f"{car_name(number)}_{view:02d}"
    for folder in ("train", "train_masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    photo.save(root / "train" / f"{name}.jpg", quality=95)
    Image.fromarray(mask).save(root / "train_masks" / f"{name}_mask{mask_suffix}")
    return name


def tiny(**changes):
    from carvana_lib.config import preset

    settings = {
        "size": (48, 32),
        "base_channels": 4,
        "depth": 2,
        "batch_size": 4,
        "epochs": 2,
        "precision": "float32",
        "learning_rate": 1e-2,
        "ema_decay": 0.9,
    }
    return preset("quick", **{**settings, **changes})


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run)["parts"]["model"]


def read_metrics(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def shrink(mask: Path) -> None:
    Image.new("1", (8, 8)).save(mask)


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def no_locks(monkeypatch, number: int = errno.ENOLCK):
    """From now on files cannot be locked, as on some network disks."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
