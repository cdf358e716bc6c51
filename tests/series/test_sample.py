"""The bundled sample keeps the data contract."""

import csv
from pathlib import Path

import pytest
from PIL import Image

from carvana_lib.data import find_data, list_pairs
from carvana_lib.prepare.doctor import check_data

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


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
    assert sum(file.stat().st_size for file in SAMPLE.rglob("*") if file.is_file()) < 10_000_000


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
