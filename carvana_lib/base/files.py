"""Files that are whole at any moment, and what a killed process left of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from .errors import CarvanaError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

_STALE_SECONDS = 24 * 3600


def write_atomically(
    path: Path,
    write: Callable[[Path], None],
    keep: Path | None = None,
    cure: str = "free some space or name another place",
) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it: `path` is whole at any moment.

    The temporary file always has the same name: what a killed process left of it is used up by the next.

    Args:
        keep: the file that was at `path` gets this name instead of being replaced.
        cure: what to do when the file cannot be written, for the message.

    Raises:
        CarvanaError: the file cannot be written (disk full, no permission, another process writes
            it now), or `path` is a folder, a device or a pipe. The old one stays.
    """
    try:
        if path.exists() and not path.is_file():
            raise CarvanaError(f"cannot write {path}: it is there, and no file; name another place")
        # A link keeps leading to its file, which gets the new content.
        target = path.resolve()
        temporary = temporary_file(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with in_use(temporary, os.O_RDWR | os.O_CREAT):
            try:
                temporary.touch()
                mode = temporary.stat().st_mode
                write(temporary)
                # Some writers make a file of their own, which nobody else may read.
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


def temporary_file(path: Path) -> Path:
    """Where `write_atomically` writes before it renames."""
    return path.with_name(f".{path.name}.part")


@contextmanager
def in_use(path: Path, flags: int = os.O_RDONLY) -> Iterator[None]:
    """Mark a temporary file or folder as in use; the system drops the mark however the process ends.

    Raises:
        OSError: another process uses it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(path, flags, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError("another process is at it") from None
        except OSError:
            pass  # some network disks know no locks: there `is_abandoned` goes by age
        yield
    finally:
        os.close(handle)


def is_abandoned(left: Path) -> bool:
    """Whether no process uses a temporary file or folder any more."""
    age = time.time() - left.stat().st_mtime
    if age <= 1:
        return False  # about to be locked, perhaps: a lock taken here, even for a moment, would be in the way
    if fcntl is None:
        return age > _STALE_SECONDS
    handle = os.open(left, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return age > _STALE_SECONDS
    finally:
        os.close(handle)
