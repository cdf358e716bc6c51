"""Kaggle's photos and masks, in the layout that `find_data` reads.

kagglehub finds the token. The transfer is our own: kagglehub (1.0.3) waits without end for a silent server, tries
once, appends an error page to a file that it resumes, and lets a log-in page replace a partial file.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import re
import shlex
import shutil
from contextlib import suppress
from pathlib import Path
from time import sleep

import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth

from ..base.data_folder import COMPETITION, MASK_FOLDER
from ..base.errors import CarvanaError, reason
from ..base.progress import tqdm
from ..data import list_pairs
from .unpack import copy_unpacked, unpack

FILES = f"https://www.kaggle.com/api/v1/competitions/data/download/{COMPETITION}"
TIMEOUT = (10, 30)  # seconds to connect, and between bytes
ATTEMPTS = 5  # in a row without a new byte
LONGEST_WAIT = 60  # seconds
CHUNK = 1 << 14  # bytes; a connection that breaks off loses at most one chunk
_PAGE = f"https://www.kaggle.com/c/{COMPETITION}"
_NEW_TOKEN = "make one at https://www.kaggle.com/settings"
_PLACES = "$KAGGLE_API_TOKEN, $KAGGLE_KEY or ~/.kaggle"
_CURES = {
    401: f"it does not accept the token in {_PLACES}; {_NEW_TOKEN}",
    403: f"accept the competition's rules at {_PAGE}/rules, then run again",
    404: f"look at {_PAGE}/data and download it by hand",
}


class _PassingError(Exception):
    """A fault that may soon be gone: what happened, and the seconds that the server asks to wait, if it does."""


def download(folder: Path, hq: bool = False, zips: Path | None = None, progress: bool = True) -> bool:
    """Photos and masks of Kaggle's training set as `folder/train` (or `train_hq`) and `folder/train_masks`.

    A second call continues a download that was stopped. Zips that lie in `folder` are used.

    Args:
        hq: the photos in higher quality, train_hq.zip.
        zips: folder that holds the zips, or what was unpacked from them; nothing is fetched then.

    Returns whether anything was missing. Raises CarvanaError (no token, a wrong token, rules not accepted, no
    connection, disk full, damaged zip, or `hq` beside train/) or KeyboardInterrupt with the command that continues.
    """
    names = ("train_hq" if hq else "train", MASK_FOLDER)
    missing = [name for name in names if not (folder / name).is_dir()]
    if hq and (folder / "train").is_dir():
        raise CarvanaError(f"{folder / 'train'} exists and would be read instead of train_hq/: name another folder")
    if zips is not None and not zips.is_dir():
        raise CarvanaError(f"{zips} is not a folder: name the one that holds {' and '.join(n + '.zip' for n in names)}")
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in missing:
            archive = (zips or folder) / f"{name}.zip"
            if zips and not archive.exists() and (zips / name).is_dir():
                copy_unpacked(zips / name, folder / name)
                continue
            fetched = zips is None and not archive.exists()
            if fetched:
                _fetch(archive, progress)
            unpack(archive, folder / name, progress)
            if fetched:
                archive.unlink()
    except OSError as error:
        cure = "free some space, then run again, or choose another folder"
        raise CarvanaError(f"cannot write to {folder} ({error.strerror or error}): {cure}") from None
    except KeyboardInterrupt:
        again = f"carvana download {shlex.quote(str(folder))}{' --hq' if hq else ''}"
        raise KeyboardInterrupt(f"stopped; `{again}` continues") from None
    finally:
        # An empty data/carvana would be taken for the data in place of the sample.
        if made:
            with suppress(OSError):
                folder.rmdir()
    list_pairs(folder)
    return bool(missing)


def _fetch(path: Path, progress: bool) -> None:
    """Download one file by way of `path`.part, which stays when this fails, and grows in the next call."""
    part, token = path.with_name(f"{path.name}.part"), _token()
    failures, most, damaged = 0, _size(part), False
    while True:
        try:
            if _fetch_rest(part, token, progress):
                part.replace(path)
                return
            part.unlink()
            if damaged:
                raise CarvanaError(f"{path} came twice with a wrong MD5 checksum: try another network")
            damaged = True
            continue
        except _PassingError as fault:
            what, wait = fault.args
        # The messages of requests hold the address, and the address holds a signature: they are not passed on.
        # ValueError: a redirect to something that is no address.
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError):
            what, wait = f"no connection, or it broke off or was silent for {TIMEOUT[1]} seconds", None
        # Not "more than last time": a server that starts from zero each time makes no progress.
        failures = 1 if _size(part) > most else failures + 1
        most = max(most, _size(part))
        seconds = 2 ** (failures - 1) if wait is None else wait
        if failures >= ATTEMPTS or seconds > LONGEST_WAIT:
            later = f"in {seconds / 60:.0f} minutes" if seconds > LONGEST_WAIT else "later"
            raise CarvanaError(f"{path.name} is not complete: {what}; run the same command {later} to continue")
        tqdm.write(f"{path.name}: {what}; next try in {seconds} s")
        sleep(seconds)


def _fetch_rest(part: Path, token: AuthBase, progress: bool) -> bool:
    """Add what is missing, in one try. Returns whether the whole file has the MD5 checksum that is sent, if one is."""
    # The last byte is asked for again: then the answer for a complete file brings its checksum too.
    start = max(0, _size(part) - 1)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    with requests.get(f"{FILES}/{part.stem}", headers=headers, auth=token, stream=True, timeout=TIMEOUT) as answer:
        start = _check_answer(answer, part, start)
        length, free = answer.raw.length_remaining, shutil.disk_usage(part.parent).free
        if length is not None and length > free:
            raise OSError(errno.ENOSPC, f"{length / 1e6:.0f} MB are missing, the disk has {free / 1e6:.0f} MB")
        first = b"" if start else answer.raw.read(2)
        if not b"PK".startswith(first):  # as every zip starts
            raise CarvanaError(f"a web page came in place of {part.stem}: log in to this network, or {_CURES[404]}")
        total = None if length is None else start + length
        bar = {"desc": f"Downloading {part.stem}", "initial": start, "disable": not progress}
        with open(part, "r+b" if start else "wb") as file, tqdm.wrapattr(file, "write", total, **bar) as output:
            file.seek(start)
            output.write(first)
            shutil.copyfileobj(answer.raw, output, CHUNK)  # raises if fewer bytes come than Content-Length says
        # Google's storage sends "crc32c=...,md5=..."
        expected = re.search(r"md5=([^,\s]+)", answer.headers.get("x-goog-hash", ""))
    with open(part, "rb") as file:
        checksum = base64.b64encode(hashlib.file_digest(file, "md5").digest()).decode()
    return expected is None or expected[1] == checksum


def _check_answer(answer: requests.Response, part: Path, start: int) -> int:
    """Where in the file the answer starts. Raises CarvanaError where only the user can help, else _PassingError."""
    code = answer.status_code
    if code in _CURES:
        raise CarvanaError(f"Kaggle does not give {part.stem} ({code}): {_CURES[code]}")
    if code == 416:
        part.unlink(missing_ok=True)  # it was longer than the whole file
    if code not in (200, 206):
        wait = re.fullmatch("[0-9]{1,9}", answer.headers.get("Retry-After", ""))
        raise _PassingError(f"Kaggle answers with error {code}", wait and int(wait[0]))
    if code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
        raise _PassingError("Kaggle sent another part of the file", None)
    return start if code == 206 else 0


def _token() -> AuthBase:
    """Puts the Kaggle token that kagglehub finds into a request. Raises CarvanaError if there is none."""
    try:
        # Imported here: it takes a second and needs a home directory, and --zips needs neither.
        from kagglehub.clients import KaggleHttpClient
        from kagglehub.config import KaggleApiCredentials, get_kaggle_credentials

        found = get_kaggle_credentials() or KaggleApiCredentials()
    except Exception as error:  # a damaged file raises many kinds
        # The name of the file in an OSError may be the token.
        why = error.strerror if isinstance(error, OSError) else reason(error)
        raise CarvanaError(f"cannot read a Kaggle token in {_PLACES} ({why}): {_NEW_TOKEN}") from None
    words = [found.api_key] if found.api_key else [found.username, found.key]
    # Printable ASCII without / \ ~: kagglehub takes the path of a missing file for a token, and the error of
    # requests quotes what it cannot send.
    if not all(isinstance(word, str) and re.fullmatch(r"\s*[!-.0-[\]-}]+\s*", word) for word in words):
        raise CarvanaError(f"found no Kaggle token in {_PLACES}: {_NEW_TOKEN} and save it there")
    words = [word.strip() for word in words]
    return KaggleHttpClient.BearerAuth(*words) if found.api_key else HTTPBasicAuth(*words)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
