"""From drawn pixels to the files of the sample: sensor noise, JPEG, GIF masks, the table of cars, the contact sheet."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from render_mesh import Array
from render_params import HEIGHT, VIEWS, WIDTH, CarSpec, mask_name, photo_name

SHEET_VIEWS = (3, 8, 13)  # one a car, in turn
SHEET_COLUMNS = 6
COLUMNS = (
    "car",
    "fold",
    "split",
    "style",
    "colour",
    "length_m",
    "width_m",
    "height_m",
    "wheels",
    "aerial",
    "roof_rails",
    "foreground",
)


def developed(photo: Array, spec: CarSpec, view: int) -> Array:
    """The photo, uint8 (H, W, 3), with the noise of a sensor: more in bright parts, a little of it in colour."""
    random = np.random.default_rng([int(spec.car, 16) & 0xFFFFFFFF, view])
    value = photo.astype(np.float32)
    strength = spec.noise * (0.55 + 0.45 * np.sqrt(value.mean(2, keepdims=True) / 255.0))
    grain = random.standard_normal(value.shape[:2] + (1,)) + 0.35 * random.standard_normal(value.shape)
    return np.clip(np.rint(value + strength * grain), 0, 255).astype(np.uint8)


def mask_image(coverage: Array) -> Image.Image:
    """A palette image, 0 (black) background and 1 (white) car, from the car's share of each pixel (H, W)."""
    image = Image.fromarray((coverage > 0.5).astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    return image


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under a temporary name beside `path`, then rename it: it is whole or not there."""
    temporary = path.with_name(f".{path.name}.part{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def paths(out: Path, car: str, view: int) -> tuple[Path, Path]:
    """Where a view's photo and mask lie."""
    return out / "train" / photo_name(car, view), out / "train_masks" / mask_name(car, view)


def complete(out: Path, car: str) -> bool:
    """Whether all the car's photos and masks are there."""
    return all(path.is_file() for view in range(1, VIEWS + 1) for path in paths(out, car, view))


def save_view(out: Path, spec: CarSpec, view: int, photo: Array, coverage: Array) -> None:
    """Write one view's photo and mask."""
    photo_path, mask_path = paths(out, spec.car, view)
    for path in (photo_path, mask_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(developed(photo, spec, view))
    write_whole(photo_path, lambda path: image.save(path, quality=spec.quality, optimize=True))
    write_whole(mask_path, lambda path: mask_image(coverage).save(path, optimize=False))


def move_car(folder: Path, out: Path, car: str) -> None:
    """Move a car's photos and masks from `folder`, on the same disk, to `out`."""
    for view in range(1, VIEWS + 1):
        for source, target in zip(paths(folder, car, view), paths(out, car, view), strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)


def foreground(out: Path, car: str) -> float:
    """The car's share of its photos, mean over the views."""
    shares = []
    for view in range(1, VIEWS + 1):
        with Image.open(paths(out, car, view)[1]) as mask:
            shares.append(float((np.asarray(mask) > 0).mean()))
    return float(np.mean(shares))


def split_of(fold: int) -> str:
    """The split a fold belongs to."""
    return {0: "test", 1: "validation"}.get(fold, "training")


def write_table(out: Path, specs: Sequence[CarSpec]) -> None:
    """metadata.csv: one line for each complete car."""

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            for s in specs:
                if complete(out, s.car):
                    size = [f"{value:.2f}" for value in (s.length, s.width, s.height)]
                    table.writerow(
                        [
                            s.car,
                            s.fold,
                            split_of(s.fold),
                            s.style,
                            s.colour,
                            *size,
                            s.rim,
                            s.aerial,
                            int(s.roof_rails),
                            f"{foreground(out, s.car):.4f}",
                        ]
                    )

    write_whole(out / "metadata.csv", write)


def write_sheet(out: Path, specs: Sequence[CarSpec], path: Path) -> None:
    """A contact sheet: every complete car once, the views in turn."""
    cars = [spec for spec in specs if complete(out, spec.car)]
    wide, high = WIDTH // 2, HEIGHT // 2
    rows = -(-len(cars) // SHEET_COLUMNS)
    sheet = Image.new("RGB", (SHEET_COLUMNS * wide, max(rows, 1) * high), "white")
    for number, spec in enumerate(cars):
        # Steps through the list of views so that neighbours, to the side and below, differ.
        view = SHEET_VIEWS[(number + number // SHEET_COLUMNS) % len(SHEET_VIEWS)]
        with Image.open(paths(out, spec.car, view)[0]) as photo:
            small = photo.resize((wide, high), Image.Resampling.LANCZOS)
        sheet.paste(small, (number % SHEET_COLUMNS * wide, number // SHEET_COLUMNS * high))
    write_whole(path, lambda target: sheet.save(target, quality=86, optimize=True))
