"""Checkpoints: all that training needs to go on, written whole and read without running code."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..base.errors import CarvanaError, CarvanaWarning, reason
from ..base.files import expanded, write_atomically
from .weights import is_passing

LAST_CHECKPOINT = "last.pt"
PREVIOUS_CHECKPOINT = "previous.pt"
_KEYS = {"parts", "epoch", "step", "steps_per_epoch", "loss_sum", "seconds", "history"}


def save_checkpoint(out: str | Path, state: dict[str, Any], keep: bool = True) -> None:
    """Write `state` to last.pt; the last.pt that was there becomes previous.pt if `keep`."""

    def write(temporary: Path) -> None:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:
            # torch raises this when the disk is full.
            raise OSError(reason(error)) from None

    out = expanded(out)
    cure = "free some space, then resume from the checkpoint before (--resume, in a notebook resume=True)"
    write_atomically(out / LAST_CHECKPOINT, write, out / PREVIOUS_CHECKPOINT if keep else None, cure)


def load_checkpoint(out: str | Path) -> dict[str, Any] | None:
    """The newest usable state that `save_checkpoint` wrote, on the CPU; None if it never wrote one.

    Warns when last.pt is damaged and previous.pt is used. Then `fell_back` in the state is True, and the next
    `save_checkpoint` must not keep last.pt. Raises CarvanaError if neither file is usable.
    """
    out, faults = expanded(out), []
    # A run that was killed between the two renames of a write has only previous.pt, which is then its newest.
    for path in (out / LAST_CHECKPOINT, out / PREVIOUS_CHECKPOINT):
        if not path.exists():
            continue
        try:
            state = _read(path)
        except CarvanaError as error:
            faults.append(str(error))
            continue
        except Exception as error:
            # The file may well be whole: an older one must not take its place.
            why = getattr(error, "strerror", None) or "not enough memory"
            cure = "end other programs, or look at its permissions and its disk, then resume again"
            raise CarvanaError(f"{path} cannot be read now ({why}): {cure}") from None
        if faults:
            warnings.warn(f"{faults[0]}: going on from the one before, {path}", CarvanaWarning, stacklevel=2)
        return {**state, "fell_back": bool(faults)}
    if faults:
        cure = (
            f"train in another folder, from the weights of this one if it has any (--start {out}, in a notebook start=)"
        )
        raise CarvanaError(f"{' and '.join(faults)}: {cure}")
    return None


def _read(path: Path) -> dict[str, Any]:
    """The state in `path`. CarvanaError if it is damaged; what may pass (see `is_passing`) is raised as it is."""
    try:
        _check_zip(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if is_passing(error):
            raise
        # torch.load fails in many ways on a damaged file; none of them may silently start the training again.
        raise CarvanaError(f"{path} is damaged ({reason(error)})") from None
    if not _is_state(state):
        raise CarvanaError(f"{path} is not a checkpoint of carvana_lib")
    return state


def _is_state(state: object) -> bool:
    if not isinstance(state, dict) or not state.keys() >= _KEYS:
        return False
    history, counts = state["history"], [state[name] for name in ("epoch", "step", "steps_per_epoch")]
    return (
        all(type(count) is int and count >= 0 for count in counts)
        and isinstance(state["parts"], dict)
        and all(isinstance(state[name], float) for name in ("loss_sum", "seconds"))
        and isinstance(history, list)
        and len(history) == state["epoch"]
        and all(isinstance(row, dict) and "dice" in row for row in history)
    )


def _check_zip(path: Path) -> None:
    """What torch.load does not check: the zip's checksums, and entries marked as folders, which it fills with noise."""
    with zipfile.ZipFile(path) as archive:
        # torch.save does not compress; a small compressed file may hold many gigabytes.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("compressed, which torch.save never does")
        folder = next((entry.filename for entry in archive.infolist() if entry.external_attr & 0x10), None)
        if damaged := folder or archive.testzip():
            raise ValueError(f"{damaged} is not as it was written")
