"""Unpack a zip of photos: all of it or nothing, and nothing outside its folder."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from ..base.errors import CarvanaError
from ..base.files import in_use

# Photos and masks are packed already; their zips are hardly smaller than what is in them.
MOST_GROWTH = 20
MOST_BYTES = 100_000_000
LONGEST_NAME = 255  # bytes, on nearly every disk
_JUNK = {".DS_Store", "Thumbs.db", "desktop.ini"}


def unpack(archive: Path, folder: Path, progress: bool = True) -> int:
    """Put the files of a zip into `folder`, which appears when every one is there and whole.

    Folders inside the zip are left out: `train/a.jpg` becomes `folder/a.jpg`.

    Returns:
        The number of files.

    Raises:
        CarvanaError: not a zip, damaged, the disk too full, `folder` there already, another process
            unpacks to it, or a zip made to do harm: paths that leave the folder, links, encrypted files,
            files that grow out of proportion.
    """
    if folder.exists():
        raise CarvanaError(f"{folder} is there already: remove it to unpack {archive} anew")
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
            with in_use(building):
                _extract(opened, entries, building, folder, progress)
    except OSError as error:
        if not archive.exists():
            raise CarvanaError(f"no file {archive}: check the path") from None
        # Only `in_use` gives no number.
        cure = "free some space or choose another folder" if error.errno else "wait until it is done"
        raise CarvanaError(f"cannot unpack {archive} to {folder} ({error.strerror or error}): {cure}") from None
    except CarvanaError:
        raise
    except Exception as error:
        # zipfile and zlib fail in many ways on a damaged file.
        reason = str(error) or type(error).__name__
        raise CarvanaError(f"{archive} is damaged ({reason}): remove it and download it again") from None
    return len(entries)


def _extract(
    opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], building: Path, folder: Path, progress: bool
) -> None:
    """All entries to `building`, which becomes `folder`, or nothing."""
    # What an earlier run that was killed left behind.
    for left in building.iterdir():
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
    """The entries to unpack. Raises CarvanaError for those that no zip of photos has."""
    files = [entry for entry in entries if not entry.is_dir() and not _is_junk(entry)]
    for entry in files:
        fault = _fault(entry)
        if fault:
            raise CarvanaError(f"{archive} is not unpacked: {entry.filename!r} {fault}; get it from Kaggle again")
    if sum(entry.file_size for entry in files) > MOST_GROWTH * archive.stat().st_size:
        raise CarvanaError(
            f"{archive} is not unpacked: it would grow more than {MOST_GROWTH} times; get it from Kaggle again"
        )
    # Windows and macOS take a name in capitals for the same file.
    name, count = Counter(_file_name(entry).lower() for entry in files).most_common(1)[0] if files else ("", 0)
    if count > 1:
        raise CarvanaError(f"{archive} is not unpacked: it holds {name} {count} times; get it from Kaggle again")
    if not files:
        raise CarvanaError(f"{archive} holds no files: remove it and download it again")
    return files


def _fault(entry: zipfile.ZipInfo) -> str | None:
    """What is wrong with an entry, if anything."""
    mode = entry.external_attr >> 16
    # ZipInfo has turned this system's separators into "/" and cut the name off at a zero byte.
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
