"""The drawn microscope pictures: what is in `data/cells`, and that the script draws the same again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from carvana_lib.data import list_pairs
from tools.render import cells

CELLS = Path(__file__).parents[2] / "data" / "cells"


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def touching(labels: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of cells that have neighbouring pixels."""
    pairs = set()
    for a, b in ((labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])):
        meet = (a != b) & (a > 0) & (b > 0)
        pairs |= {(min(pair), max(pair)) for pair in zip(a[meet].tolist(), b[meet].tolist(), strict=True)}
    return pairs


@pytest.fixture(scope="module")
def pairs():
    return list_pairs(CELLS)


@pytest.fixture(scope="module")
def labels(pairs) -> dict[str, np.ndarray]:
    return {pair.name: read(pair.mask) for pair in pairs}


def test_forty_pictures_of_ten_dishes_and_no_other_files(pairs):
    names = [f"dish{dish:02d}_field{field}" for dish in range(1, 11) for field in range(1, 5)]
    assert [pair.name for pair in pairs] == names
    assert [pair.car for pair in pairs] == [name[:6] for name in names]
    files = {path for path in CELLS.rglob("*") if path.is_file()}
    assert files == {path for pair in pairs for path in (pair.photo, pair.mask)} | {CELLS / "dataset.toml"}
    assert sum(path.stat().st_size for path in files) < 2_000_000


def test_every_split_has_dishes(pairs):
    assert sorted({pair.fold for pair in pairs}) == list(range(10))


def test_pictures_are_16_bit_grey_and_use_few_of_the_bits(pairs):
    for pair in pairs:
        for path, kind in ((pair.photo, "TIFF"), (pair.mask, "PNG")):
            with Image.open(path) as image:
                assert (image.format, image.mode, image.size) == (kind, "I;16", (256, 256))
        picture = read(pair.photo)
        assert picture.dtype == np.uint16
        assert picture.min() >= 90
        assert 190 < picture.max() < 460
        assert len(np.unique(picture)) > 60


def test_labels_count_cells_that_are_whole(labels):
    for name, mask in labels.items():
        areas = np.bincount(mask.ravel())
        assert areas.min() >= cells.SMALLEST, name  # no number is left out
        assert 0.3 < 1 - areas[0] / mask.size < 0.75, name
        assert all(ndimage.label(mask == number)[1] == 1 for number in range(1, len(areas))), name


def test_cells_touch_in_every_picture(labels):
    pairs = {name: len(touching(mask)) for name, mask in labels.items()}
    assert min(pairs.values()) >= 18
    assert sum(pairs.values()) == 2703  # of 2912 cells
    # Without their numbers, cells that touch are one.
    assert sum(ndimage.label(mask > 0)[1] for mask in labels.values()) < sum(int(m.max()) for m in labels.values()) / 4


def test_cells_have_several_sizes(labels):
    middling = [np.median(np.bincount(mask.ravel())[1:]) for mask in labels.values()]
    assert max(middling) > 3.5 * min(middling)


def test_cells_are_brighter_than_what_is_around_them(pairs, labels):
    for pair in pairs:
        picture, cell = read(pair.photo).astype(float) - cells.OFFSET, labels[pair.name] > 0
        assert 1.3 < picture[cell].mean() / picture[~cell].mean() < 4, pair.name


@pytest.mark.parametrize(("dish", "field"), [(3, 2), (6, 4)])
def test_the_script_draws_the_same_pixels_again(dish, field):
    picture, mask = cells.draw(0, dish, field)
    name = f"dish{dish:02d}_field{field}"
    assert np.array_equal(mask, read(CELLS / "labels" / f"{name}.png"))
    assert np.array_equal(picture, read(CELLS / "images" / f"{name}.tif"))


def test_another_seed_draws_others():
    assert not np.array_equal(cells.draw(1, 6, 4)[1], read(CELLS / "labels" / "dish06_field4.png"))


def test_the_command_writes_the_layout_of_the_folder(tmp_path, monkeypatch):
    small = np.arange(12, dtype=np.uint16).reshape(3, 4) * 300
    monkeypatch.setattr(cells, "draw", lambda seed, dish, field: (small + dish, small + 100 * seed + field))
    assert cells.main(["--out", str(tmp_path), "--seed", "7"]) == 0
    there, wanted = (
        sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in (tmp_path, CELLS)
    )
    assert there == wanted
    assert (tmp_path / "dataset.toml").read_bytes() == (CELLS / "dataset.toml").read_bytes()
    assert np.array_equal(read(tmp_path / "images" / "dish04_field3.tif"), small + 4)
    assert np.array_equal(read(tmp_path / "labels" / "dish04_field3.png"), small + 703)
