"""Benchmarks of trainings at a tiny size: packs are written and read, and every part gives its numbers."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers import write_pair

from benchmarks.experiments import few_photos
from benchmarks.speed import gpu, pack
from carvana_lib.data import TRAINING_FOLDS, VALIDATION_FOLD, CarvanaDataset, Pair, list_pairs
from carvana_lib.images import read_mask, read_pair


def test_packs_hold_what_the_files_hold(tmp_path):
    for number in (11, 12, 13):
        for view in (1, 2):
            write_pair(tmp_path / "data", number, view)
    pairs = list_pairs(tmp_path / "data")
    pack_one = partial(pack.pack_pair, quality=90)
    size = sum(map(len, pack_one(pairs[0])))
    assert pack.write_packs(pairs, tmp_path / "packs", pack_one, limit=2.5 * size) > 1
    packs = pack.Packs(tmp_path / "packs")
    assert packs.pairs(range(10)) == [Pair(pair.name, Path(pair.name), Path(pair.name)) for pair in pairs]
    dataset = packs.dataset(packs.pairs([VALIDATION_FOLD]), pack.SIZE)
    assert [pair.car for pair in dataset.pairs] == [f"{11:012x}"] * 2
    images, masks = dataset.arrays
    for index, pair in enumerate(list_pairs(tmp_path / "data", [VALIDATION_FOLD])):
        photo, mask = read_pair(pair.photo, pair.mask, pack.SIZE)
        assert np.array_equal(masks[index], mask)
        assert np.abs(images[index].astype(int) - photo).mean() < 4, "WebP loses little"
        assert np.array_equal(dataset.native_mask(index), read_mask(pair.mask))


def test_every_part_gives_its_numbers(tmp_path, monkeypatch):
    for number in (11, 12, 13):
        for view in (1, 2):
            write_pair(tmp_path / "data", number, view)
    pack.write_packs(
        list_pairs(tmp_path / "data", [VALIDATION_FOLD, *TRAINING_FOLDS]),
        tmp_path / "packs",
        partial(pack.pack_pair, quality=60),
        limit=60e6,
    )
    found = tmp_path / "gpu.json"
    command = ["gpu", "--packs", str(tmp_path / "packs"), "--smoke", "--ways", "eager", "--json", str(found)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(gpu, "RECIPES", dict(list(gpu.RECIPES.items())[:2]))
    gpu.main()
    results = json.loads(found.read_text())
    assert set(results["speed"]) == set(gpu.NETS)
    for row in results["speed"].values():
        assert row["usual_photos_per_second"] > 0
        assert row["eager"]["roofline_share"] > 0
    assert results["validation"]["scored_photos"] == 2
    assert results["device"] == {"photos": 2, "pixels": 2 * 96 * 64, "different": 0, "counted_differently": 0}
    assert list(results["goals"]["recipes"]) == list(gpu.RECIPES)
    assert all(0 < row["dice"] <= 1 for row in results["goals"]["recipes"].values())

    # A part that is measured alone leaves the others as they were.
    monkeypatch.setattr(sys, "argv", [*command, "--only", "validation"])
    gpu.main()
    again = json.loads(found.read_text())
    assert again["speed"] == results["speed"]
    assert again["validation"] != results["validation"]


@pytest.mark.parametrize(("name", "start"), [("parts", ""), ("cells", "small")])
def test_a_training_on_few_photos_is_scored_on_others(name, start):
    folder, size = few_photos.SETS[name]
    pairs = list_pairs(few_photos.ROOT / folder)
    train = CarvanaDataset([pair for pair in pairs if pair.fold in TRAINING_FOLDS], size)
    scored = CarvanaDataset([pair for pair in pairs if pair.fold == VALIDATION_FOLD][:2], size)
    few = few_photos.train_on(train, scored, 4, start, draw=0, steps=1)
    assert few == few_photos.train_on(train, scored, 4, start, draw=0, steps=1)
    assert 0 <= few < 1
