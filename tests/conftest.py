"""Fixtures of all tests."""

from pathlib import Path

import pytest
from helpers import ARGUMENTS, CARS, CHROMIUM, VIEWS, required, tiny, write_pair


@pytest.fixture(autouse=True, scope="session")
def surroundings(tmp_path_factory):
    """A cache of their own for all tests, and the modules of this folder for the processes they start."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", str(Path(__file__).parent))
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
    from carvana_lib.run.fit import fit

    run = tmp_path_factory.mktemp("runs") / "trained"
    fit(tiny(epochs=20), carvana, run, progress=False)
    return run


@pytest.fixture(scope="module")
def browser():
    chromium = required(CHROMIUM, "Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()
