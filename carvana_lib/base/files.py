"""Files that are complete at any moment, and locks that a killed process does not leave behind."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from .errors import CarvanaError


def write_atomically(
    path: str | Path,
    write: Callable[[Path], None],
    keep: Path | None = None,
    cure: str = "free some space or name another place",
) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: `path` is complete at any moment.

    The temporary file always has the same name: the next write overwrites what a killed process left of it.

    With `keep` the file that was at `path` gets that name instead of being replaced. Raises CarvanaError, with `cure`,
    if the file cannot be written, if another process writes it now, or if `path` is no plain file. The old file stays.
    """
    path = expanded(path)
    try:
        if path.exists() and not path.is_file():
            raise CarvanaError(f"cannot write {path}: it is not a file; name another place")
        # A link keeps pointing to its file, which gets the new content.
        target = path.resolve()
        temporary = temporary_file(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        busy = f"another process writes {path}: wait until it is done, or name another place"
        with locked(temporary.with_suffix(".lock"), busy):
            try:
                temporary.touch()
                mode = temporary.stat().st_mode
                write(temporary)
                # Some writers make a new file, which only its owner may read.
                temporary.chmod(mode)
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
                if keep is not None and target.exists():
                    os.replace(target, keep)
                os.replace(temporary, target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except (OSError, SafetensorError) as error:
        raise CarvanaError(f"cannot write {path} ({error}): {cure}") from None


def expanded(path: str | Path) -> Path:
    """`path` with `~` replaced by the home directory, as a shell does it. Raises CarvanaError if there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise CarvanaError(f"no home directory for {path}: write the whole path") from None


def temporary_file(path: Path) -> Path:
    """Where `write_atomically` writes before it renames."""
    return path.with_name(f".{path.name}.part")


class _Lock(FileLock):
    """A lock that the system keeps, or OSError: a file that only stands for one would outlive a killed process."""

    # Since filelock 3.30 the argument fallback_to_soft=False says so; Kaggle has 3.29.
    def _fallback_to_soft_lock(self) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@contextmanager
def locked(file: Path, busy: str, wait: bool = False) -> Iterator[bool]:
    """Hold the lock `file`, which is deleted in the end; the system drops the lock of a process that ends.

    Args:
        busy: what to say when another process or thread holds the lock.
        wait: print `busy` and wait, instead of raising it.

    Yields:
        Whether the lock is held. Where there are no locks (some network disks) or the folder may not
        be written, the work goes on without one.

    Raises:
        CarvanaError: `busy`.
    """
    # The mode is for other users of a shared folder.
    lock = _Lock(file, mode=0o666)
    with suppress(OSError):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not wait:
                raise CarvanaError(busy) from None
            print(busy, file=sys.stderr)
            lock.acquire()
    try:
        yield lock.is_locked
    finally:
        # Before the release, and filelock locks no file that was deleted. Windows deletes it in the release.
        with suppress(OSError):
            os.unlink(file)
        lock.release()
