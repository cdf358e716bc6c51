"""Unpack a zip of photos: all files or none, and none outside its folder."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from ..base.errors import CarvanaError, reason
from ..base.files import locked

MOST_GROWTH = 20  # times; JPEG and GIF are compressed, so a zip is hardly smaller than its files
MOST_BYTES = 100_000_000  # of one file
LONGEST_NAME = 255  # bytes, the limit of nearly every disk
_JUNK = {".DS_Store", "Thumbs.db", "desktop.ini"}


def unpack(archive: Path, folder: Path, progress: bool = True) -> int:
    """Put the files of a zip into `folder`, which appears when all of them are complete.

    Folders inside the zip are left out: `train/a.jpg` becomes `folder/a.jpg`.

    Returns:
        The number of files.

    Raises:
        CarvanaError: the zip is missing or damaged, the disk is full, `folder` exists, another process
            unpacks to it, or the zip may do harm: it has paths that leave the folder, links, encrypted
            files, or files that grow too much.
    """
    if folder.exists():
        raise CarvanaError(f"{folder} is there already: remove it to unpack {archive} again")
    building = folder.with_name(f".{folder.name}.unpacking")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(archive) as opened:
            entries = _checked(archive, opened.infolist())
            need, free = sum(entry.file_size for entry in entries), shutil.disk_usage(folder.parent).free
            if need > free:
                raise CarvanaError(
                    f"{folder} needs {need / 1e6:.0f} MB, its disk has {free / 1e6:.0f} MB: free some, then run again"
                )
            building.mkdir(exist_ok=True)
            busy = f"another process unpacks to {folder}: wait until it is done"
            with locked(building.with_suffix(".lock"), busy):
                _extract(opened, entries, building, folder, progress)
    except OSError as error:
        if not archive.exists():
            raise CarvanaError(f"no file {archive}: check the path") from None
        raise CarvanaError(
            f"cannot unpack {archive} to {folder} ({error.strerror or error}): free some space or choose another folder"
        ) from None
    except CarvanaError:
        raise
    except Exception as error:
        # zipfile and zlib raise many kinds of errors for a damaged file.
        raise CarvanaError(f"{archive} is damaged ({reason(error)}): remove it and download it again") from None
    return len(entries)


def _extract(
    opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], building: Path, folder: Path, progress: bool
) -> None:
    """Write all entries to `building`, then rename it to `folder`; after an error delete it."""
    for left in building.iterdir():  # by a run that was killed
        left.unlink()
    try:
        for entry in tqdm(entries, f"Unpacking {folder.name}", unit="file", disable=not progress):
            with opened.open(entry) as source, open(building / _file_name(entry), "xb") as file:
                shutil.copyfileobj(source, file)
        os.rename(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def _checked(archive: Path, entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The entries to unpack. Raises CarvanaError if a zip of photos cannot have them."""
    files = [entry for entry in entries if not entry.is_dir() and not _is_junk(entry)]
    if not files:
        raise CarvanaError(f"{archive} holds no files: remove it and download it again")
    faults = [f"{entry.filename!r} {fault}" for entry in files if (fault := _fault(entry))]
    if sum(entry.file_size for entry in files) > MOST_GROWTH * archive.stat().st_size:
        faults.append(f"it would grow more than {MOST_GROWTH} times")
    # Windows and macOS do not tell capitals from small letters.
    name, count = Counter(_file_name(entry).lower() for entry in files).most_common(1)[0]
    if count > 1:
        faults.append(f"it holds {name} {count} times")
    if faults:
        raise CarvanaError(f"{archive} is not unpacked: {faults[0]}; get it from Kaggle again")
    return files


def _fault(entry: zipfile.ZipInfo) -> str | None:
    """What is wrong with an entry, if anything."""
    mode = entry.external_attr >> 16
    # Not `filename`, where ZipInfo has replaced this system's separators and cut at a zero byte.
    name = entry.orig_filename
    if name.startswith(("/", "\\")) or ":" in name or ".." in name.replace("\\", "/").split("/"):
        return "would leave the folder"
    if "\\" in name or not name.isprintable() or len(PurePosixPath(name).name.encode()) > LONGEST_NAME:
        return "has a name that not every system can write"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "is a link or a device"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.file_size > MOST_BYTES:
        return f"has {entry.file_size / 1e6:.0f} MB"
    return None


def _file_name(entry: zipfile.ZipInfo) -> str:
    return PurePosixPath(entry.filename).name


def _is_junk(entry: zipfile.ZipInfo) -> bool:
    """What macOS and Windows add to the zips they make."""
    path = PurePosixPath(entry.filename)
    return "__MACOSX" in path.parts or path.name in _JUNK or path.name.startswith("._")
