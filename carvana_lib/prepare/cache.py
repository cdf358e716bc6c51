"""Decode every photo and mask once, into memory-mapped uint8 arrays."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import platformdirs

from ..base.data_folder import several
from ..base.errors import CarvanaError, CarvanaWarning
from ..base.files import expanded, locked
from ..base.progress import tqdm
from ..data import CarvanaDataset, Pair
from ..images import read_pair

FORMAT = 3
MONTH = 30 * 24 * 3600  # seconds; what was not used for so long is removed when other photos are decoded
_LARGE = 10e9  # bytes; from here on the size of the cache is said when it grows
_ENTRY = re.compile(r"\d+x\d+-[0-9a-f]{16}")
_BUILDING = ".building-"


def cache_folder() -> Path:
    """`$CARVANA_CACHE`, or this system's folder for caches. Raises CarvanaError without a home directory."""
    try:
        return expanded(os.environ.get("CARVANA_CACHE") or platformdirs.user_cache_dir("carvana_lib"))
    except (CarvanaError, RuntimeError):
        raise CarvanaError("no home directory for decoded photos: set $CARVANA_CACHE to a folder") from None


def cached_dataset(
    pairs: Sequence[Pair], size: tuple[int, int], folder: Path | None = None, progress: bool = True
) -> CarvanaDataset:
    """`CarvanaDataset` over decoded arrays. Photos are decoded when they were never used at this size.

    Warns (CarvanaWarning) if masks look inverted. Raises CarvanaError as `load_arrays`.
    """
    images, masks = load_arrays(pairs, size, folder, progress)
    # Background reaches all over the upper and lower edge; the largest of Carvana's cars covers 41 % of its photo.
    full = np.flatnonzero(masks[:, [0, -1]].mean((1, 2)) > 127) if masks.ndim == 3 else []
    inverted = [i for i in full if masks[i].mean() > 127 and not pairs[i].group]
    if inverted:
        what = f"{len(inverted)} of {len(masks)} masks look inverted, such as {pairs[inverted[0]].mask}"
        cure = "their border is car; make car white and background black (`carvana check-data` names all)"
        warnings.warn(f"{what}: {cure}", CarvanaWarning, stacklevel=2)
    return CarvanaDataset(pairs, size, (images, masks))


def load_arrays(
    pairs: Sequence[Pair], size: tuple[int, int], folder: Path | None = None, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) and soft masks (N, H, W) or (N, C, H, W), both uint8 and memory-mapped read-only.

    While another process decodes the same photos, this one waits and then uses the same arrays.

    Raises CarvanaError if a file cannot be used (all are tried first), or if the disk is too full.
    """
    entry = (folder or cache_folder()) / cache_key(pairs, size)
    if (arrays := _open(entry)) is None:
        _build(pairs, size, entry, progress)
        arrays = _open(entry)
    with suppress(OSError):  # another user's entry
        os.utime(entry)  # used now
    if arrays is None:
        raise CarvanaError(f"{entry} is damaged and may not be replaced: set $CARVANA_CACHE to a folder of your own")
    return arrays


def _open(entry: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and masks of a cache entry; None if it is not there or was cut short."""
    try:
        return np.load(entry / "images.npy", mmap_mode="r"), np.load(entry / "masks.npy", mmap_mode="r")
    except PermissionError:
        raise CarvanaError(f"{entry} may not be read: set $CARVANA_CACHE to a folder of your own") from None
    except (OSError, ValueError, EOFError):
        return None


def cache_key(pairs: Sequence[Pair], size: tuple[int, int]) -> str:
    """Name of the cache entry: changes when a source file's name, length or time changes, or what mask values mean.

    Raises CarvanaError if a file is gone, or a link leads nowhere.
    """
    files = []
    for pair in pairs:
        try:
            photo, mask = pair.photo.stat(), pair.mask.stat()
        except OSError as error:
            what = f"{error.filename} cannot be read ({error.strerror})"
            raise CarvanaError(f"{what}: `carvana check-data` says what to do") from None
        files.append((pair.name, photo.st_size, photo.st_mtime_ns, mask.st_size, mask.st_mtime_ns))
    # Carvana's masks mean one thing: their entries keep their names.
    kinds = [
        (pair.any_value, pair.classes and asdict(pair.classes)) for pair in pairs if pair.any_value or pair.classes
    ]
    digest = hashlib.sha256(json.dumps([FORMAT, size, files, *kinds]).encode()).hexdigest()
    return f"{size[0]}x{size[1]}-{digest[:16]}"


