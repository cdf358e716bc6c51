"""The files of a folder in Kaggle's layout, and what is wrong with the folder."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from .errors import CarvanaError

COMPETITION = "carvana-image-masking-challenge"
PHOTO_FOLDERS = ("train", "train_hq")
MASK_FOLDER = "train_masks"
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif")
MASK_SUFFIXES = (".gif", ".png", ".bmp", ".tif", ".tiff", ".webp")
KAGGLE_INPUT = Path("/kaggle/input") / COMPETITION
HOW_TO_GET_DATA = (
    f"run `carvana download FOLDER`, or download https://www.kaggle.com/c/{COMPETITION}/data, unpack train.zip and "
    "train_masks.zip into one folder; name it with --data FOLDER or $CARVANA_DATA"
)
FOLD_RULE = "a car's fold is its id, a hexadecimal number, modulo 10 (0 test, 1 validation, 2 to 9 training)"
_LAYOUT = "holds train/ with the photos (<car>_<view>.jpg) and train_masks/ with their masks (<car>_<view>_mask.gif)"
CAR = re.compile(r"[0-9a-f]{12}")
PHOTO_NAME = re.compile(r"[0-9a-f]{12}_[0-9]{2}")
MASK_NAME = re.compile(rf"[0-9a-f]{{12}}_[0-9]{{2}}_mask\.({'|'.join(suffix[1:] for suffix in MASK_SUFFIXES)})")


def scan(root: Path) -> tuple[list[tuple[str, Path, Path]], list[str]]:
    """Name in small letters, photo and mask of every usable pair, sorted by name, and one line for each other photo.

    File names are read, files are not opened. Raises CarvanaError if a folder is missing, or there are no photos.
    """
    photos, masks = data_folders(root)
    # Windows and macOS do not tell capitals from small letters, and a car's id is a number.
    mask_names = {name.lower(): name for name in file_names(masks)}
    photo_names = [name for name in file_names(photos) if name.lower().endswith(PHOTO_SUFFIXES) and name[0] != "."]
    if not photo_names:
        raise CarvanaError(f"{photos} holds no photos: {_why_none(photos)}")
    pairs: dict[str, tuple[str, Path, Path]] = {}
    faults = []
    for file_name in photo_names:
        photo, name = photos / file_name, os.path.splitext(file_name)[0].lower()
        mask = next((found for end in MASK_SUFFIXES if (found := mask_names.get(f"{name}_mask{end}"))), None)
        if not PHOTO_NAME.fullmatch(name):
            cure = f"move it to {masks}" if MASK_NAME.fullmatch(file_name.lower()) else "rename or remove it"
            faults.append(f"{photo} is not named <12 hex digits>_<2 digits>.jpg: {cure}")
        elif name in pairs:
            faults.append(f"{photo} and {pairs[name][1].name} are the same view of the same car: remove one")
        elif mask is None:
            faults.append(f"{photo} has no mask: add {masks / name}_mask.gif or remove the photo")
        else:
            pairs[name] = (name, photo, masks / mask)
    return sorted(pairs.values()), faults


def why_unusable(root: Path) -> str:
    """What `scan` says against a folder; nothing if all is well."""
    try:
        return several(faults) if (faults := scan(root)[1]) else ""
    except CarvanaError as error:
        return str(error)


def data_folders(root: Path) -> tuple[Path, Path]:
    """The folders of the photos (train/ or train_hq/) and of the masks. Raises CarvanaError if one is missing."""
    if not os.path.lexists(root):
        raise CarvanaError(f"no folder {root}: check the path, or {HOW_TO_GET_DATA}")
    if not root.is_dir():
        above = root.resolve().parents[:2]
        around = next((place for place in above if any((place / name).is_dir() for name in PHOTO_FOLDERS)), None)
        cure = f"name the folder {around}" if around else f"name a folder that {_LAYOUT}"
        raise CarvanaError(f"{root} is a file: {'unpack it and name the folder' if root.suffix == '.zip' else cure}")
    if not os.access(root, os.R_OK | os.X_OK):
        raise CarvanaError(f"{root} cannot be read (Permission denied): change its permissions (chmod u+rx {root})")
    photos = next((root / folder for folder in PHOTO_FOLDERS if (root / folder).is_dir()), None)
    if photos is None:
        _check_instead(root, *PHOTO_FOLDERS)
        below = [place.parent for place in sorted(root.glob("*/train")) if place.is_dir()]
        own = f"images of your own: `carvana check-data {shlex.quote(str(root))} --describe` says what they need"
        cure = f"name {below[0]}, which holds one" if below else f"use a folder that {_LAYOUT}; {own}"
        if not below and any((root.resolve().parent / name).is_dir() for name in PHOTO_FOLDERS):
            cure = f"name the folder above it, {root.resolve().parent}"
        raise CarvanaError(f"{root} holds no train/ folder: {cure}")
    masks = root / MASK_FOLDER
    if not masks.is_dir():
        _check_instead(root, MASK_FOLDER)
        raise CarvanaError(f"{root} holds no {MASK_FOLDER}/ folder: the masks of {photos} belong there")
    if masks.samefile(photos):
        raise CarvanaError(f"{masks} leads to {photos}: put the folder of the masks there")
    return photos, masks


def _check_instead(root: Path, *folders: str) -> None:
    """Raise CarvanaError if a file, a link, a partial download or a zip is there instead of one of the folders."""
    for folder in (root / name for name in folders):
        hq = folder.name == "train_hq" or ((root / "train_hq").is_dir() and not (root / "train").is_dir())
        place = shlex.quote(str(root)) + (" --hq" if hq else "")
        unzip = f"unzip it in {root}, or with `carvana download FOLDER --zips {place}`"
        if not os.access(root, os.W_OK):  # as Kaggle's input
            unzip = f"`carvana download data/carvana --zips {place}` unpacks it into data/carvana"
        if os.path.lexists(folder):
            what = "a link that leads to no folder" if folder.is_symlink() else "a file, not a folder"
            raise CarvanaError(f"{folder} is {what}: put the folder itself there")
        if folder.with_suffix(".zip.part").exists():
            raise CarvanaError(f"{folder}.zip is half downloaded: `carvana download {place}` goes on with it")
        if folder.with_suffix(".zip").exists():
            raise CarvanaError(f"{folder}.zip is still packed: {unzip}")


def file_names(folder: Path) -> list[str]:
    """Names of all files and folders in `folder`, sorted. Raises CarvanaError if it cannot be read."""
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        cure = f"change its permissions (chmod -R u+rX {folder})"
        raise CarvanaError(f"{folder} cannot be read ({error.strerror}): {cure}") from None


def _why_none(photos: Path) -> str:
    """What to do about a folder without photos."""
    nested = photos / photos.name
    if nested.is_dir():
        return f"they are one folder too deep; move the files of {nested} up into {photos}"
    if photos.with_suffix(".zip").exists():
        return f"unzip {photos}.zip there"
    if any(MASK_NAME.fullmatch(name.lower()) for name in file_names(photos)):
        return f"it holds masks; move them to {photos.parent / MASK_FOLDER} and put the <car>_<view>.jpg files here"
    return "put the <car>_<view>.jpg files there"


def several(faults: Sequence[str]) -> str:
    """The first fault, and how to see the others."""
    more = len(faults) - 1
    return faults[0] + (f" (and {more} more faults: `carvana check-data` lists them)" if more else "")
