"""Kinds of background that training never draws (`transforms.backdrops`): what does a net do outside the studio?"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np

from carvana_lib.data import CarvanaDataset

DRAWN = 32  # different backgrounds of a kind; photo i gets number i modulo 32


def bricks(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A wall: rows of bricks, each of a slightly different colour, with light mortar."""
    tall = height // int(random.integers(8, 16))
    y, x = np.mgrid[:height, :width]
    row = y // tall
    along = x + row % 2 * tall
    shade = random.uniform(0.7, 1.1, (height, width))[row, along // (2 * tall) % width]
    wall = np.array([150, 80, 60]) * random.uniform(0.6, 1.4, 3) * shade[..., None]
    mortar = (y % tall < max(1, tall // 8)) | (along % (2 * tall) < max(1, tall // 8))
    return np.where(mortar[..., None], 190, wall)


def discs(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Discs of all sizes and colours that cover one another, as leaves or a crowd do."""
    picture = np.empty((height, width, 3))
    picture[:] = random.uniform(0, 255, 3)
    y, x = np.mgrid[:height, :width]
    for _ in range(150):
        radius = height * 0.02 / random.uniform(0.05, 1) ** 0.8
        inside = (x - random.uniform(0, width)) ** 2 + (y - random.uniform(0, height)) ** 2 < radius**2
        picture[inside] = random.uniform(0, 255, 3)
    return picture


def road(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Sky, a line of trees, and asphalt with a white line that runs to the horizon."""
    y, x = np.mgrid[:height, :width] / height
    horizon = random.uniform(0.3, 0.5)
    sky = np.array([120, 165, 220]) + 90 * (y / horizon).clip(0, 1)[..., None]
    picture = np.where((y < horizon)[..., None], sky, 95 + random.normal(0, 12, (height, width, 1)))
    trees = horizon - 0.1 * np.abs(np.sin(x * random.uniform(5, 20)) + np.sin(x * random.uniform(20, 60)))
    picture[(y > trees) & (y < horizon)] = random.uniform([20, 60, 20], [60, 120, 60])
    line = np.abs(x - width / height / 2 - random.uniform(-1, 1) * (y - horizon)) < 0.05 * (y - horizon)
    picture[line & (y > horizon)] = 220
    return picture


def checks(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Two colours in squares."""
    side = height // int(random.integers(5, 20))
    y, x = np.mgrid[:height, :width] // side
    return np.where(((x + y) % 2 == 0)[..., None], *random.uniform(0, 255, (2, 3)))


KINDS: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "bricks": bricks,
    "discs": discs,
    "road": road,
    "checks": checks,
}


def on_background(dataset: CarvanaDataset, kind: str) -> CarvanaDataset:
    """The same cars, cut out by their soft masks, on backgrounds of a kind. The masks stay."""
    random = np.random.default_rng(0)
    drawn = np.stack([KINDS[kind](random, *dataset.size) for _ in range(DRAWN)]).clip(0, 255)
    images, masks = (np.array(part) for part in dataset.arrays)
    for index in range(len(images)):
        share = masks[index, ..., None] / 255
        images[index] = np.rint(images[index] * share + drawn[index % DRAWN] * (1 - share))
    pasted = copy.copy(dataset)
    pasted.arrays, pasted._kept = (images, masks), None
    return pasted