def _build(pairs: Sequence[Pair], size: tuple[int, int], entry: Path, progress: bool) -> None:
    """Decode into a folder beside `entry`, then rename it, so that an entry is complete."""
    folder, (width, height) = entry.parent, size
    need = len(pairs) * width * height * (3 + _mask_bytes(pairs))
    # Not mkdtemp, whose folders are for one user: a cache may be shared.
    building = entry.with_suffix(f"{_BUILDING}{uuid.uuid4().hex}")
    busy = f"Another process decodes these photos to {entry}: waiting until it is done"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        clear_cache(folder, MONTH)
        with locked(entry.with_suffix(".lock"), busy, wait=True):
            if _open(entry) is not None:
                return  # the other process decoded them
            shutil.rmtree(entry, ignore_errors=True)
            building.mkdir()
            free = shutil.disk_usage(folder).free
            if need > free:
                what = f"needs {need / 1e9:.2f} GB for {len(pairs)} photos at {width}x{height}"
                cure = "free some (`carvana cache` shows what it keeps), or set $CARVANA_CACHE to another disk"
                raise CarvanaError(f"{folder} {what} and has {free / 1e9:.2f} GB: {cure}")
            _decode_all(pairs, size, building, f"Decoding to {width}x{height} ({need / 1e9:.2f} GB, once)", progress)
            with suppress(OSError):  # where there are no locks, another process may have been first
                os.rename(building, entry)
        total = sum(size for _, size, _ in cache_entries(folder))
        if progress and total > _LARGE:
            print(f"{folder} takes {total / 1e9:.1f} GB now: `carvana cache --clear` empties it", file=sys.stderr)
    except OSError as error:
        what = f"cannot write {need / 1e9:.2f} GB to {folder} ({error.strerror or error})"
        cure = "free some space there, or set $CARVANA_CACHE to another folder"
        raise CarvanaError(f"{what}: {cure}") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _mask_bytes(pairs: Sequence[Pair]) -> int:
    """Bytes of a mask's pixel: one, or of several classes one for each."""
    return len(pairs[0].classes.names) if pairs[0].classes else 1


def _decode_all(pairs: Sequence[Pair], size: tuple[int, int], building: Path, title: str, progress: bool) -> None:
    width, height = size
    classes = [_mask_bytes(pairs)] if pairs[0].classes else []
    new = np.lib.format.open_memmap
    images = new(building / "images.npy", mode="w+", dtype=np.uint8, shape=(len(pairs), height, width, 3))
    masks = new(building / "masks.npy", mode="w+", dtype=np.uint8, shape=(len(pairs), *classes, height, width))
    # Claim the disk space now: if the disk fills up under a memory map, the system ends the process.
    for file in building.glob("*.npy") if hasattr(os, "posix_fallocate") else ():
        with open(file, "rb+") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)

    def decode(index: int) -> str | None:
        try:
            pair = pairs[index]
            images[index], masks[index] = read_pair(pair.photo, pair.mask, size, pair.any_value, pair.classes)
        except CarvanaError as error:
            return str(error)
        return None

    # Threads are enough: Pillow releases Python's lock while it decodes and resizes.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = tqdm(pool.map(decode, range(len(pairs))), title, len(pairs), unit="photo", disable=not progress)
        faults = [fault for fault in results if fault]
    if faults:
        raise CarvanaError(several(faults))
    images.flush()
    masks.flush()


def cache_entries(folder: Path) -> list[tuple[Path, int, float]]:
    """Path, bytes and seconds since the last use of each decoded set in a cache folder, the latest used first."""
    found = []
    for entry in folder.glob("*x*-*"):
        with suppress(OSError):  # removed meanwhile
            if _ENTRY.fullmatch(entry.name):
                used = sum(file.stat().st_size for file in entry.iterdir())
                found.append((entry, used, time.time() - entry.stat().st_mtime))
    return sorted(found, key=lambda one: one[2])


def clear_cache(folder: Path, unused: float = 0) -> int:
    """Remove the decoded sets that were not used for `unused` seconds, and nothing else; returns the bytes."""
    freed = 0
    for entry, used, seconds in cache_entries(folder):
        if seconds >= unused:
            # Renamed first, so that nobody opens half of it.
            gone = entry.with_suffix(f"{_BUILDING}{uuid.uuid4().hex}")
            with suppress(OSError):  # another user's, or in use on Windows
                os.rename(entry, gone)
                shutil.rmtree(gone)
                freed += used
    return freed


def _remove_abandoned(folder: Path) -> None:
    """Delete what killed builds left; where there are no locks, only what is a day old."""
    for left in folder.glob(f"*{_BUILDING}*"):
        with suppress(CarvanaError, OSError), locked(left.with_suffix(".lock"), "in use") as unused:
            if unused or time.time() - left.stat().st_mtime > 24 * 3600:
                shutil.rmtree(left)
