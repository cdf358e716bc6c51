"""Run folders: which training one belongs to, whether it may be resumed, removed or replaced."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..base.errors import CarvanaError, CarvanaWarning
from ..base.files import expanded, locked
from ..config import TrainConfig
from .checkpoint import LAST_CHECKPOINT, PREVIOUS_CHECKPOINT, load_checkpoint
from .history import METRICS
from .weights import BEST_WEIGHTS

CONFIG = "config.json"
_LOCK = ".training.lock"
# Settings that a resumed run may change: they affect speed and memory, not the weights.
_MAY_CHANGE = ("accumulate", "recompute", "log_every", "checkpoint_minutes")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn an OSError inside the `with` block into a CarvanaError that names `path`."""
    try:
        yield
    except OSError as error:
        raise CarvanaError(f"{path} cannot be read ({error.strerror}): change its permissions or its name") from None


def read_config(out: str | Path) -> TrainConfig:
    """The settings of the run in `out`. Raises CarvanaError if they cannot be read."""
    file = expanded(out) / CONFIG
    with _readable(file):
        return TrainConfig.from_json(file.read_bytes(), file)


def has_config(out: str | Path) -> bool:
    """Whether a run was started in `out`. Raises CarvanaError if `out` cannot be read."""
    out = expanded(out)
    with _readable(out), suppress(FileNotFoundError, NotADirectoryError):
        (out / CONFIG).stat()
        return True
    return False


def has_checkpoint(out: str | Path) -> bool:
    """Whether `out` holds a checkpoint that a run could be resumed from."""
    return any(os.path.exists(expanded(out) / name) for name in (LAST_CHECKPOINT, PREVIOUS_CHECKPOINT))


def prepare_run(out: str | Path, config: TrainConfig, resume: bool) -> dict[str, Any] | None:
    """The checkpoint to resume from, or None for a new run in an empty folder.

    Raises CarvanaError if `out` is not empty and `resume` is False, or if it holds a run with other settings.
    """
    out = expanded(out)
    started = has_config(out)
    if not started and _is_free(out):
        return None
    if not resume:
        how = "--resume goes on with it, --overwrite replaces it, or name another --out"
        raise CarvanaError(f"{out} exists: {how} (in a notebook: fit(..., resume=True), remove_run(out), another out)")
    if not started:
        raise CarvanaError(f"{out} is not a run folder (no {CONFIG}): name another folder")
    saved, now = asdict(read_config(out)), asdict(config)
    if any(saved[name] != now[name] for name in saved.keys() - set(_MAY_CHANGE)):
        cure = "resume with those, or name another folder"
        raise CarvanaError(f"{out} was trained with other settings (see {out / CONFIG}): {cure}")
    state = load_checkpoint(out)
    # A header and one epoch: the training may have been killed between the scores and the checkpoint of that epoch.
    if state is None and (out / METRICS).exists() and len((out / METRICS).read_text().splitlines()) > 2:
        cure = (
            f"train in another folder, from the weights of this one (--start {out}, in a notebook start={str(out)!r})"
        )
        raise CarvanaError(f"{out} holds scores and no checkpoint to resume from: {cure}")
    return state


@contextmanager
def hold_run(out: str | Path) -> Iterator[None]:
    """Make the run folder `out` if it is not there, and keep other trainings out of it; remove it if it stays empty.

    The lock is a file in the folder, which other machines or containers may know under another path.
    Raises CarvanaError if another process trains there, or if the folder cannot be made.
    """
    out = expanded(out)
    new = not os.path.exists(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise CarvanaError(f"{out} is not a run folder but a file: name another folder") from None
    except OSError as error:
        raise CarvanaError(f"cannot train in {out} ({error}): name another folder") from None
    try:
        with locked(out / _LOCK, f"another process trains in {out}: wait until it is done, or name another folder"):
            yield
    finally:
        if new:
            with suppress(OSError):
                out.rmdir()


def remove_run(out: str | Path) -> None:
    """Delete a run folder, and only a run folder that no process trains in."""
    out = expanded(out)
    folder = out.resolve()
    _holds_run(folder)  # an error if `out` is something else
    _delete(folder)
    if out.is_symlink():
        out.unlink()


def put_aside(out: str | Path) -> Path:
    """Where `replaced_run` puts the run in `out`."""
    out = expanded(out).resolve()
    return out.parent / f"{out.name}.replaced"


@contextmanager
def replaced_run(out: str | Path) -> Iterator[None]:
    """Put the run folder `out` aside, as `<out>.replaced`, for a new run in its place.

    At the end, the old run is deleted if the new one has weights, and comes back if the new one has nothing. If the
    new one has a checkpoint and no weights yet, both stay. Raises CarvanaError as `hold_run`, or if one of the two is
    not a run folder or cannot be moved.
    """
    out, aside = expanded(out).resolve(), put_aside(out)
    try:
        _make_room(out, aside)
    except OSError as error:
        raise CarvanaError(f"cannot put {out} aside ({error}): name another folder") from None
    try:
        yield
    finally:
        if aside.exists():
            _keep_better(out, aside)


def _make_room(out: Path, aside: Path) -> None:
    """Move the run in `out` to `aside`, or delete it if the run in `aside` is worth more."""
    with hold_run(out):
        holds_run, aside_holds_run = _holds_run(out), _holds_run(aside)
        # Then the run in `out` replaced the other one, and was stopped before it had weights.
        aside_is_better = aside_holds_run and not (out / BEST_WEIGHTS).exists()
        if not aside_is_better:
            _delete(aside)
    if aside_is_better:
        _delete(out)
    elif holds_run:
        out.rename(aside)
        if (aside / _LOCK).exists():  # a training began in `out` since it was released
            aside.rename(out)
            raise OSError("another process trains there")
    if aside.exists():
        out.mkdir()  # where `out` was a link, its target has to be there


def _keep_better(out: Path, aside: Path) -> None:
    """Of the new run in `out` and the old one in `aside`, delete the one that is worth less."""
    if (out / BEST_WEIGHTS).exists():
        try:
            _delete(aside)
        except (CarvanaError, OSError) as error:
            warnings.warn(f"cannot delete {aside} ({error}): delete it by hand", CarvanaWarning, stacklevel=2)
    elif has_checkpoint(out):
        warnings.warn(f"this run has no weights yet: the old one is kept in {aside}", CarvanaWarning, stacklevel=2)
    else:
        _delete(out)
        aside.rename(out)


def _delete(folder: Path) -> None:
    """Delete a run folder, if it is there, config.json last: a half deleted run is still known as a run."""
    if not folder.exists():
        return
    with hold_run(folder):
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name == CONFIG):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != _LOCK:
                entry.unlink()
    folder.rmdir()


def _is_free(out: Path) -> bool:
    """Whether `out` is not there, or holds at most what a killed training left half written."""
    with _readable(out):
        return not out.exists() or (out.is_dir() and all(entry.suffix in (".part", ".lock") for entry in out.iterdir()))


def _holds_run(out: Path) -> bool:
    """Whether there is a run in `out`. Raises CarvanaError for a folder or file that is something else."""
    if not has_config(out) and _is_free(out):
        return False
    try:
        read_config(out)
    except CarvanaError:
        raise CarvanaError(f"{out} is not a run folder (no {CONFIG} of one) and stays: name another folder") from None
    return True
