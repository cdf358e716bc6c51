"""What is wrong with a data folder, in words: names and folders here, the files' insides in inspection.py."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from ..base.data_folder import MASK_NAME, MASK_SUFFIXES, PHOTO_FOLDERS, PHOTO_SUFFIXES, file_names, mask_folder, photo_folder
from ..data import Pair, scan
from .inspection import Look, look_at

OTHER_SPLITS = ("test", "test_hq", "val", "valid", "validation")
_UNFINISHED = (".part", ".crdownload", ".download", ".tmp")
_LEFT_BY = {
    "Thumbs.db": "Windows",
    "desktop.ini": "Windows",
    ".DS_Store": "macOS",
    "__MACOSX": "macOS",
    ".ipynb_checkpoints": "Jupyter",
}


def check_data(root: str | Path, progress: bool = True) -> tuple[list[Pair], list[str]]:
    """Look at every name, and open every photo and mask once, of a folder in Kaggle's layout.

    Returns:
        The pairs found by name, and one line a fault with the file and the cure; no lines if all is well.

    Raises:
        CarvanaError: there is no such folder, or nothing in it to check.
    """
    root = Path(root)
    pairs, faults = scan(root)
    photos = photo_folder(root)
    masks = mask_folder(root, photos)
    for folder in (root, photos, masks):
        faults += left_behind(folder)
    faults += not_photos(photos, masks) + not_masks(masks, photos)
    faults += other_splits(root, photos) + spread_photos(root, photos)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(tqdm(pool.map(look_at, pairs), "Checking", len(pairs), unit="photo", disable=not progress))
    faults += [fault for look in looks for fault in look.faults]
    return pairs, faults + twice(pairs, looks) + odd_ones(pairs, looks)


def left_behind(folder: Path) -> list[str]:
    """What systems and stopped downloads leave in a folder, a line for each kind."""
    found = defaultdict(list)
    for name in file_names(folder):
        if by := _who_left(name):
            found[by].append(name)
    return [
        f"{folder / names[0]}{f' and {len(names) - 1} more' if names[1:] else ''} left by {by}: remove, it is not data"
        for by, names in found.items()
    ]


def _who_left(name: str) -> str | None:
    if name in _LEFT_BY:
        return _LEFT_BY[name]
    if name.startswith("._"):
        return "macOS"
    stopped = name.endswith(_UNFINISHED) or (name.startswith(".") and name.endswith(".unpacking"))
    return "a download that was stopped" if stopped else None


def not_photos(photos: Path, masks: Path) -> list[str]:
    """Whatever else lies among the photos; `scan` names wrongly named photos."""
    faults = []
    for name in file_names(photos):
        path = photos / name
        if _who_left(name):
            continue
        if path.is_dir():
            faults.append(f"{path} is a folder, and folders in {photos} are not read: move its photos up, remove it")
        elif MASK_NAME.fullmatch(name.lower()) and not name.lower().endswith(PHOTO_SUFFIXES):
            faults.append(f"{path} is a mask among the photos: move it to {masks}")
        elif not name.lower().endswith(PHOTO_SUFFIXES):
            faults.append(f"{path} is not a photo ({', '.join(PHOTO_SUFFIXES)}): remove or convert it")
        elif name.startswith("."):
            faults.append(f"{path} is hidden and not read: rename or remove it")
    return faults


def not_masks(masks: Path, photos: Path) -> list[str]:
    """Masks without a photo, two masks of one photo, and whatever else lies among the masks."""
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
    """Cars with photos both here and in a test or validation folder beside it."""
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


def spread_photos(root: Path, photos: Path) -> list[str]:
    """Photos that lie only in train_hq/ while train/ is what is read."""
    other = root / PHOTO_FOLDERS[1]
    if photos == other or not other.is_dir():
        return []
    alone = sorted({name for name in file_names(other) if not _who_left(name)} - set(file_names(photos)))
    if not alone:
        return []
    return [
        f"{other / alone[0]} ({len(alone)} such photos) is not in {photos}, and only that folder is read: "
        "complete it, or move it away to use the other"
    ]


def twice(pairs: list[Pair], looks: list[Look]) -> list[str]:
    """Photos or masks that show the same under two names."""
    faults = []
    for kind, cure in (("photo", "remove one, or put the right photo there"), ("mask", "put the right mask there")):
        first: dict[bytes, Pair] = {}
        for pair, look in zip(pairs, looks, strict=True):
            digest = getattr(look, f"{kind}_digest")
            if digest is None:
                continue
            known = first.setdefault(digest, pair)
            if known is not pair:
                where = "" if known.fold == pair.fold else f" (folds {known.fold} and {pair.fold})"
                faults.append(f"{getattr(pair, kind)} is the same {kind} as {getattr(known, kind).name}{where}: {cure}")
    return faults


def odd_ones(pairs: list[Pair], looks: list[Look]) -> list[str]:
    """Photos that are not like the others of their car: of another size, or compressed otherwise."""
    cars = defaultdict(list)
    for pair, look in zip(pairs, looks, strict=True):
        if look.size is not None:
            cars[pair.car].append((pair, look))
    faults = []
    for views in cars.values():
        size = _usual(look.size for _, look in views)
        quality = _usual(look.quality for _, look in views if look.quality)
        for pair, look in views:
            if look.size != size:
                here, there = ("{}x{}".format(*s) for s in (look.size, size))
                faults.append(f"{pair.photo} is {here}, other photos of its car {there}: replace it by the original")
            elif look.quality and look.quality != quality:
                faults.append(
                    f"{pair.photo} is compressed otherwise than others of its car: HQ and normal photos are mixed, "
                    "or it was edited; take all from one of Kaggle's zips"
                )
    return faults


def _usual(values: Iterable[object]) -> object:
    return next((value for value, _ in Counter(values).most_common(1)), None)
