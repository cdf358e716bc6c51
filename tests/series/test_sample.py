"""The bundled sample keeps the data contract."""

import csv
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carvana_lib.data import find_data, list_pairs
from carvana_lib.prepare.doctor import check_data

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
# From behind, the bumper hides the wheels of these cars.
HIDDEN_WHEELS = ("1b26777b2786", "6bd3ee1377a5", "a19fcb420eba", "a468b5943e58", "e8c9fe3e96a1")


@pytest.fixture(scope="module")
def pairs():
    return list_pairs(SAMPLE)


def test_the_doctor_finds_nothing_wrong():
    assert check_data(SAMPLE, progress=False)[1] == []


def test_every_car_has_sixteen_views_of_480x320(pairs):
    views = {}
    for pair in pairs:
        views.setdefault(pair.car, []).append(pair.view)
        for file in (pair.photo, pair.mask):
            with Image.open(file) as image:
                assert image.size == (480, 320)
    assert len(views) >= 24
    assert all(found == list(range(1, 17)) for found in views.values())


def test_test_and_validation_cars_are_there(pairs):
    cars = {pair.car: pair.fold for pair in pairs}
    assert list(cars.values()).count(0) >= 2
    assert list(cars.values()).count(1) >= 2


def test_the_table_describes_the_cars(pairs):
    rows = list(csv.DictReader((SAMPLE / "metadata.csv").read_text().splitlines()))
    assert {row["car"]: int(row["fold"]) for row in rows} == {pair.car: pair.fold for pair in pairs}
    assert len({row["style"] for row in rows}) >= 6
    for row in rows:
        assert row["split"] == {"0": "test", "1": "validation"}.get(row["fold"], "training")


def test_the_sample_is_small():
    assert sum(file.stat().st_size for file in SAMPLE.rglob("*") if file.is_file()) < 12_000_000


def test_the_parts_of_a_car_are_its_mask(pairs):
    files = {SAMPLE / "parts" / f"{pair.name}_parts.png" for pair in pairs}
    assert set((SAMPLE / "parts").iterdir()) == files | {SAMPLE / "parts" / "dataset.toml"}
    pixels, without = np.zeros(5), set()
    for pair in pairs:
        with Image.open(SAMPLE / "parts" / f"{pair.name}_parts.png") as image, Image.open(pair.mask) as mask:
            assert image.mode == "P"
            labels = np.asarray(image)
            assert np.array_equal(labels > 0, np.asarray(mask.convert("L")) > 0), pair.name
        here = np.bincount(labels.ravel(), minlength=5)
        assert len(here) == 5, f"{pair.name} has other values"
        assert here[[0, 1, 2, 4]].min() > 0, pair.name
        without |= set() if here[3] else {pair.name}
        pixels += here
    assert without == {f"{car}_09" for car in HIDDEN_WHEELS}
    assert pixels[1:] / pixels[1:].sum() == pytest.approx([0.7194, 0.1565, 0.1008, 0.0233], abs=1e-4)


def test_parts_lie_where_they_are_on_a_car(pairs):
    """Wheels are low, glass is high; from the left and from the right there are two wheels."""
    for pair in pairs:
        with Image.open(SAMPLE / "parts" / f"{pair.name}_parts.png") as image:
            labels = np.asarray(image)
        row = {part: np.nonzero(labels == part)[0].mean() for part in (1, 2, 3) if (labels == part).any()}
        assert row[2] < row[1] < row.get(3, 320), pair.name
        if pair.view in (5, 13):
            columns = np.unique(np.nonzero(labels == 3)[1])
            assert np.count_nonzero(np.diff(columns) > 30) == 1, pair.name


def test_the_parts_say_what_they_are(pairs):
    described = tomllib.loads((SAMPLE / "parts" / "dataset.toml").read_text(encoding="utf-8"))
    assert described["classes"] == ["background", "body", "glass", "wheel", "light"]
    photos = {path.resolve() for path in (SAMPLE / "parts" / described["photos"]).iterdir()}
    assert photos == {pair.photo.resolve() for pair in pairs}
    for pair in pairs:
        assert (SAMPLE / "parts" / described["masks"].format(name=pair.name)).is_file()
        assert re.search(described["group"], pair.photo.name)[1] == pair.car


def test_cars_fill_as_much_of_the_photo_as_real_ones(pairs):
    shares = []
    for pair in pairs:
        with Image.open(pair.mask) as mask:
            background, *_ = mask.convert("L").histogram()
            shares.append(1 - background / (480 * 320))
    # Carvana's: 8.8 % to 41.0 %, 21.1 % on average.
    assert min(shares) > 0.06
    assert max(shares) < 0.45
    assert 0.17 < sum(shares) / len(shares) < 0.27


def test_it_is_found_when_nothing_else_is_there(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("carvana_lib.data.KAGGLE_INPUT", tmp_path / "nothing")
    here = Path(__file__).resolve().parents[2]
    if (here / "data" / "carvana").exists():
        pytest.skip("data/carvana is there and comes first")
    assert find_data() == here / "data" / "sample"
