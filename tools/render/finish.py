"""The files of the sample, made from drawn pixels: photos, masks, part labels, table of cars and contact sheet."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_fill_holes

from .mesh import Array
from .params import HEIGHT, VIEWS, WIDTH, CarSpec, mask_name, parts_name, photo_name

SHEET_VIEWS = (3, 8, 13)  # each car shows one of them
SHEET_COLUMNS = 6
# Colours of the part labels that colour-blind people can tell apart (Okabe and Ito).
COLOURS = ((0, 0, 0), (0, 114, 178), (86, 180, 233), (230, 159, 0), (240, 228, 66))

DESCRIPTION = """\
# The photos of the rendered cars, with a label for each part of the car.
photos = '../train'
masks = '{name}_parts.png'
group = '([0-9a-f]{12})_'
classes = ['background', 'body', 'glass', 'wheel', 'light']
"""


def developed(photo: Array, spec: CarSpec, view: int) -> Array:
    """The photo, uint8 (H, W, 3), with sensor noise added.

    Bright parts get more noise. Most of it is grey, a little is coloured. The same car and view get the same noise.
    """
    random = np.random.default_rng([int(spec.car, 16) & 0xFFFFFFFF, view])
    value = photo.astype(np.float32)
    strength = spec.noise * (0.55 + 0.45 * np.sqrt(value.mean(2, keepdims=True) / 255.0))
    grain = random.standard_normal(value.shape[:2] + (1,)) + 0.35 * random.standard_normal(value.shape)
    return np.clip(np.rint(value + strength * grain), 0, 255).astype(np.uint8)


def mask_image(coverage: Array) -> Image.Image:
    """The mask as a palette image: 0 (black) is background, 1 (white) is car.

    Args:
        coverage: (H, W), the car's share of each pixel, in [0, 1]. More than one half is car.
    """
    image = Image.fromarray((coverage > 0.5).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    return image


def parts_image(shares: Array, mask: Array) -> Image.Image:
    """The part labels as a palette image: 0 background, 1 body, 2 glass, 3 wheel, 4 light.

    Each pixel of the mask gets the part that covers most of it (body, should no part cover it), every other pixel 0. So
    the parts together are the mask, to the pixel. Body seen between the spokes of a wheel counts as wheel.

    Args:
        shares: (H, W, 4), how much of a pixel body, glass, wheels and lights cover.
        mask: (H, W), not 0 where the car is.
    """
    labels = np.where(mask > 0, shares.argmax(-1) + 1, 0)
    labels[(labels == 1) & binary_fill_holes(labels == 3)] = 3
    image = Image.fromarray(labels.astype(np.uint8), "P")
    image.putpalette([value for colour in COLOURS for value in colour])
    return image


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a temporary file beside `path`, then rename it: nobody ever finds a partial file at `path`."""
    temporary = path.with_name(f".{path.name}.part{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def paths(out: Path, car: str, view: int) -> tuple[Path, Path, Path]:
    """Paths of a view's photo, mask and part labels."""
    folders = out / "train", out / "train_masks", out / "parts"
    return folders[0] / photo_name(car, view), folders[1] / mask_name(car, view), folders[2] / parts_name(car, view)


def photographed(out: Path, car: str) -> bool:
    """Whether all photos and masks of the car exist."""
    return all(path.is_file() for view in range(1, VIEWS + 1) for path in paths(out, car, view)[:2])


def complete(out: Path, car: str) -> bool:
    """Whether all photos, masks and part labels of the car exist."""
    return all(path.is_file() for view in range(1, VIEWS + 1) for path in paths(out, car, view))


def save_view(out: Path, spec: CarSpec, view: int, photo: Array, coverage: Array) -> None:
    """Write one view's photo, uint8 (H, W, 3), and its mask; `coverage` is as in `mask_image`."""
    photo_path, mask_path, _ = paths(out, spec.car, view)
    for path in (photo_path, mask_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(developed(photo, spec, view))
    write_whole(photo_path, lambda path: image.save(path, quality=spec.quality, optimize=True))
    write_whole(mask_path, lambda path: mask_image(coverage).save(path, optimize=False))


def save_parts(out: Path, car: str, view: int, shares: Array, masks: Path) -> None:
    """Write one view's part labels; `shares` is as in `parts_image`, `masks` the sample whose mask they must fit."""
    with Image.open(paths(masks, car, view)[1]) as mask:
        image = parts_image(shares, np.asarray(mask))
    path = paths(out, car, view)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda path: image.save(path, optimize=True))


def move_car(folder: Path, out: Path, car: str, photos: bool = True) -> None:
    """Move a car's part labels, and its `photos` and masks, from `folder` to `out`, which must be on the same disk."""
    kinds = slice(None) if photos else slice(2, None)
    for view in range(1, VIEWS + 1):
        for source, target in zip(paths(folder, car, view)[kinds], paths(out, car, view)[kinds], strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)


def foreground(out: Path, car: str) -> float:
    """The share of a photo that the car covers: the mean over its views, in [0, 1]."""
    shares = []
    for view in range(1, VIEWS + 1):
        with Image.open(paths(out, car, view)[1]) as mask:
            shares.append(float((np.asarray(mask) > 0).mean()))
    return float(np.mean(shares))


def split_of(fold: int) -> str:
    """Name of the split to which a fold belongs."""
    return {0: "test", 1: "validation"}.get(fold, "training")


def table_row(out: Path, spec: CarSpec) -> dict[str, object]:
    """What metadata.csv says about a complete car."""
    return {
        "car": spec.car,
        "fold": spec.fold,
        "split": split_of(spec.fold),
        "style": spec.style,
        "colour": spec.colour,
        **{f"{name}_m": f"{getattr(spec, name):.2f}" for name in ("length", "width", "height")},
        "wheels": spec.rim,
        "aerial": spec.aerial,
        "roof_rails": int(spec.roof_rails),
        "foreground": f"{foreground(out, spec.car):.4f}",
    }


def write_table(out: Path, specs: Sequence[CarSpec]) -> None:
    """Write metadata.csv: one line for each complete car, of which there is at least one."""
    rows = [table_row(out, spec) for spec in specs if complete(out, spec.car)]

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, rows[0], lineterminator="\n")
            table.writeheader()
            table.writerows(rows)

    write_whole(out / "metadata.csv", write)


def write_description(out: Path) -> None:
    """Write parts/dataset.toml: which photo the part labels belong to, and what they mean."""
    write_whole(out / "parts" / "dataset.toml", lambda path: path.write_text(DESCRIPTION, encoding="utf-8"))


def write_sheet(out: Path, specs: Sequence[CarSpec], path: Path) -> None:
    """Write the contact sheet: one photo of every complete car."""
    cars = [spec for spec in specs if complete(out, spec.car)]
    wide, high = WIDTH // 2, HEIGHT // 2
    rows = -(-len(cars) // SHEET_COLUMNS)
    sheet = Image.new("RGB", (SHEET_COLUMNS * wide, max(rows, 1) * high), "white")
    for number, spec in enumerate(cars):
        # Neighbours in a row and in a column show different views.
        view = SHEET_VIEWS[(number + number // SHEET_COLUMNS) % len(SHEET_VIEWS)]
        with Image.open(paths(out, spec.car, view)[0]) as photo:
            small = photo.resize((wide, high), Image.Resampling.LANCZOS)
        sheet.paste(small, (number % SHEET_COLUMNS * wide, number // SHEET_COLUMNS * high))
    write_whole(path, lambda target: sheet.save(target, quality=86, optimize=True))
