"""A made-up data set in Kaggle's layout: bright ellipses on a grey wall, drawn when the tests start."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

# The tests' pictures are too small to be worth sharing between threads.
torch.set_num_threads(1)

SIZE = (96, 64)
# The last decimal digit of the number is the fold: three test and validation cars, the rest for training.
CARS = [10, 11, 21, 12, 13, 14, 15, 16]
VIEWS = (1, 2, 3, 4)
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


@pytest.fixture(autouse=True, scope="session")
def cache_in_temporary_folder(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("CARVANA_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.delenv("CARVANA_DATA", raising=False)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def carvana(tmp_path_factory) -> Path:
    """Eight cars with four views each. Not to be changed by a test."""
    root = tmp_path_factory.mktemp("carvana")
    for number in CARS:
        for view in VIEWS:
            write_pair(root, number, view)
    return root


@pytest.fixture
def broken(tmp_path) -> Path:
    """Three cars with one view each, for a test to damage."""
    for number in (10, 11, 12):
        write_pair(tmp_path / "data", number, 1)
    return tmp_path / "data"


@pytest.fixture(scope="session")
def trained(carvana, tmp_path_factory) -> Path:
    """The run folder of a small net trained on `carvana`."""
    from carvana_lib.training import fit

    run = tmp_path_factory.mktemp("runs") / "trained"
    fit(tiny(epochs=20), carvana, run, progress=False)
    return run


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


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium on this machine: .ci/run has to install it")
        pytest.skip("no Chromium on this machine: install it to run the browser tests")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()
