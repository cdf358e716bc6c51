"""Draw `data/cells`: grey microscope pictures of touching cells, and their labels. Needs numpy, Pillow and scipy only.

python -m tools.render.cells --out data/cells   # the same seed gives the same pixels
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from .finish import write_whole
from .mesh import Array

SIZE = 256
DISHES, FIELDS = 10, 4  # a dish's four fields of view look alike, dishes differ
OFFSET, TOP = 100, 4095  # the camera's value in darkness, and its largest: 12 of the file's 16 bits
SMALLEST = 60  # pixels; less is no cell

DESCRIPTION = r"""# Drawn microscope pictures, 16-bit grey. In a mask 0 is background, and 1, 2, 3, ... are the cells.
photos = 'images'
masks = 'labels/{name}.png'
group = '(dish\d+)_'
classes = ['background', 'cell']
"""


@dataclass(frozen=True)
class Dish:
    """What the pictures of one dish have in common; `dish` counts from 1. Lengths are in pixels."""

    radius: float  # of a middling cell
    crowd: float  # cells for each pixel, times the area of a middling cell
    long: float  # a cell's length over its width
    light: float  # a middling cell's brightness, in camera values
    shade: tuple[float, float, float]  # how unevenly the lamp shines: along x, along y, from the middle outwards
    blur: float
    grain: float  # shot noise: variance over brightness


def dish_of(seed: int, dish: int) -> Dish:
    """The dish with this number."""
    random = np.random.default_rng([seed, dish])
    return Dish(
        radius=float(np.linspace(9.0, 19.0, DISHES)[(3 * dish) % DISHES] + random.uniform(-0.5, 0.5)),
        crowd=random.uniform(0.45, 0.85),
        long=random.uniform(1.0, 1.7),
        light=random.uniform(28, 70),
        shade=tuple(random.uniform((-0.35, -0.35, -0.5), (0.35, 0.35, -0.1)).tolist()),
        blur=random.uniform(0.8, 1.5),
        grain=random.uniform(0.03, 0.05),
    )


def smooth(random: np.random.Generator, sigma: float) -> Array:
    """A random field (SIZE, SIZE) of mean 0 and standard deviation 1, whose details are about `sigma` pixels wide."""
    field = ndimage.gaussian_filter(random.standard_normal((SIZE, SIZE)), sigma, mode="wrap")
    return field / field.std()


def cells_of(random: np.random.Generator, dish: Dish) -> tuple[Array, Array]:
    """The labels (SIZE, SIZE), 0 background and 1 to n cells, and how far out in its cell a pixel is: 0 centre, 1 edge.

    Where two cells would overlap, each pixel belongs to the one in which it is further inside: so they touch.
    """
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    wobble = 0.06 * smooth(random, 5.0)
    nearest, owner = np.full((SIZE, SIZE), np.inf), np.zeros((SIZE, SIZE), int)
    places: list[tuple[float, float, float]] = []
    wanted = dish.crowd * SIZE**2 / (np.pi * dish.radius**2)
    for _ in range(4000):
        if len(places) >= wanted:
            break
        radius = dish.radius * float(np.exp(random.normal(0.0, 0.22)))
        cx, cy = random.uniform(-5, SIZE + 5, 2)
        if places and random.random() < 0.6:  # beside a cell that is there: cells divide
            px, py, other = places[random.integers(len(places))]
            angle = random.uniform(0, 2 * np.pi)
            cx, cy = px + 0.86 * (radius + other) * np.cos(angle), py + 0.86 * (radius + other) * np.sin(angle)
        if any(np.hypot(cx - px, cy - py) < 0.8 * (radius + other) for px, py, other in places):
            continue
        angle, waves = random.uniform(0, np.pi), random.normal(0.0, (0.06, 0.05, 0.03))
        phases = random.uniform(0, 2 * np.pi, 3)
        u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        stretch = np.sqrt(random.uniform(1.0, dish.long))
        around = np.arctan2(v, u)
        edge = radius * (1 + sum(w * np.cos(k * around + p) for k, w, p in zip((2, 3, 5), waves, phases, strict=True)))
        outward = np.hypot(u / stretch, v * stretch) / edge + wobble
        places.append((cx, cy, radius))
        nearer = outward < np.minimum(nearest, 1.0)
        nearest[nearer], owner[nearer] = outward[nearer], len(places)
    labels = np.zeros((SIZE, SIZE), np.uint16)
    for number in range(1, len(places) + 1):
        pieces, _ = ndimage.label(owner == number)
        areas = np.bincount(pieces.ravel())[1:]
        if areas.size and areas.max() >= SMALLEST:
            labels[pieces == areas.argmax() + 1] = labels.max() + 1
    return labels, np.clip(nearest, 0, 1)


def picture_of(random: np.random.Generator, dish: Dish, labels: Array, outward: Array) -> Array:
    """The camera's picture of the cells, uint16 (SIZE, SIZE)."""
    count = int(labels.max())
    depth = np.zeros((SIZE, SIZE))  # distance to the cell's own edge
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        depth[box] += ndimage.distance_transform_edt(np.pad(labels[box] == number, 1))[1:-1, 1:-1]
    bright = np.append(0.0, np.exp(random.normal(0.0, 0.38, count)))[labels]
    body = 0.62 + 0.38 * np.sqrt(1 - outward**2) + 0.10 * smooth(random, 1.6)
    nucleus = 0.40 / (1 + np.exp((outward - 0.42 + 0.05 * smooth(random, 4.0)) / 0.04))
    rim = 1 - 0.45 * np.exp(-np.maximum(depth - 1, 0) / 1.2)
    cells = np.where(labels > 0, bright * (body + nucleus) * rim, 0.0)
    y, x = np.mgrid[:SIZE, :SIZE] / (SIZE - 1) * 2 - 1
    medium = 0.34 + 0.10 * smooth(random, 22.0) + 0.03 * smooth(random, 6.0)
    for _ in range(random.integers(2, 9)):  # debris: small, bright or out of focus, and no cell
        px, py, wide = *random.uniform(-1, 1, 2), random.uniform(0.008, 0.05)
        medium += random.uniform(0.2, 0.6) * (0.012 / wide) * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * wide**2))
    along, down, out = dish.shade
    lamp = 1 + along * x + down * y + out * (x**2 + y**2) / 2
    signal = dish.light * lamp * ndimage.gaussian_filter(cells + medium, dish.blur)
    noise = np.sqrt(0.8 + dish.grain * signal) * random.standard_normal(signal.shape)
    return np.clip(np.rint(OFFSET + signal + noise), 0, TOP).astype(np.uint16)


