"""Unpack a zip of photos: all files or none, and none outside its folder."""

from __future__ import annotations

import os
import re
import shutil
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from ..base.errors import CarvanaError, reason
from ..base.files import locked
from ..base.progress import tqdm

MOST_GROWTH = 20  # times; JPEG and GIF are compressed, so a zip is hardly smaller than its files
MOST_BYTES = 100_000_000  # of one file
LONGEST_NAME = 255  # bytes, the limit of nearly every disk
# What macOS and Windows add to the zips they make.
_JUNK = re.compile(r"(.*/)?(__MACOSX(/.*)?|\._[^/]*|\.DS_Store|Thumbs\.db|desktop\.ini)", re.DOTALL)


def unpack(archive: Path, folder: Path, progress: bool = True) -> int:
    """Put the files of a zip into `folder`, which appears when all of them are complete. Returns their number.

    Folders inside the zip are left out: `train/a.jpg` becomes `folder/a.jpg`.

    Raises:
        CarvanaError: the zip is missing or damaged, the disk is full, `folder` exists, another process unpacks to
            it, or the zip may do harm: paths that leave the folder, links, encrypted files, too much growth.
    """
    if folder.exists():
        raise CarvanaError(f"{folder} is there already: remove it to unpack {archive} again")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(archive, opened.infolist())
            need, free = sum(entry.file_size for entry in entries), shutil.disk_usage(folder.parent).free
            if need > free:
                sizes = f"needs {need / 1e6:.0f} MB, its disk has {free / 1e6:.0f} MB"
                raise CarvanaError(f"{folder} {sizes}: free some, then run again")
            _extract(opened, entries, folder, progress)
    except OSError as error:
        if not archive.exists():
            raise CarvanaError(f"no file {archive}: check the path") from None
        cure = "free some space or choose another folder"
        raise CarvanaError(f"cannot unpack {archive} to {folder} ({error.strerror or error}): {cure}") from None
    except CarvanaError:
        raise
    except Exception as error:
        # zipfile and zlib raise many kinds of errors for a damaged file.
        raise CarvanaError(f"{archive} is damaged ({reason(error)}): remove it and download it again") from None
    return len(entries)


def copy_unpacked(source: Path, folder: Path) -> None:
    """Copy the files of `source`, what was in a zip, to `folder`, which appears when all of them are complete."""
    building = folder.with_name(f".{folder.name}.unpacking")
    with locked(building.with_suffix(".lock"), f"another process unpacks to {folder}: wait until it is done"):
        shutil.rmtree(building, ignore_errors=True)  # left by a run that was killed
        try:
            shutil.copytree(source, building, copy_function=shutil.copyfile)
            os.rename(building, folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _extract(opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], folder: Path, progress: bool) -> None:
    """Write all entries to a folder beside `folder`, then rename it; after an error delete it."""
    building = folder.with_name(f".{folder.name}.unpacking")
    building.mkdir(exist_ok=True)
    with locked(building.with_suffix(".lock"), f"another process unpacks to {folder}: wait until it is done"):
        for left in building.iterdir():  # by a run that was killed
            left.unlink()
        try:
            for entry in tqdm(entries, f"Unpacking {folder.name}", unit="file", disable=not progress):
                with opened.open(entry) as source, open(building / PurePosixPath(entry.filename).name, "xb") as file:
                    shutil.copyfileobj(source, file)
            os.rename(building, folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)  # nothing is there after the renaming


def _checked(archive: Path, entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The entries to unpack. Raises CarvanaError if a zip of photos cannot have them."""
    files = [entry for entry in entries if not entry.is_dir() and not _JUNK.fullmatch(entry.filename)]
    if not files:
        raise CarvanaError(f"{archive} holds no files: remove it and download it again")
    faults = []
    for entry in files:
        # Not `filename`, where ZipInfo has replaced this system's separators and cut at a zero byte.
        name = entry.orig_filename
        outside = name.startswith(("/", "\\")) or ":" in name or ".." in name.replace("\\", "/").split("/")
        odd = "\\" in name or not name.isprintable() or len(PurePosixPath(name).name.encode()) > LONGEST_NAME
        cases = (
            (outside, "would leave the folder"),
            (odd, "has a name that not every system can write"),
            (stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG), "is a link or a device"),
            (entry.flag_bits & 0x1, "is encrypted"),
            (entry.file_size > MOST_BYTES, f"has {entry.file_size / 1e6:.0f} MB"),
        )
        faults += [f"{entry.filename!r} {fault}" for applies, fault in cases if applies]
    if sum(entry.file_size for entry in files) > MOST_GROWTH * archive.stat().st_size:
        faults.append(f"it would grow more than {MOST_GROWTH} times")
    # Windows and macOS do not tell capitals from small letters.
    name, count = Counter(PurePosixPath(entry.filename).name.lower() for entry in files).most_common(1)[0]
    if count > 1:
        faults.append(f"it holds {name} {count} times")
    if faults:
        raise CarvanaError(f"{archive} is not unpacked: {faults[0]}; get it from Kaggle again")
    return files
