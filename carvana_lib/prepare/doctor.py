"""What is wrong with a data folder: its names and folders here, the insides of its files in inspection.py."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

from tqdm.auto import tqdm

from ..base.data_folder import MASK_NAME, MASK_SUFFIXES, PHOTO_SUFFIXES, data_folders, file_names, scan
from ..data import Pair, car_fold
from .inspection import Look, look_at

OTHER_SPLITS = ("test", "test_hq", "val", "valid", "validation")
_LEFT_BY = {
    "Windows": ("Thumbs.db", "desktop.ini"),
    "macOS": (".DS_Store", "__MACOSX", "._*"),
    "Jupyter": (".ipynb_checkpoints",),
    "a download that was stopped": ("*.part", "*.crdownload", "*.download", "*.tmp", ".*.unpacking"),
}


def check_data(root: str | Path, progress: bool = True) -> tuple[list[Pair], list[str]]:
    """Check every name in a folder of Kaggle's layout, and open every photo and mask once.

    Returns:
        The pairs found by name, and one line for each fault with the file and the cure; no lines if all is well.

    Raises:
        CarvanaError: there is no such folder, or it holds nothing to check.
    """
    root = Path(root)
    found, faults = scan(root)
    pairs = [Pair(*files) for files in found]
    photos, masks = data_folders(root)
    for folder in (root, photos, masks):
        faults += left_behind(folder)
    faults += not_photos(photos, masks) + not_masks(masks, photos)
    faults += other_splits(root, photos) + photos_elsewhere(root, photos)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(tqdm(pool.map(look_at, pairs), "Checking", len(pairs), unit="photo", disable=not progress))
    faults += [fault for look in looks for fault in look.faults]
    photo_digests = {pair.photo: look.photo_digest for pair, look in zip(pairs, looks, strict=True)}
    mask_digests = {pair.mask: look.mask_digest for pair, look in zip(pairs, looks, strict=True)}
    faults += copies("photo", photo_digests, "remove one, or put the right photo there")
    faults += copies("mask", mask_digests, "put the right mask there")
    return pairs, faults + unlike_their_car(pairs, looks)


def left_behind(folder: Path) -> list[str]:
    """Files that systems and stopped downloads leave in a folder, one line for each kind."""
    found = defaultdict(list)
    for name in file_names(folder):
        if by := _who_left(name):
            found[by].append(name)
    return [
        f"{folder / names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} left by {by}: remove, it is not data"
        for by, names in found.items()
    ]


def _who_left(name: str) -> str | None:
    return next((who for who, kinds in _LEFT_BY.items() if any(fnmatchcase(name, kind) for kind in kinds)), None)


def not_photos(photos: Path, masks: Path) -> list[str]:
    """Everything else among the photos. Photos with wrong names are not listed: `scan` lists them."""
    faults = []
    for name in file_names(photos):
        path = photos / name
        is_photo = name.lower().endswith(PHOTO_SUFFIXES)
        if _who_left(name):
            continue
        if path.is_dir():
            faults.append(f"{path} is a folder, and folders in {photos} are not read: move its photos up, remove it")
        elif MASK_NAME.fullmatch(name.lower()) and not is_photo:
            faults.append(f"{path} is a mask among the photos: move it to {masks}")
        elif not is_photo:
            faults.append(f"{path} is not a photo ({', '.join(PHOTO_SUFFIXES)}): remove or convert it")
        elif name.startswith("."):
            faults.append(f"{path} is hidden and not read: rename or remove it")
    return faults


def not_masks(masks: Path, photos: Path) -> list[str]:
    """Masks without a photo, two masks of one photo, and everything else among the masks."""
    photo_names = {os.path.splitext(name)[0] for name in file_names(photos)}
    faults, seen = [], {}
    for name in file_names(masks):
        path, stem = masks / name, os.path.splitext(name.lower())[0]
        if _who_left(name):
            continue
        if path.is_dir():
            faults.append(f"{path} is a folder, and folders in {masks} are not read: move its masks up, remove it")
        elif stem in photo_names and name.lower().endswith(MASK_SUFFIXES):
            faults.append(f"{path} has no _mask in its name: rename it to {stem}_mask{path.suffix}")
        elif stem in photo_names:
            faults.append(f"{path} is a photo among the masks: move it to {photos}")
        elif stem.endswith("_mask") and name.lower().endswith((".jpg", ".jpeg")):
            faults.append(f"{path} is a JPEG, which blurs a mask's edge: save the mask as PNG or GIF from its source")
        elif not MASK_NAME.fullmatch(name.lower()):
            faults.append(f"{path} is not named <12 hex digits>_<2 digits>_mask.gif: rename or remove it")
        elif stem.removesuffix("_mask") not in photo_names:
            faults.append(f"{path} has no photo: add {photos / stem.removesuffix('_mask')}.jpg or remove the mask")
        elif stem in seen:
            faults.append(f"{path} and {seen[stem]} are masks of the same photo: remove one")
        seen.setdefault(stem, name)
    return faults


def other_splits(root: Path, photos: Path) -> list[str]:
    """Test or validation folders beside the photos that hold photos of the same cars."""
    here = {name[:12] for name in file_names(photos)}
    faults = []
    for folder in (root / name for name in OTHER_SPLITS if (root / name).is_dir()):
        there = {name[:12] for name in file_names(folder) if name.lower().endswith(PHOTO_SUFFIXES)}
        if shared := sorted(here & there):
            faults.append(
                f"{folder} and {photos} both hold photos of car {shared[0]} ({len(shared)} such cars): "
                "keep a car's photos together, or scores come out too high"
            )
    return faults


def photos_elsewhere(root: Path, photos: Path) -> list[str]:
    """Photos that are only in train_hq/ although train/ is the folder that is read."""
    other = root / "train_hq"
    if photos == other or not other.is_dir():
        return []
    alone = sorted({name for name in file_names(other) if not _who_left(name)} - set(file_names(photos)))
    if not alone:
        return []
    return [
        f"{other / alone[0]} ({len(alone)} such photos) is not in {photos}, and only that folder is read: "
        "complete it, or move it away to use the other"
    ]


def copies(kind: str, digests: dict[Path, bytes | None], cure: str) -> list[str]:
    """Photos or masks (`kind`) that show the same picture under two names; digest None: not compared."""
    faults: list[str] = []
    first: dict[bytes, Path] = {}
    for path, digest in digests.items():
        if digest is None:
            continue
        known = first.setdefault(digest, path)
        folds = [car_fold(file.name[:12]) for file in (known, path)]
        where = f" (folds {folds[0]} and {folds[1]})" if folds[0] != folds[1] else ""
        if known != path:
            faults.append(f"{path} is the same {kind} as {known.name}{where}: {cure}")
    return faults


def unlike_their_car(pairs: list[Pair], looks: list[Look]) -> list[str]:
    """Photos that differ from the other photos of their car in size or in JPEG quality."""
    cars = defaultdict(list)
    for pair, look in zip(pairs, looks, strict=True):
        if look.size is not None:
            cars[pair.car].append((pair.photo, look))
    faults = []
    for views in cars.values():
        size = _most_common(look.size for _, look in views)
        quality = _most_common(look.quality for _, look in views if look.quality)
        for photo, look in views:
            if look.size != size:
                here, there = ("{}x{}".format(*pixels) for pixels in (look.size, size))
                faults.append(f"{photo} is {here}, other photos of its car {there}: replace it by the original")
            elif look.quality and look.quality != quality:
                faults.append(
                    f"{photo} is compressed differently from other photos of its car: HQ and normal photos are mixed, "
                    "or it was edited; take all from one of Kaggle's zips"
                )
    return faults


def _most_common(values: Iterable[object]) -> object:
    return next((value for value, _ in Counter(values).most_common(1)), None)
