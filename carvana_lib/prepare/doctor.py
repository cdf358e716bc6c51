"""What is wrong with a data folder: its names and folders here, the insides of its files in inspection.py."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import mode
from typing import NamedTuple

from torch import nn

from ..base.data_folder import FOLD_RULE, MASK_NAME, MASK_SUFFIXES, PHOTO_SUFFIXES, data_folders, file_names
from ..base.described import describe, find_pairs
from ..base.progress import tqdm
from ..data import TRAINING_FOLDS, VALIDATION_FOLD, Pair
from .comparison import misfits
from .inspection import Look, look_at

OTHER_SPLITS = ("test", "test_hq", "val", "valid", "validation")
# More faults of a kind are one line: in names the rule is enough, of damaged files some more are listed.
_MOST_NAMES, _MOST_FAULTS = 3, 20
_FILE = re.compile(r".*?(?= (?:is|has|holds|and|marks|consists|looks|cannot|may|only|left|leads|shows) |$)", re.DOTALL)
_LEFT_BY = {
    "Windows": ("Thumbs.db", "desktop.ini"),
    "macOS": (".DS_Store", "__MACOSX", "._*"),
    "Jupyter": (".ipynb_checkpoints",),
    "a download that was stopped": ("*.part", "*.crdownload", "*.download", "*.tmp", ".*.unpacking"),
}


class Findings(NamedTuple):
    pairs: list[Pair]  # those found by name
    faults: list[str]  # one line each, with the file and the cure
    suspicions: list[str]  # what may be right: a mask that may not fit its photo, a folder that cannot be trained with


def check_data(root: str | Path, progress: bool = True) -> tuple[list[Pair], list[str]]:
    """The pairs and the faults that `examine` finds; no faults if all is well. Raises CarvanaError as there."""
    return examine(root, progress=progress)[:2]


def examine(
    root: str | Path, net: tuple[nn.Module, tuple[int, int]] | None = None, every: bool = False, progress: bool = True
) -> Findings:
    """Check every name in a data folder, open every photo and mask once, compare some with a net.

    Args:
        net: a net trained on cars and its (width, height), for `misfits` in Carvana's data; None compares nothing.
        every: list each fault of a kind; else kinds with many faults are one line, with two of their files.

    Raises CarvanaError if there is no such folder, or it holds nothing to check.
    """
    root = Path(root)
    found, names = find_pairs(root)
    pairs = [Pair(*files) for files in found]
    carvana = describe(root) is None
    if carvana:
        photos, masks = data_folders(root)
        for folder in (root, photos, masks):
            names += left_behind(folder)
        names += not_photos(photos, masks) + not_masks(masks, photos)
        names += other_splits(root, photos) + photos_elsewhere(root / "train_hq", photos)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looks = list(tqdm(pool.map(look_at, pairs), "Checking", len(pairs), unit="photo", disable=not progress))
    faults = [fault for look in looks for fault in look.faults]
    faults += copies("photo", looks, "remove one, or put the right photo there")
    if carvana:  # elsewhere two photos may have the same mask, for instance an empty one, and sizes may be mixed
        faults += copies("mask", looks, "put the right mask there") + unlike_their_car(looks)
    if not every:
        names, faults = stated_once(names, _MOST_NAMES), stated_once(faults, _MOST_FAULTS)
    faults += never_in_training(root, looks)
    suspicions = not_for_training(root, pairs) + scattered_groups(pairs)
    suspicions += misfits(looks, *net, progress) if net and carvana else []
    return Findings(pairs, names + faults, suspicions)


def stated_once(faults: list[str], most: int) -> list[str]:
    """`faults`, but a kind with more than `most` is one line: its first fault, another file and the number."""
    kinds = defaultdict(list)
    for fault in faults:
        kinds[_kind(fault)].append(fault)
    lines = []
    for alike in kinds.values():
        if len(alike) > most:
            another = Path(_FILE.match(alike[1])[0]).name
            alike = [f"{alike[0]} ({len(alike)} such files, another is {another}; --every lists all)"]
        lines += alike
    return lines


def _kind(fault: str) -> tuple[Path, str]:
    """The folder, and the fault without the names in it."""
    path = Path(_FILE.match(fault)[0])
    text = fault.removeprefix(str(path)).replace(os.path.splitext(path.name)[0], "*")
    return path.parent, re.sub(r"\S*[\d/\\.]\S*", "*", text)


def not_for_training(root: Path, pairs: list[Pair]) -> list[str]:
    """A line if `carvana train` refuses a folder that holds no cars to train with, or none to validate with."""
    folds = {pair.fold for pair in pairs}
    uses = {"training (folds 2 to 9)": {*TRAINING_FOLDS}, "validation (fold 1)": {VALIDATION_FOLD}}
    missing = " and none for ".join(use for use, wanted in uses.items() if pairs and not wanted & folds)
    cure = "`carvana train` needs more cars, or another folder beside it (--data twice)"
    return [f"{root} holds no cars for {missing}: {cure}; {FOLD_RULE}"] if missing else []


def never_in_training(root: Path, looks: list[Look]) -> list[str]:
    """A line for each of several classes that no mask of the training folds shows."""
    training = [look for look in looks if look.pair.classes and look.pair.fold in TRAINING_FOLDS]
    names = training[0].pair.classes.names if training else ()
    seen = {number for look in training for number in look.classes}
    cure = "add photos of it, or drop it from dataset.toml"
    missing = [name for number, name in enumerate(names) if number not in seen]
    return [f"{root} holds no mask with the class {name} for training (folds 2 to 9): {cure}" for name in missing]


def scattered_groups(pairs: list[Pair]) -> list[str]:
    """A line for each group whose photos lie in several folders: one thing, or two of the same name?"""
    folders = defaultdict(set)
    for pair in pairs:
        folders[pair.group].add(pair.photo.parent)
    lines = []
    for group, places in folders.items():
        if group and len(places) > 1:
            where = " and ".join(map(str, sorted(places)[:2]))
            lines.append(f"{where} hold photos of group {group}: if these are two, let `group` find the folder too")
    return stated_once(lines, _MOST_NAMES)


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


def _not_left(folder: Path) -> list[Path]:
    return [folder / name for name in file_names(folder) if not _who_left(name)]


def not_photos(photos: Path, masks: Path) -> list[str]:
    """Everything else among the photos. Photos with wrong names are not listed: `scan` lists them."""
    faults = []
    for path in _not_left(photos):
        name = path.name.lower()
        other = not name.endswith(PHOTO_SUFFIXES)
        cases = [
            (path.is_dir(), f"is a folder, and folders in {photos} are not read: move its photos up, remove it"),
            (other and MASK_NAME.fullmatch(name), f"is a mask among the photos: move it to {masks}"),
            (other, f"is not a photo ({', '.join(PHOTO_SUFFIXES)}): remove or convert it"),
            (name.startswith("."), "is hidden and not read: rename or remove it"),
        ]
        faults += [f"{path} {fault}" for applies, fault in cases if applies][:1]
    return faults


def not_masks(masks: Path, photos: Path) -> list[str]:
    """Masks without a photo, two masks of one photo, and everything else among the masks."""
    photo_names = {os.path.splitext(name)[0].lower() for name in file_names(photos)}
    faults, seen = [], {}
    for path in _not_left(masks):
        stem, suffix = os.path.splitext(path.name.lower())
        view, named = stem.removesuffix("_mask"), MASK_NAME.fullmatch(stem + suffix)
        is_photo, is_jpeg = stem in photo_names, suffix in (".jpg", ".jpeg")
        cases = [
            (path.is_dir(), f"is a folder, and folders in {masks} are not read: move its masks up, remove it"),
            (is_photo and suffix in MASK_SUFFIXES, f"has no _mask in its name: rename it to {stem}_mask{path.suffix}"),
            (is_photo, f"is a photo among the masks: move it to {photos}"),
            (is_jpeg and view != stem, "is a JPEG, which blurs a mask's edge: save it as PNG or GIF from its source"),
            (not named, "is not named <12 hex digits>_<2 digits>_mask.gif: rename or remove it"),
            (view not in photo_names, f"has no photo: add {photos / view}.jpg or remove the mask"),
            (stem in seen, f"and {seen.get(stem)} are masks of the same photo: remove one"),
        ]
        faults += [f"{path} {fault}" for applies, fault in cases if applies][:1]
        seen.setdefault(stem, path.name)
    return faults


def other_splits(root: Path, photos: Path) -> list[str]:
    """Test or validation folders beside the photos that hold photos of the same cars."""
    here, faults = {name[:12].lower() for name in file_names(photos)}, []
    cure = "keep a car's photos together, or scores come out too high"
    for folder in (root / name for name in OTHER_SPLITS if (root / name).is_dir()):
        there = {name[:12].lower() for name in file_names(folder) if name.lower().endswith(PHOTO_SUFFIXES)}
        if shared := sorted(here & there):
            cars = f"photos of car {shared[0]} ({len(shared)} such cars)"
            faults.append(f"{folder} and {photos} both hold {cars}: {cure}")
    return faults


def photos_elsewhere(other: Path, photos: Path) -> list[str]:
    """Photos that are only in `other` (train_hq/) although train/ is the folder that is read."""
    there = [] if photos == other or not other.is_dir() else _not_left(other)
    alone = sorted({path.name for path in there} - set(file_names(photos)))
    which = f"is not in {photos}, and only that folder is read: complete it, or move it away to use the other"
    return [f"{other / alone[0]} ({len(alone)} such photos) {which}"] if alone else []


def copies(kind: str, looks: list[Look], cure: str) -> list[str]:
    """Photos or masks (`kind`: photo or mask) that show the same picture under two names."""
    faults, first = [], {}
    for pair, digest in ((look.pair, look.digests.get(kind)) for look in looks):
        known = first.setdefault(digest, pair)
        where = f" (folds {known.fold} and {pair.fold})" if known.fold != pair.fold else ""
        if digest and known is not pair:
            faults.append(f"{getattr(pair, kind)} is the same {kind} as {getattr(known, kind).name}{where}: {cure}")
    return faults


def unlike_their_car(looks: list[Look]) -> list[str]:
    """Photos that differ from the other photos of their car in size or in JPEG quality."""
    faults, cars = [], defaultdict(list)
    mixed = "HQ and normal photos are mixed, or it was edited; take all from one of Kaggle's zips"
    for look in looks:
        if look.size:
            cars[look.pair.car].append(look)
    for views in cars.values():
        size = mode(look.size for look in views)
        quality = mode([look.quality for look in views if look.quality] or [None])
        for look in views:
            photo = look.pair.photo
            if look.size != size:
                here, there = ("{}x{}".format(*pixels) for pixels in (look.size, size))
                faults.append(f"{photo} is {here}, other photos of its car {there}: replace it by the original")
            elif look.quality and look.quality != quality:
                faults.append(f"{photo} is compressed differently from other photos of its car: {mixed}")
    return faults
