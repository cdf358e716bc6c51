"""Kaggle's folder layout, and what is wrong with a folder that should have it."""

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
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_SUFFIXES = (".gif", ".png")
KAGGLE_INPUT = Path("/kaggle/input") / COMPETITION
HOW_TO_GET_DATA = (
    f"run `carvana download FOLDER`, or download https://www.kaggle.com/c/{COMPETITION}/data, unpack train.zip and "
    "train_masks.zip into one folder; name it with --data FOLDER or $CARVANA_DATA"
)
_NAME = re.compile(r"[0-9a-f]{12}_[0-9]{2}")
MASK_NAME = re.compile(r"[0-9a-f]{12}_[0-9]{2}_mask\.(gif|png)")


def photo_folder(root: Path) -> Path:
    """`root/train`, or `root/train_hq`. Raises CarvanaError, with the cure, when neither is there."""
    if not os.path.lexists(root):
        raise CarvanaError(f"no folder {root}: check the path, or {HOW_TO_GET_DATA}")
    if not root.is_dir():
        cure = "unpack it and name the folder" if root.suffix == ".zip" else "name the folder that holds train/"
        raise CarvanaError(f"{root} is a file: {cure}")
    if not os.access(root, os.R_OK | os.X_OK):
        raise CarvanaError(f"{root} cannot be read (Permission denied): change its permissions (chmod u+rx {root})")
    for folder in PHOTO_FOLDERS:
        if (root / folder).is_dir():
            return root / folder
    for folder in PHOTO_FOLDERS:
        _refuse_no_folder(root, folder)
    raise CarvanaError(f"{root} holds no train/ folder: {_where_instead(root)}")


def mask_folder(root: Path, photos: Path) -> Path:
    """The masks' folder beside `photos`; one mask set serves train/ and train_hq/."""
    folder = root / MASK_FOLDER
    if folder.is_dir():
        if folder.samefile(photos):
            raise CarvanaError(f"{folder} leads to {photos}: the masks belong there, the photos do not")
        return folder
    _refuse_no_folder(root, MASK_FOLDER)
    raise CarvanaError(f"{root} holds no {MASK_FOLDER}/ folder: the masks of {photos} belong there")


def _refuse_no_folder(root: Path, folder: str) -> None:
    """CarvanaError if a file, a link, a download or a zip is there in the folder's place."""
    if os.path.lexists(root / folder):
        what = "a link that leads to no folder" if (root / folder).is_symlink() else "a file, not a folder"
        raise CarvanaError(f"{root / folder} is {what}: put the folder itself there")
    place, hq = shlex.quote(str(root)), " --hq" if folder == "train_hq" else ""
    if (root / f"{folder}.zip.part").exists():
        raise CarvanaError(f"{root / folder}.zip is half downloaded: `carvana download {place}{hq}` goes on with it")
    if (root / f"{folder}.zip").exists():
        raise CarvanaError(
            f"{root / folder}.zip is still packed: unzip it in {root}, "
            f"or with `carvana download FOLDER --zips {place}{hq}`"
        )


def _where_instead(root: Path) -> str:
    """What to name in place of a folder that holds no train/."""
    below = next((place.parent for place in sorted(root.glob("*/train")) if place.is_dir()), None)
    if below is not None:
        return f"name {below}, which does"
    if root.name in (*PHOTO_FOLDERS, MASK_FOLDER):
        return f"name the folder above it, {root.resolve().parent}"
    return "name the folder that holds train/ and train_masks/"


def file_names(folder: Path) -> list[str]:
    """Names of all that lies in a folder, sorted. Raises CarvanaError if it cannot be read."""
    try:
        return sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise CarvanaError(
            f"{folder} cannot be read ({error.strerror}): change its permissions (chmod -R u+rX {folder})"
        ) from None


def _why_none(photos: Path) -> str:
    """The cure for a folder without photos."""
    nested = photos / photos.name
    if nested.is_dir():
        return f"they are one folder too deep; move the files of {nested} up into {photos}"
    if photos.with_suffix(".zip").exists():
        return f"unzip {photos}.zip there"
    if any(MASK_NAME.fullmatch(name.lower()) for name in file_names(photos)):
        return f"masks lie there; move them to {photos.parent / MASK_FOLDER} and the <car>_<view>.jpg files here"
    return "put the <car>_<view>.jpg files there"


def several(faults: Sequence[str]) -> str:
    """The first fault, and how to see the others if there are any."""
    more = len(faults) - 1
    return faults[0] + (f" (and {more} more faults: `carvana check-data` lists them)" if more else "")