def draw(seed: int, dish: int, field: int) -> tuple[Array, Array]:
    """A dish's field of view, both counted from 1: the picture and its labels, each uint16 (SIZE, SIZE)."""
    random = np.random.default_rng([seed, dish, field])
    looks = dish_of(seed, dish)
    labels, outward = cells_of(random, looks)
    return picture_of(random, looks, labels, outward), labels


def main(argv: Sequence[str] | None = None) -> int:
    """Write all pictures, their labels and `dataset.toml`; returns the exit status."""
    made = argparse.ArgumentParser(description="Draw microscope pictures of touching cells, with labels.")
    made.add_argument("--out", type=Path, default=Path("data/cells"), help="folder to write to (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="the same seed gives the same pixels (%(default)s)")
    args = made.parse_args(argv)
    for folder in ("images", "labels"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    (args.out / "dataset.toml").write_text(DESCRIPTION, encoding="utf-8")
    for dish in range(1, DISHES + 1):
        for field in range(1, FIELDS + 1):
            name = f"dish{dish:02d}_field{field}"
            picture, labels = (Image.fromarray(array) for array in draw(args.seed, dish, field))
            write_whole(
                args.out / "images" / f"{name}.tif",
                lambda path, picture=picture: picture.save(path, compression="tiff_adobe_deflate", tiffinfo={317: 2}),
            )
            write_whole(
                args.out / "labels" / f"{name}.png", lambda path, labels=labels: labels.save(path, optimize=True)
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
