"""Run folders: which training one belongs to, whether it may go on, be removed or replaced."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..base.errors import CarvanaError, CarvanaWarning
from ..base.files import in_use, is_abandoned, temporary_file
from ..config import TrainConfig
from .checkpoint import LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, load_checkpoint
from .history import METRICS
from .weights import BEST_WEIGHTS

CONFIG = "config.json"
# Settings that a run may be resumed with another value of: they change its speed and memory.
_MAY_CHANGE = ("accumulate", "recompute", "log_every", "checkpoint_minutes")


def read_config(out: Path) -> TrainConfig:
    """The settings of the run in `out`. Raises CarvanaError if they cannot be read."""
    try:
        text = (out / CONFIG).read_bytes()
    except OSError as error:
        raise CarvanaError(f"{out / CONFIG} cannot be read ({error.strerror}): change its permissions") from None
    return TrainConfig.from_json(text, out / CONFIG)


def has_config(out: Path) -> bool:
    """Whether a run was begun in `out`. Raises CarvanaError if that cannot be told."""
    try:
        (out / CONFIG).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise CarvanaError(f"{out} cannot be read ({error.strerror}): change its permissions or its name") from None
    return True


def has_checkpoint(out: Path) -> bool:
    """Whether there is a state in `out` that a run could be resumed from."""
    return any(os.path.exists(out / name) for name in (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT))


def prepare_run(out: Path, config: TrainConfig, resume: bool) -> dict[str, Any] | None:
    """The checkpoint to go on from, or None for a new run in an empty folder.

    Raises:
        CarvanaError: `out` is in use and not to be resumed, or holds a run with other settings.
    """
    _remove_abandoned(out)
    try:
        if not out.exists() or (out.is_dir() and not any(out.iterdir())):
            return None
    except OSError as error:
        raise CarvanaError(f"{out} cannot be read ({error.strerror}): change its permissions") from None
    if not resume:
        raise CarvanaError(
            f"{out} exists: --resume goes on with it, --overwrite trains anew, --out names another folder"
        )
    if not has_config(out):
        raise CarvanaError(f"{out} is not a run folder (no {CONFIG}): name another --out")
    saved, now = asdict(read_config(out)), asdict(config)
    if any(saved[name] != now[name] for name in saved.keys() - set(_MAY_CHANGE)):
        raise CarvanaError(
            f"{out} was trained with other settings (see {out / CONFIG}): resume with those, or name another --out"
        )
    state = load_checkpoint(out)
    # A header and one epoch: that epoch may have been killed between its scores and its checkpoint.
    if state is None and (out / METRICS).exists() and len((out / METRICS).read_text().splitlines()) > 2:
        raise CarvanaError(
            f"{out} holds scores and no checkpoint to resume from: train anew in another --out, from --start {out}"
        )
    return state


@contextmanager
def hold_run(out: Path) -> Iterator[None]:
    """Make the run folder `out` if it is not there, and keep other trainings out of it (not on Windows).

    A folder that was made and stayed empty is removed again.

    Raises:
        CarvanaError: another process trains there, or the folder cannot be made.
    """
    new = not os.path.exists(out)
    with ExitStack() as stack:
        try:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(in_use(out))
        except (FileExistsError, NotADirectoryError):
            raise CarvanaError(f"{out} is not a run folder but a file: name another --out") from None
        except OSError as error:
            raise CarvanaError(f"cannot train in {out} ({error}): name another --out") from None
        try:
            yield
        finally:
            if new:
                with suppress(OSError):
                    out.rmdir()


def remove_run(out: Path) -> None:
    """Delete a run folder, and only a run folder that no process trains in."""
    folder = out.resolve()
    if _is_run(folder):
        with hold_run(folder):
            _delete(folder)
        if out.is_symlink():
            out.unlink()


def put_aside(out: Path) -> Path:
    """Where `replaced_run` puts the run in `out`."""
    out = out.resolve()
    return out.parent / f"{out.name}.replaced"


@contextmanager
def replaced_run(out: Path) -> Iterator[None]:
    """Put the run folder `out` aside, as `<out>.replaced`, for a new run in its place.

    It is deleted at the end if the new run has weights, and comes back if that has nothing at all.

    Raises:
        CarvanaError: as `hold_run`, or `out` or `<out>.replaced` is no run folder or cannot be moved.
    """
    out, aside = out.resolve(), put_aside(out)
    with hold_run(out):
        holds_one, aside_holds_one = (_is_run(folder) and any(folder.iterdir()) for folder in (out, aside))
        try:
            if aside_holds_one and not (out / BEST_WEIGHTS).exists():
                # An overwriting run was stopped before it had weights: what it replaced is worth more.
                _delete(out)
            elif holds_one:
                if aside.exists():
                    _delete(aside)
                out.rename(aside)
                aside_holds_one = True
        except OSError as error:
            raise CarvanaError(f"cannot put {out} aside ({error}): name another --out") from None
    if not aside_holds_one:
        yield
        return
    # Where `out` was a link, its target has to be there.
    out.mkdir()
    try:
        yield
    finally:
        if (out / BEST_WEIGHTS).exists():
            try:
                _delete(aside)
            except OSError as error:
                warnings.warn(f"cannot delete {aside} ({error}): delete it by hand", CarvanaWarning, stacklevel=2)
        elif has_checkpoint(out):
            warnings.warn(f"this run has no weights yet: the one before is kept in {aside}", CarvanaWarning, 2)
        else:
            shutil.rmtree(out, ignore_errors=True)
            aside.rename(out)


def _delete(folder: Path) -> None:
    """Delete a run folder, config.json last: half deleted it is still known as one."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != CONFIG:
            entry.unlink()
    shutil.rmtree(folder)


def _is_run(out: Path) -> bool:
    """Whether there is a run in `out`. Raises CarvanaError for a folder or file that is something else."""
    _remove_abandoned(out)
    if not os.path.exists(out):
        return False
    has_config(out)  # says so if the folder may not be read
    if out.is_dir() and not any(out.iterdir()):
        return True
    try:
        read_config(out)
    except CarvanaError:
        raise CarvanaError(
            f"{out} is not a run folder (no {CONFIG} of one): it is not overwritten; name another --out"
        ) from None
    return True


def _remove_abandoned(out: Path) -> None:
    """What a killed training left half written."""
    for name in (CONFIG, BEST_WEIGHTS, LAST_CHECKPOINT, METRICS):
        left = temporary_file(out / name)
        with suppress(OSError):
            if is_abandoned(left):
                left.unlink()
