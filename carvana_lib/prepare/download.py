"""The competition's photos and masks from Kaggle, into the layout that `find_data` reads.

A client of its own because kagglehub (1.0.3) tries only once, takes an error page as the rest of a
file that it resumes, and cannot be tried against a server other than Kaggle's.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import shlex
import shutil
from contextlib import suppress
from pathlib import Path
from time import sleep

import requests
import urllib3
from tqdm.auto import tqdm

from ..base.data_folder import COMPETITION, MASK_FOLDER
from ..base.errors import CarvanaError
from ..data import list_pairs
from .kaggle_token import KaggleToken, kaggle_token
from .unpack import unpack

ENDPOINT = "https://www.kaggle.com"
_FILES = f"/api/v1/competitions/data/download/{COMPETITION}"
TIMEOUT = (10, 30)  # seconds to connect, and between bytes
ATTEMPTS = 5  # in a row without a single new byte
LONGEST_WAIT = 60  # seconds
# What of a chunk has come when the connection breaks off is lost, so chunks are small.
CHUNK = 1 << 14
_BY_HAND = f"https://www.kaggle.com/c/{COMPETITION}"


class _PassingError(Exception):
    """A fault that may be gone in a moment: what happened, and the seconds the server asks to wait."""

    def __init__(self, what: str, seconds: float | None = None) -> None:
        super().__init__(what)
        self.seconds = seconds


def download(folder: Path, hq: bool = False, zips: Path | None = None, progress: bool = True) -> bool:
    """Photos and masks of Kaggle's training set as `folder/train` (or `train_hq`) and `folder/train_masks`.

    Goes on where an earlier call was stopped: what is unpacked stays, a partial zip is continued. The
    lengths and MD5 sums that Kaggle sends are checked. Zips that lie in `folder` already are used.

    Args:
        folder: made if need be.
        hq: the photos in higher quality, train_hq.zip.
        zips: folder that holds the zips; nothing is fetched then.
        progress: show progress bars.

    Returns:
        Whether anything was missing.

    Raises:
        CarvanaError: no token, a wrong one, rules not accepted, no connection, disk full, damaged zip,
            or `hq` where train/ is there, which would be read in place of train_hq/.
        KeyboardInterrupt: Ctrl-C, with a message that says how to go on.
    """
    token, names = None, ("train_hq" if hq else "train", MASK_FOLDER)
    missing = [name for name in names if not (folder / name).is_dir()]
    if hq and (folder / "train").is_dir():
        raise CarvanaError(f"{folder / 'train'} is there and would be read in place of train_hq/: name another folder")
    if zips is not None and not zips.is_dir():
        raise CarvanaError(f"{zips} is not a folder: name the one that holds {' and '.join(n + '.zip' for n in names)}")
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CarvanaError(f"cannot make {folder} ({error.strerror}): choose another folder") from None
    try:
        for name in missing:
            archive = (zips or folder) / f"{name}.zip"
            fetched = zips is None and not archive.exists()
            if fetched:
                token = token or kaggle_token()
                fetch(f"{ENDPOINT}{_FILES}/{archive.name}", archive, token, progress)
            unpack(archive, folder / name, progress)
            if fetched:
                archive.unlink()
    except KeyboardInterrupt:
        again = f"carvana download {shlex.quote(str(folder))}{' --hq' if hq else ''}"
        raise KeyboardInterrupt(f"stopped; `{again}` goes on from here") from None
    finally:
        # An empty data/carvana would be taken for the data in place of the sample.
        if made:
            with suppress(OSError):
                folder.rmdir()
    list_pairs(folder)
    return bool(missing)


def fetch(url: str, path: Path, token: KaggleToken, progress: bool = True) -> None:
    """Download one file to `path`, by way of `path`.part, which a later call continues.

    Raises:
        CarvanaError: as `download`. The partial file stays, unless it is damaged.
    """
    part = path.with_name(f"{path.name}.part")
    failures, spoilt, most = 0, 0, _size(part)
    with tqdm(desc=f"Downloading {path.name}", unit="B", unit_scale=True, disable=not progress) as bar:
        while True:
            try:
                expected = _fetch_rest(url, part, token, bar)
            except _PassingError as fault:
                # More than ever before: a server that starts anew each time makes no progress by itself.
                failures = 1 if _size(part) > most else failures + 1
                most = max(most, _size(part))
                _wait(path, str(fault), failures, fault.seconds)
                continue
            except OSError as error:
                raise CarvanaError(
                    f"cannot write {part} ({error.strerror or error}): free some space, then run again to go on"
                ) from None
            if expected is None or _md5(part) == expected:
                part.replace(path)
                return
            part.unlink()
            spoilt += 1
            if spoilt == 2:
                raise CarvanaError(
                    f"{path} arrived with another MD5 sum than Kaggle gives, twice: try another network, "
                    f"or download it by hand from {_BY_HAND}/data"
                )


def _fetch_rest(url: str, part: Path, token: KaggleToken, bar: tqdm) -> str | None:
    """Add what is missing to `part`. Returns the whole file's MD5 sum (base64), None if the server gives none."""
    # The last byte is asked for again: a file that is complete then still gets an answer with its sum.
    start = max(0, _size(part) - 1)
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    try:
        with requests.get(url, headers=headers, auth=token, stream=True, timeout=TIMEOUT) as answer:
            _check_status(answer, part, token)
            if answer.status_code == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                raise _PassingError("Kaggle sent another part of the file than it was asked for")
            start = start if answer.status_code == 206 else 0
            length = _whole(answer.headers.get("Content-Length"))
            total = None if length is None else start + length
            _check_space(part, start, total)
            first = b"" if start else answer.raw.read(2)
            if not b"PK".startswith(first):
                raise _web_page(part)  # whatever it calls itself; what came of the file before stays
            bar.reset(total)
            bar.update(start)
            with open(part, "r+b" if start else "wb") as file:
                file.seek(start)
                for chunk in itertools.chain([first], answer.iter_content(CHUNK)):
                    file.write(chunk)
                    bar.update(len(chunk))
            if total is not None and _size(part) != total:
                raise _PassingError("the connection broke off")
            return _md5_header(answer)
    # Messages of requests hold the address, and Kaggle's addresses hold a signature: none is passed on.
    # ValueError: from an address that is none, in an answer that sends us on.
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, ValueError):
        raise _PassingError(f"no connection, or it broke off or was silent for {TIMEOUT[1]} seconds") from None


