"""What is wrong with a data folder, in words."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from .data import MASK_SUFFIXES, Pair, mask_folder, photo_folder, scan
from .errors import CarvanaError
from .images import displayed_size, open_image, read_mask, read_photo


def check_data(root: str | Path, progress: bool = True) -> tuple[list[Pair], list[str]]:
    """Open every photo and mask of a folder in Kaggle's layout.

    Returns:
        The pairs found by name, and one line a fault with the file and the cure; no lines if all is well.

    Raises:
        CarvanaError: there is no such folder, or nothing in it to check.
    """
    root = Path(root)
    pairs, faults = scan(root)
    faults += _masks_alone(root)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = tqdm(pool.map(_check_pair, pairs), "Checking", len(pairs), unit="photo", disable=not progress)
        faults += [fault for several in found for fault in several]
    return pairs, faults


def _masks_alone(root: Path) -> list[str]:
    photos = photo_folder(root)
    names = {Path(entry.name).stem for entry in os.scandir(photos)}
    masks = sorted(Path(e.path) for e in os.scandir(mask_folder(root, photos)) if e.name.endswith(MASK_SUFFIXES))
    return [
        f"{mask} has no photo: add {photos / mask.stem.removesuffix('_mask')}.jpg or remove the mask"
        for mask in masks
        if mask.stem.removesuffix("_mask") not in names
    ]


def _check_pair(pair: Pair) -> list[str]:
    faults, size = [], None
    try:
        with open_image(pair.photo) as image:
            size = displayed_size(image)
        read_photo(pair.photo)
    except CarvanaError as error:
        faults.append(str(error))
    try:
        read_mask(pair.mask, photo_size=size)
    except CarvanaError as error:
        faults.append(str(error))
    return faults