def _check_status(answer: requests.Response, part: Path, token: KaggleToken) -> None:
    """Raise for any answer but the file: CarvanaError where only the user can help, else _PassingError."""
    code, name = answer.status_code, part.stem
    if code == 401:
        raise CarvanaError(
            f"Kaggle does not accept the token {token.source}: make a new one at https://www.kaggle.com/settings"
        )
    if code == 403:
        raise CarvanaError(
            f"Kaggle does not give {name} to this account (403): accept the competition's rules at "
            f"{_BY_HAND}/rules, then run again"
        )
    if code == 404:
        raise CarvanaError(f"Kaggle has no {name} (404): look at {_BY_HAND}/data and download it by hand")
    if code == 416:
        part.unlink(missing_ok=True)
        raise _PassingError("the partial file was longer than the whole")
    if code == 429:
        raise _PassingError("Kaggle asks for a pause (429)", _whole(answer.headers.get("Retry-After")))
    if code not in (200, 206):
        raise _PassingError(f"Kaggle answers with error {code}")
    if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise _web_page(part)


def _web_page(part: Path) -> CarvanaError:
    return CarvanaError(
        f"a web page came in place of {part.stem}: log in to this network, or download it by hand from {_BY_HAND}/data"
    )


def _check_space(part: Path, start: int, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise CarvanaError(
            f"{part.parent} needs {(total - start) / 1e6:.0f} MB more and its disk has {free / 1e6:.0f} MB: "
            "free some, then run again to go on"
        )


def _wait(path: Path, what: str, failures: int, wish: float | None) -> None:
    """Wait before the next try, longer each time. Raises CarvanaError when there should be none."""
    seconds = 2.0 ** (failures - 1) if wish is None else wish
    if failures >= ATTEMPTS or seconds > LONGEST_WAIT:
        later = f"in {seconds / 60:.0f} minutes" if seconds > LONGEST_WAIT else "later"
        raise CarvanaError(f"{path.name} is not complete: {what}; run the same command {later}, it goes on from here")
    tqdm.write(f"{path.name}: {what}; next try in {seconds:.0f} s")
    sleep(seconds)


def _whole(text: str | None) -> int | None:
    """A header's whole number; None where it is something else."""
    # int() would also take the digits of other scripts, and fails on thousands of them.
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "md5").digest()).decode()


def _md5_header(answer: requests.Response) -> str | None:
    """The MD5 sum in the header of Google's storage, where Kaggle keeps its files."""
    for word in answer.headers.get("x-goog-hash", "").split(","):
        kind, _, value = word.strip().partition("=")
        if kind == "md5":
            return value
    return None
